import pytest
import torch

from rdpm_training import augment


def test_no_warp_is_plain_halving() -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    torch.testing.assert_close(augment.transform(images, still), torch.nn.functional.avg_pool2d(images, 2))


def test_what_comes_in_from_outside_is_white() -> None:
    black = -torch.ones(1, 1, 16, 16)
    far = torch.tensor([[[1.0, 0, 1.0], [0, 1, 0]]])  # the result's right half lies outside
    warped = augment.transform(black, far)
    assert warped[0, 0, :, :3].eq(-1).all() and warped[0, 0, :, -3:].eq(1).all()


def test_small_classes_appear_more_often_and_only_allowed_images_are_mirrored() -> None:
    labels = torch.tensor([0] * 16 + [1] * 4)
    sources = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    variants = augment.AugmentedSplit(sources[:, :, ::2, ::2], labels, sources, labels == 1, count=4, seed=1)
    shown = variants.label(torch.arange(len(variants))).bincount()
    assert shown[0] / shown[1] == pytest.approx(2, rel=0.3)  # the square root of their sizes' ratio
    mirrored = variants.transforms[:, 0, 0] < 0
    assert not mirrored[variants.label(torch.arange(len(variants))) == 0].any()
    assert 0.2 < mirrored[variants.label(torch.arange(len(variants))) == 1].float().mean() < 0.8
