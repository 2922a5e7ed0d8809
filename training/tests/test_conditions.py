"""Style and words beside the class: what training tells, what the denoiser makes of it."""

from __future__ import annotations

import torch

from rdpm_training.conditions import MAX_KEYWORDS, Condition, ConditionDropout, Descriptions, Vocabulary
from rdpm_training.denoiser import Denoiser

PADDING = 6


def descriptions(count: int) -> Descriptions:
    """Names "0 1" with keywords "2 3 4 5", every second one without keywords."""
    keywords = torch.tensor([2, 3, 4, 5]).repeat(count, 1)
    keywords[1::2] = PADDING
    return Descriptions(
        torch.zeros(count, dtype=torch.long), torch.tensor([0, 1]).repeat(count, 1), keywords, torch.arange(count)
    )


def network(styles: int = 2, words: int = PADDING) -> Denoiser:
    torch.manual_seed(1)
    codebook = torch.randn(12, 3)
    return Denoiser(
        codebook, [0.0, 0.5, 1.0], positions=4, classes=2, width=8, layers=1, heads=2, styles=styles, words=words
    )


def test_words_are_encoded_in_their_order_and_unknown_ones_left_out() -> None:
    vocabulary = Vocabulary(["cat", "face", "joy"])
    encoded = vocabulary.encode([["face", "cat"], ["joy", "unheard"], []])
    assert encoded.tolist() == [[1, 0], [2, 3], [3, 3]]


def test_names_keywords_or_both_are_told_and_always_something() -> None:
    count = 4000
    told = descriptions(count).sample_words(PADDING, torch.Generator().manual_seed(1))
    assert told.shape == (count, 2 + MAX_KEYWORDS)
    named, keywords = told[:, 0] != PADDING, (told[:, 2:] != PADDING).sum(1)
    assert (named | (keywords > 0)).all()
    assert named[1::2].all() and (keywords[1::2] == 0).all()  # without keywords there is the name
    shares = [(named & (keywords == 0))[::2], (named & (keywords > 0))[::2], ~named[::2]]
    for share, expected in zip(shares, (0.65, 0.2, 0.15), strict=True):
        assert abs(share.double().mean().item() - expected) < 0.03
    assert keywords[::2].unique().tolist() == [0, 1, 2, 3]
    # No keyword is told twice.
    rows = told[keywords == 3][:, 2:]
    assert all(len(set(row)) == 3 for row in rows.tolist())


def test_parts_of_a_condition_are_dropped_independently() -> None:
    count = 8000
    condition = Condition(torch.ones(count).long(), torch.ones(count).long(), torch.ones(count, 2).long())
    null = Condition(*(torch.zeros_like(part) for part in condition))
    kept = ConditionDropout(0.1, 0.2, 0.3, 0.1).apply(condition, null, torch.Generator().manual_seed(1))
    lost = [(part.view(count, -1)[:, 0] == 0).double() for part in kept]
    for share, own in zip(lost, (0.1, 0.2, 0.3), strict=True):
        assert abs(share.mean().item() - (1 - 0.9 * (1 - own))) < 0.02
    assert abs((lost[0] * lost[1] * lost[2]).mean().item() - (0.1 + 0.9 * 0.006)) < 0.02


def test_a_denoiser_of_classes_goes_on_unchanged_when_it_gets_styles_and_words() -> None:
    plain, worded = network(styles=0, words=0), network()
    for zero in (plain.modulation, plain.final):
        torch.nn.init.normal_(zero.weight, std=0.1)
    worded.load_folded(plain.fold().state_dict())
    z, t, y = torch.randn(3, 4, 3), torch.tensor([1, 2, 1]), torch.tensor([0, 1, 2])
    expected = plain(z, t, y)
    told = Condition(y, torch.tensor([0, 1, 2]), torch.tensor([[0, 1], [2, PADDING], [PADDING, PADDING]]))
    torch.testing.assert_close(worded(z, t, y), expected)
    torch.testing.assert_close(worded(z, t, told), expected)


def test_padding_changes_nothing_and_words_do() -> None:
    worded = network()
    for layer in (worded.words_out, worded.modulation, worded.final):
        torch.nn.init.normal_(layer.weight, std=0.5)
    z, t = torch.randn(1, 4, 3), torch.tensor([1])

    def logits(words: list[int]) -> torch.Tensor:
        return worded(z, t, Condition(torch.tensor([0]), torch.tensor([2]), torch.tensor([words])))

    torch.testing.assert_close(logits([3, 4]), logits([3, 4, PADDING, PADDING]))
    assert not torch.allclose(logits([3]), logits([4]), atol=1e-3)
    null = worded.null_condition(Condition(torch.tensor([0]), torch.tensor([1]), torch.tensor([[3, 4]])))
    torch.testing.assert_close(worded(z, t, null), worded(z, t, torch.tensor([2])))
