"""Pictures of the program, for judges."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rdpm_training.compare_flags import draw, split_sheet

WEIGHTS = Path(__file__).parents[2] / "weights" / "fashion-mnist"


@pytest.mark.parametrize("channels", [0, 3])
def test_sheet_is_split_row_by_row(channels: int) -> None:
    # Two rows and three columns of 2 x 2 pixels.
    sheet = torch.arange(6 * 10).reshape(6, 10)
    sheet = sheet[..., None].repeat(1, 1, channels) if channels else sheet
    pictures = split_sheet(sheet, 2)
    assert pictures.shape == (6, 3 if channels else 1, 2, 2)
    assert pictures[:, 0, 0, 0].tolist() == [0, 4, 8, 40, 44, 48]
    assert pictures[1, -1].tolist() == [[4, 5], [14, 15]]


def test_program_draws_classes_in_order(binary: Path) -> None:
    pictures = draw(binary, WEIGHTS, "", 1, 2, None)
    assert pictures.shape == (20, 1, 28, 28) and pictures.min() >= -1 and pictures.max() <= 1
    assert torch.equal(pictures, draw(binary, WEIGHTS, "--precision f32", 1, 2, None))
    trousers = draw(binary, WEIGHTS, "--guidance-steps 1-7", 1, 2, None)[2:4]
    assert not torch.equal(pictures[2:4], trousers)
    # Trousers are narrow: the border is black.
    assert (pictures[2:4, :, :, 0] < -0.9).all() and (trousers[:, :, :, 0] < -0.9).all()
