import pytest
import torch

from rdpm_training import augment


def test_identity_transform_only_halves_the_size() -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    torch.testing.assert_close(augment.transform(images, identity), torch.nn.functional.avg_pool2d(images, 2))


def test_transform_fills_the_outside_with_white() -> None:
    black = -torch.ones(1, 1, 16, 16)
    shift = torch.tensor([[[1.0, 0, 1.0], [0, 1, 0]]])  # the result's right half is outside the source
    transformed = augment.transform(black, shift)
    assert transformed[0, 0, :, :3].eq(-1).all() and transformed[0, 0, :, -3:].eq(1).all()


def test_small_classes_get_more_variants_and_only_flippable_images_are_flipped() -> None:
    labels = torch.tensor([0] * 16 + [1] * 4)
    sources = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    variants = augment.AugmentedSplit(sources[:, :, ::2, ::2], labels, sources, labels == 1, count=4, seed=1)
    counts = variants.label(torch.arange(len(variants))).bincount()
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.3)  # the square root of their sizes' ratio
    flipped = variants.transforms[:, 0, 0] < 0
    assert not flipped[variants.label(torch.arange(len(variants))) == 0].any()
    assert 0.2 < flipped[variants.label(torch.arange(len(variants))) == 1].float().mean() < 0.8
