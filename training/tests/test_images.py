"""Image files of all kinds that people have, with the values that the server reads from them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdpm_training import images

# The server's tests read the same files (tests/rest/uploads.rs, tests/cli.rs).
FIXTURES = Path(__file__).resolve().parent.parent.parent / "tests" / "fixtures" / "images"
WHITE, BLACK, RED = [255] * 3, [0] * 3, [255, 0, 0]


def read(path: Path, size: int = 8, channels: int = 3) -> np.ndarray:
    """Pixels (height, width, channels) as integers."""
    return images.read(path, size, channels).pixels.transpose(1, 2, 0).astype(int)


def reason(path: Path) -> str:
    with pytest.raises(images.ImageError) as error:
        images.read(path, 8, 3)
    return str(error.value)


def near(found: np.ndarray, expected: object, tolerance: int = 2) -> bool:
    return bool((np.abs(found - np.asarray(expected)) <= tolerance).all())


def test_exif_orientation_is_applied() -> None:
    pixels = read(FIXTURES / "exif-rotated.jpg")
    assert near(pixels[0], BLACK)
    assert near(pixels[-1], WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_each_orientation_of_each_format_is_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.fromarray(np.array([[250, 30], [80, 150]], np.uint8)).resize((32, 16), Image.Resampling.NEAREST)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(images.UPRIGHT[inverse]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = tmp_path / f"stored.{suffix}"
    stored.convert("RGB").save(path, exif=exif, quality=95)
    expected = read(path, 8, 1)[..., 0]
    assert near(expected[[1, 1, 6, 6], [1, 6, 1, 6]], [250, 30, 80, 150], 6)


def test_damaged_exif_data_are_ignored(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert near(read(tmp_path / "x.jpg"), RED)


def test_16_bit_grey_is_scaled() -> None:
    pixels = read(FIXTURES / "grey16.png", 64, 1)[..., 0]
    assert abs(pixels.mean() - 128) <= 1
    assert near(pixels[:, 0], np.arange(64) * 1024 / 257)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_rounded(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257], [385, 386, 40_000, 65_535]] * 2, np.uint16)
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    rounded = [[0, 0, 1, 1], [1, 2, 156, 255]] * 2
    assert read(tmp_path / f"x.{suffix}", 4, 1)[..., 0].tolist() == rounded


def png(header: tuple[int, int, int, int], rows: bytes, chunks: bytes = b"") -> bytes:
    """A PNG file from width, height, bit depth and colour type."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    transparent = chunk(b"tRNS", chunks) if chunks else b""
    return b"\x89PNG\r\n\x1a\n" + start + transparent + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("colour", "values"), [(2, [65_535, 257, 32_896]), (4, [32_896, 65_535]), (6, [65_535, 257, 32_896, 65_535])]
)
def test_16_bit_colour_and_alpha_are_scaled(tmp_path: Path, colour: int, values: list[int]) -> None:
    row = b"\0" + struct.pack(f">{len(values)}H", *values) * 4
    (tmp_path / "x.png").write_bytes(png((4, 4, 16, colour), row * 4))
    expected = [values[0] // 257] * 3 if colour == 4 else [value // 257 for value in values[:3]]
    assert read(tmp_path / "x.png", 4).tolist() == [[expected] * 4] * 4


def test_transparent_value_of_16_bits_becomes_white(tmp_path: Path) -> None:
    rows = (b"\0" + struct.pack(">2H", 5_140, 40_000)) * 2
    (tmp_path / "x.png").write_bytes(png((2, 2, 16, 0), rows, struct.pack(">H", 5_140)))
    assert read(tmp_path / "x.png", 2, 1)[..., 0].tolist() == [[255, 156]] * 2


def test_cmyk_is_converted() -> None:
    assert near(read(FIXTURES / "cmyk.jpg"), [226, 187, 149])


def test_ycck_is_converted(tmp_path: Path) -> None:
    """The same samples, declared as YCCK: luma 60, blue and red differences 100 and 150, key 230."""
    stored = Image.merge("CMYK", [Image.new("L", (16, 16), 255 - value) for value in (60, 100, 150, 230)])
    stored.save(tmp_path / "x.jpg", quality=100)
    content = bytearray((tmp_path / "x.jpg").read_bytes())
    adobe = content.index(b"Adobe")
    assert content[adobe + 11] == 0, "samples are stored without a transform"
    content[adobe + 11] = 2
    (tmp_path / "x.jpg").write_bytes(content)
    colour = np.array([60 + 1.402 * 22, 60 + 0.344 * 28 - 0.714 * 22, 60 - 1.772 * 28])
    expected = (255 - np.clip(colour, 0, 255)) * 230 / 255
    assert near(read(tmp_path / "x.jpg"), expected, 4), read(tmp_path / "x.jpg")[0, 0]


@pytest.mark.parametrize("name", ["palette-transparent.png", "grey-alpha.png"])
def test_transparency_is_laid_on_white(name: str) -> None:
    assert near(read(FIXTURES / name)[0, 0], WHITE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_image_is_composited_on_white(tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "PA" else "png"
    clear = Image.fromarray(np.zeros((9, 12, 4), np.uint8)) if mode == "RGBA" else Image.new(mode, (12, 9))
    clear.save(tmp_path / f"clear.{suffix}")
    assert (images.read(tmp_path / f"clear.{suffix}", 8, 3).pixels == 255).all()


@pytest.mark.parametrize("name", ["animated-transparent.gif", "animated-transparent.png"])
def test_first_frame_of_an_animation_is_used(name: str) -> None:
    pixels = read(FIXTURES / name)
    assert near(pixels[0, 0], WHITE)
    assert near(pixels[4, 4], RED, 40)
    assert "first frame of an animation" in images.read(FIXTURES / name, 8, 3).changes


def test_gif_is_white_where_its_first_frame_has_no_pixels(tmp_path: Path) -> None:
    """A canvas of 8 × 8 pixels; the frame covers its right half."""
    Image.new("P", (4, 8), 1).save(tmp_path / "x.gif")
    content = bytearray((tmp_path / "x.gif").read_bytes())
    content[6:10] = struct.pack("<2H", 8, 8)
    frame = content.index(b",\0\0\0\0\x04\0\x08\0")
    content[frame + 1] = 4
    (tmp_path / "x.gif").write_bytes(content)
    pixels = read(tmp_path / "x.gif")
    assert near(pixels[:, :3], WHITE), pixels[0]
    assert not near(pixels[:, 5:], WHITE)


def profile(name: str, primaries: list[list[float]], gamma: float) -> bytes:
    """An ICC profile of version 2 with primaries in XYZ (relative to D50) and one gamma."""
    description = name.encode() + b"\0"
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)

    def xyz(values: list[float]) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65_536) for value in values))

    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(description)) + description + bytes(78),
        b"wtpt": xyz([0.9642, 1.0, 0.8249]),
        **dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(xyz, primaries), strict=True)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    table, content = b"", b""
    for tag, value in tags.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">2I", 132 + 12 * len(tags) + len(content), len(value))
        content += value
    size = struct.pack(">I", 132 + len(table) + len(content))
    header = size + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63_190, 65_536, 54_061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


# Columns of the matrices to XYZ, adapted to D50. The curve of Display P3 is that of sRGB; here a gamma of 2.2.
DISPLAY_P3 = [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]
ADOBE_RGB = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
SRGB_FROM_XYZ = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def to_srgb(colour: list[int], primaries: list[list[float]], gamma: float) -> np.ndarray:
    linear = np.clip(SRGB_FROM_XYZ @ np.array(primaries).T @ (np.array(colour) / 255) ** gamma, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("name", "primaries", "gamma"), [("Display P3", DISPLAY_P3, 2.2), ("Adobe RGB", ADOBE_RGB, 2.2)]
)
@pytest.mark.parametrize("colour", [[200, 100, 50], [40, 160, 90], [128, 128, 128], [255, 255, 255]])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_colour_profile_is_converted_to_srgb(
    tmp_path: Path, name: str, primaries: list[list[float]], gamma: float, colour: list[int], suffix: str
) -> None:
    path = tmp_path / f"x.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0}
    Image.new("RGB", (8, 8), tuple(colour)).save(path, icc_profile=profile(name, primaries, gamma), **options)
    expected = to_srgb(colour, primaries, gamma)
    assert near(read(path), expected, 3), f"{read(path)[0, 0]}, not {expected}"
    assert images.read(path, 8, 3).changes == (f"converted to sRGB from {name}",)


def test_transparent_image_with_a_profile_is_converted(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    image.save(tmp_path / "x.png", icc_profile=profile("Display P3", DISPLAY_P3, 2.2))
    pixels = read(tmp_path / "x.png")
    assert near(pixels[:, 1], WHITE, 20)
    assert near(pixels[:, 7], to_srgb([200, 100, 50], DISPLAY_P3, 2.2), 4)


@pytest.mark.parametrize("icc", [b"no profile", profile("x", DISPLAY_P3, 2.2)[:200]])
def test_damaged_colour_profile_is_ignored(tmp_path: Path, icc: bytes) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "x.png", icc_profile=icc)
    assert read(tmp_path / "x.png")[0, 0].tolist() == [200, 100, 50]
    assert images.read(tmp_path / "x.png", 8, 3).changes == ("damaged colour profile ignored",)


def test_grey_values_weigh_colours_as_the_server_does(tmp_path: Path) -> None:
    """ITU-R BT.709, as the crate `image`."""
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "x.png")
    assert (read(tmp_path / "x.png", 8, 1) == (2126 * 200 + 7152 * 100 + 722 * 50) // 10_000).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_truncated_file_is_an_error(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"x.{suffix}")
    content = (tmp_path / f"x.{suffix}").read_bytes()
    for length in (len(content) // 2, len(content) - 20):
        (tmp_path / f"x.{suffix}").write_bytes(content[:length])
        assert "truncated or damaged" in reason(tmp_path / f"x.{suffix}")


def test_decompression_bomb_is_an_error_that_gives_the_size(tmp_path: Path) -> None:
    """20,000 × 20,000 pixels of one bit in 50 kB."""
    (tmp_path / "x.png").write_bytes(png((20_000, 20_000, 1, 0), bytes(2_501 * 20_000)))
    assert reason(tmp_path / "x.png") == "more than 50,000,000 pixels or 16,384 on a side: 20000 × 20000"
    (tmp_path / "x.png").write_bytes(png((16_385, 1, 1, 0), bytes(2_050)))
    assert "16385 × 1" in reason(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty file"),
        (b"text", "not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not supported; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF is not supported; convert it to PNG or JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image"),
    ],
)
def test_other_content_is_an_error_with_the_reason(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    assert expected in reason(tmp_path / "x.jpg")


def test_format_is_found_by_content(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x.png")
    assert near(read((tmp_path / "x.png").rename(tmp_path / "x.jpg")), RED)


def test_floating_point_pixels_are_an_error(tmp_path: Path) -> None:
    Image.new("F", (8, 8), 0.5).save(tmp_path / "x.tiff")
    assert "32 bits" in reason(tmp_path / "x.tiff")
