"""Reads an image file into the pixels that training sees, as the server reads an uploaded one.

The first frame, upright as EXIF says, 16 bits rounded to 8, colours in sRGB, laid on white, cropped to the central
square and scaled. Files are identified by their content, not by their name. The bounds are those of
`src/picture/input.rs`.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features

# By Pillow's names. Pillow reads more formats, but some of them start programs (EPS) or have no fixed pixels (WMF).
FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"] + (["AVIF"] if features.check("avif") else [])
MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
ORIENTATION = 0x0112  # EXIF tag
# EXIF orientation -> what makes the image upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LUMA = np.array([2126, 7152, 722], np.uint32)  # in ten-thousandths (ITU-R BT.709), as the server weighs colours
# Brands of ISO base media files.
UNSUPPORTED_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1"), "HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}

# `read` checks the size itself, before anything is decoded, and names it in its message.
Image.MAX_IMAGE_PIXELS = None


class ImageError(ValueError):
    """An image file cannot be read. `reason` says why in words that suit several files; the message adds details."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class TrainingImage:
    """Pixels (channels, size, size) as bytes, and what was done to the file's pixels besides cropping and scaling."""

    pixels: np.ndarray
    changes: tuple[str, ...] = ()


def read(path: Path, size: int, channels: int) -> TrainingImage:
    """Reads an image file. Raises ImageError if it is damaged, too large or no image."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise ImageError(
                    f"more than {MAX_PIXELS:,} pixels or {MAX_SIDE:,} on a side", f"{image.width} × {image.height}"
                )
            return _prepare(image, size, channels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(_name_format(path)) from error
    except MemoryError as error:
        raise ImageError("not enough memory to decode it") from error
    except PermissionError as error:
        raise ImageError("cannot be opened", error.strerror) from error
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, EOFError and others
        raise ImageError("truncated or damaged", str(error)) from error


def _name_format(path: Path) -> str:
    """Why a file that Pillow does not know is no image that can be read."""
    with path.open("rb") as file:
        start = file.read(12)
    if not start:
        return "empty file"
    brand = UNSUPPORTED_BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    return f"{brand} is not supported; convert it to PNG or JPEG" if brand else "not an image, or truncated or damaged"


def _prepare(image: Image.Image, size: int, channels: int) -> TrainingImage:
    changes: list[str] = []
    frame = image.tile[0][1] if image.tile else None
    image.load()
    if image.format == "PNG" and b"IEND" not in Path(image.filename).read_bytes():
        raise ImageError("truncated or damaged", "the end is missing")
    is_part = image.format == "GIF" and frame not in (None, (0, 0, *image.size))
    opaque = _lay_on_white(_only_frame(image, frame) if is_part else image, changes)
    upright = UPRIGHT.get(_orientation(image))
    if upright is not None:
        opaque = opaque.transpose(upright)
        changes.append("rotated or flipped as EXIF says")
    if _is_animated(image):
        changes.append("first frame of an animation")
    side = min(opaque.size)
    left, top = (opaque.width - side) // 2, (opaque.height - side) // 2
    square = opaque.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(square)
    if channels == 1 and square.mode == "RGB":
        pixels = ((pixels @ LUMA) // 10_000).astype(np.uint8)
    elif channels == 3 and square.mode == "L":
        pixels = np.stack([pixels] * 3, axis=-1)
    pixels = pixels.reshape(size, size, channels).transpose(2, 0, 1).copy()
    return TrainingImage(pixels, tuple(changes))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; Pillow itself applies that of TIFF files."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data are no reason to reject the image
        return 1


def _only_frame(image: Image.Image, frame: tuple[int, int, int, int]) -> Image.Image:
    """A GIF's first frame on a transparent canvas, as browsers and the server show it. Pillow fills the rest."""
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.convert("RGBA").crop(frame), frame[:2])
    return canvas


def _is_animated(image: Image.Image) -> bool:
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame
        return True


def _lay_on_white(image: Image.Image, changes: list[str]) -> Image.Image:
    """The decoded image as opaque L or RGB."""
    if image.mode.startswith("I;16"):
        changes.append("16 bits rounded to 8")
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        raise ImageError("pixels of 32 bits; convert it to 8 or 16 bits")
    has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    colour = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode == "CMYK":
        changes.append("CMYK converted to RGB")
    rgba = image.convert("LA" if colour == "L" else "RGBA") if has_alpha else None
    opaque = (rgba or image).convert(colour)
    if colour == "RGB" and image.mode != "CMYK":
        opaque = _to_srgb(opaque, image.info.get("icc_profile"), changes)
    if rgba is None:
        return opaque
    alpha = rgba.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return opaque
    changes.append("transparency laid on white")
    white = Image.new(colour, image.size, "white")
    white.paste(opaque, mask=alpha)
    return white


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    bytes_ = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        bytes_[values == transparent] = 255
    return Image.fromarray(bytes_)


def _to_srgb(image: Image.Image, icc: bytes | None, changes: list[str]) -> Image.Image:
    """Converts RGB from the embedded colour profile. A damaged profile is ignored, as browsers do."""
    if not icc:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = ImageCms.getProfileDescription(profile).strip()
        if profile.profile.xcolor_space.strip() != "RGB" or name.startswith("sRGB"):
            return image
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        converted = ImageCms.profileToProfile(image, profile, srgb, renderingIntent=intent)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        changes.append("damaged colour profile ignored")
        return image
    changes.append(f"converted to sRGB from {name or 'its colour profile'}")
    return converted or image
