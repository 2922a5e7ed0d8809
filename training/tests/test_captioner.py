"""The captioner: features of the denoiser's trunk, names by their words, and the weights that are exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rdpm_training import captioner
from rdpm_training.conditions import Condition, Descriptions
from rdpm_training.denoiser import Denoiser, modulate

WORDS = 5


def denoiser() -> Denoiser:
    torch.manual_seed(1)
    schedule = [0.0, 0.5, 1.0]
    network = Denoiser(torch.randn(8, 3), schedule, 16, 2, width=8, layers=3, heads=2, styles=2, words=WORDS)
    for tensor in network.state_dict().values():
        tensor.add_(0.2 * torch.randn_like(tensor))
    return network.eval().requires_grad_(False)


def test_features_are_means_of_the_residual_stream_over_the_grid_and_its_quarters() -> None:
    network, z = denoiser(), torch.randn(2, 16, 3)
    found = captioner.features(network, z, 2, (1, 3))
    null = Condition(torch.tensor([2, 2]), torch.tensor([2, 2]), torch.full((2, 1), WORDS))
    # By hand: the blocks one after another, and means over the cells of a 4 x 4 grid.
    x = network.input(z * network.input_scale[1]) + network.position
    embedded = network.timestep.weight[1] + network.embed_condition(null)
    modulation = network.modulation(torch.nn.functional.silu(network.condition(embedded)))
    expected = []
    for number, block in enumerate(network.blocks, 1):
        x = block(x, modulation)
        if number in (1, 3):
            quarters = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
            expected += [x.mean(1), *(x[:, cells].mean(1) for cells in quarters)]
    assert torch.allclose(found, torch.cat(expected, 1), atol=1e-6)
    # The features are read without a change of the network's output.
    t = torch.tensor([2, 2])
    shift, scale = network.final(torch.nn.functional.silu(network.condition(embedded))).unsqueeze(1).chunk(2, dim=-1)
    logits = torch.nn.functional.linear(modulate(x, shift, scale), network.output_weight(), network.bias)
    assert torch.allclose(network(z, t, null), logits, atol=1e-5)


def test_names_are_scored_by_the_mean_log_probability_of_their_words() -> None:
    names = captioner.one_hot(torch.tensor([[0, WORDS], [1, 2]]), WORDS)
    assert names.tolist() == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]
    logits = torch.log(torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1]]))
    expected = [torch.tensor(0.5).log(), (torch.tensor(0.2).log() + torch.tensor(0.1).log()) / 2]
    assert captioner.score_names(logits, names)[0].tolist() == pytest.approx([float(x) for x in expected])
    impossible = torch.tensor([[0.0, -1000.0, 0.0, -1000.0, -1000.0]])
    score = captioner.score_names(impossible, names)[0, 1]
    assert float(score) == pytest.approx((captioner.LEAST_LOG_PROBABILITY - torch.tensor(2.0).log()) / 2)


def test_fit_learns_the_words_of_separable_features_in_any_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioner, "EPOCHS", 12)
    torch.manual_seed(1)
    names = torch.tensor([[0, WORDS], [1, 2], [3, 4]])
    emoji = torch.arange(300) % 3
    x = torch.randn(300, 6) + 40 * torch.nn.functional.one_hot(emoji, 6) + 1000
    none = torch.zeros(300, 0, dtype=torch.long)
    seen = captioner.Examples(x, Descriptions(torch.zeros(300, dtype=torch.long), names[emoji], none, emoji))
    head = captioner.fit(seen, WORDS, torch.Generator().manual_seed(1))
    scores = captioner.score_names(head(x), captioner.one_hot(names, WORDS))
    assert captioner.ranks(scores, emoji) == {"name": 1.0, "name_in_5": 1.0}
    assert captioner.ranks(scores, (emoji + 1) % 3)["name"] == 0.0


def test_inverse_temperature_makes_probabilities_of_names_agree_with_how_often_they_are_right() -> None:
    # Of two names, the one with the higher score, by 1, is right three times in four: e^f / (1 + e^f) = 3 / 4.
    scores = torch.tensor([[0.0, -1.0]]).expand(400, 2)
    targets = (torch.arange(400) % 4 == 0).long()
    assert captioner.inverse_temperature(scores, targets) == pytest.approx(1.0986, rel=0.06)


def test_the_saved_file_has_the_weights_and_the_layers(tmp_path: Path) -> None:
    head = captioner.Captioner(20, WORDS, width=4).eval()
    captioner.save(head, (1, 3), 2.5, tmp_path / captioner.FILE)
    tensors = load_file(tmp_path / captioner.FILE)
    assert tensors.pop("layers").tolist() == [1, 3]
    assert tensors.pop("inverse_temperature").tolist() == [2.5]
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "up.weight": (4, 20),
        "up.bias": (4,),
        "down.weight": (WORDS, 4),
        "down.bias": (WORDS,),
    }
    assert not list(tmp_path.glob("*.new"))
