"""Conditions with style and words: random words and dropout in training, and their effect on the denoiser."""

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


def test_encode_keeps_word_order_and_omits_unknown_words() -> None:
    vocabulary = Vocabulary(["cat", "face", "joy"])
    encoded = vocabulary.encode([["face", "cat"], ["joy", "unknown"], []])
    assert encoded.tolist() == [[1, 0], [2, 3], [3, 3]]


def test_sampled_words_are_name_keywords_or_both_and_never_empty() -> None:
    count = 4000
    sampled = descriptions(count).sample_words(PADDING, torch.Generator().manual_seed(1))
    assert sampled.shape == (count, 2 + MAX_KEYWORDS)
    named, keywords = sampled[:, 0] != PADDING, (sampled[:, 2:] != PADDING).sum(1)
    assert (named | (keywords > 0)).all()
    assert named[1::2].all() and (keywords[1::2] == 0).all()  # without keywords, the name is used
    fractions = [(named & (keywords == 0))[::2], (named & (keywords > 0))[::2], ~named[::2]]
    for fraction, expected in zip(fractions, (0.65, 0.2, 0.15), strict=True):
        assert abs(fraction.double().mean().item() - expected) < 0.03
    assert keywords[::2].unique().tolist() == [0, 1, 2, 3]
    # No keyword occurs twice.
    rows = sampled[keywords == 3][:, 2:].tolist()
    assert len(rows) > 100 and all(len(set(row)) == 3 for row in rows)


def test_condition_parts_are_dropped_independently() -> None:
    count = 8000
    condition = Condition(torch.ones(count).long(), torch.ones(count).long(), torch.ones(count, 2).long())
    null = Condition(*(torch.zeros_like(part) for part in condition))
    result = ConditionDropout(0.1, 0.2, 0.3, 0.1).apply(condition, null, torch.Generator().manual_seed(1))
    dropped = [(part.view(count, -1)[:, 0] == 0).double() for part in result]
    for fraction, own in zip(dropped, (0.1, 0.2, 0.3), strict=True):
        assert abs(fraction.mean().item() - (1 - 0.9 * (1 - own))) < 0.02
    assert abs((dropped[0] * dropped[1] * dropped[2]).mean().item() - (0.1 + 0.9 * 0.006)) < 0.02


def test_class_only_weights_give_the_same_logits_in_a_denoiser_with_styles_and_words() -> None:
    plain, worded = network(styles=0, words=0), network()
    for layer in (plain.modulation, plain.final):
        torch.nn.init.normal_(layer.weight, std=0.1)
    worded.load_folded(plain.fold().state_dict())
    z, t, y = torch.randn(3, 4, 3), torch.tensor([1, 2, 1]), torch.tensor([0, 1, 2])
    expected = plain(z, t, y)
    condition = Condition(y, torch.tensor([0, 1, 2]), torch.tensor([[0, 1], [2, PADDING], [PADDING, PADDING]]))
    torch.testing.assert_close(worded(z, t, y), expected)
    torch.testing.assert_close(worded(z, t, condition), expected)


def test_logits_depend_on_words_but_not_on_padding() -> None:
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
