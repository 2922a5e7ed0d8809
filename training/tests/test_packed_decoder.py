"""Training of a decoder with further levels: packed images, augmentation, and weights that are extended."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from rdpm_training import (
    codebook_stage,
    corners,
    data,
    decoder_stage,
    denoiser_stage,
    export,
    packed_decoder,
    restore,
    runs,
    tokenizer_stage,
    weights_folder,
)
from rdpm_training.config import Config, ConfigError, check


@pytest.fixture
def large(tiny: Config) -> Config:
    """The tiny configuration for images of twice the size, which the encoder sees halved."""
    config = dataclasses.replace(
        tiny,
        data=dataclasses.replace(tiny.data, image_size=32),
        tokenizer=dataclasses.replace(tiny.tokenizer, upsample_widths=[8], upsample_blocks=[1]),
        decoder=dataclasses.replace(tiny.decoder, adversarial_start=0.5),
    )
    check(config, "large")
    return config


def test_packed_images_are_lossless_in_grey_and_colour() -> None:
    for channels in (1, 3):
        images = torch.randint(256, (3, channels, 12, 12), dtype=torch.uint8)
        assert packed_decoder.decompress(packed_decoder.compress(images), channels).equal(images)


def test_augmentation_keeps_white_and_grey_and_moves_whole_pixels() -> None:
    torch.manual_seed(0)
    size = 40
    images = torch.full((64, 3, size, size), 255, dtype=torch.uint8)
    assert (packed_decoder.augment(images) - 1).abs().max() < 1e-5
    images[:, :, 18:20, 10:12] = 64
    augmented = packed_decoder.augment(images)
    grey = 64 / 127.5 - 1
    assert (((augmented - grey).abs() < 1e-5).sum((1, 2, 3)) == 12).all()
    assert len({tuple(image.flatten().tolist()) for image in augmented}) > 30
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(64, 3, size, size)
    augmented = packed_decoder.augment(red)
    assert augmented.abs().max() <= 1 and augmented[:, :, 20, 20].std(0).max() > 0.1


def test_configurations_with_upsampling_are_checked(large: Config) -> None:
    assert (large.reduction, large.downscale, large.grid) == (2, 8, 4)
    for changes, reason in (
        ({"upsample_widths": [12]}, "multiples of 8"),
        ({"upsample_widths": [8, 8, 8], "upsample_blocks": [1, 1, 1]}, "at most two"),
        ({"upsample_blocks": []}, "the same length"),
    ):
        broken = dataclasses.replace(large, tokenizer=dataclasses.replace(large.tokenizer, **changes))
        with pytest.raises(ConfigError, match=reason):
            check(broken, "large")


def test_decoder_of_exported_weights_is_extended(tiny: Config, large: Config, tmp_path: Path) -> None:
    run, weights = tmp_path / "run", tmp_path / "weights"
    tokenizer_stage.train(tiny, run)
    codebook_stage.train(tiny, run)
    denoiser_stage.train(tiny, run)
    export.export(tiny, run, weights)

    # Restored for larger images, everything but the decoder's last layers is as before.
    extended = tmp_path / "extended"
    restore.restore(large, extended, weights)
    small, untrained = tokenizer_stage.trained(tiny, run), tokenizer_stage.trained(large, extended)
    images = data.to_unit(data.load(large.data, large.seed).test.images)
    halved = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(untrained.encode(images), small.encode(halved))
    assert untrained.decode(torch.zeros(1, 16, 4)).shape == (1, 3, 32, 32)
    assert untrained.decoder.quarter_blocks[0].conv1.weight.equal(small.decoder.quarter_blocks[0].conv1.weight)

    packed_decoder.pack(large, extended)
    output = tmp_path / "decoder.pt"
    packed_decoder.train(large, packed_decoder.path_of(extended), weights, output, 8.0, 8, 1.0)
    plain, final = runs.load(tmp_path / "decoder-plain.pt"), runs.load(output)
    assert 0 < plain["report"]["updates"] < final["report"]["updates"]
    assert not plain["model"]["out.weight"].equal(final["model"]["out.weight"])

    # The trained decoder belongs to the run and is exported with everything else unchanged.
    (extended / "decoder.pt").write_bytes(output.read_bytes())
    decoder_stage.train(large, extended)
    report = runs.read_report(extended, "decoder")
    assert report["updates"] == final["report"]["updates"] and report["test_psnr_quantized_db"] > 0
    trained = tokenizer_stage.trained(large, extended)
    torch.testing.assert_close(trained.encode(images), small.encode(halved))

    def error(tokenizer: torch.nn.Module) -> float:
        return (tokenizer.decode(tokenizer.encode(images)) - images).square().mean().item()

    assert error(trained) < error(untrained)
    export.export(large, extended, tmp_path / "exported")
    described = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert described["image"]["size"] == 32 and described["tokenizer"]["upsample_widths"] == [8]
    _, _, _, exported = weights_folder.load(tmp_path / "exported")
    torch.testing.assert_close(exported.decode(exported.encode(images)), trained.decode(trained.encode(images)))
    restore.restore(large, tmp_path / "again", tmp_path / "exported")
    with pytest.raises(ConfigError, match="tokenizer differ"):
        restore.restore(tiny, tmp_path / "smaller", tmp_path / "exported")


def test_corners_become_white_and_the_rest_changes_less(large: Config) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizer_stage.build(large).eval()
    images = torch.ones(48, 3, 32, 32)
    images[:, :, 8:24, 8:24] = 2 * torch.rand(48, 3, 16, 16) - 1
    z = torch.randn(48, 16, 4)
    with torch.no_grad():
        before = tokenizer.decode(z)
        corners.fit(tokenizer, z, images)
        after = tokenizer.decode(z)

    def corner(decoded: torch.Tensor) -> torch.Tensor:
        return decoded[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]

    assert (corner(after) - 1).abs().mean() < 0.3 * (corner(before) - 1).abs().mean()
    inner = (after - before)[:, :, 4:-4, 4:-4].abs().mean()
    assert inner < 0.4 * (corner(after) - corner(before)).abs().mean()
