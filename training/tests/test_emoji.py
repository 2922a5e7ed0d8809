"""Stage `data` on generated icon sets: selection and rendering of images, held-out data, refused input."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rdpm_training import (
    checkpoint,
    codebook_stage,
    data,
    denoiser_stage,
    export,
    model_card,
    packed,
    restore,
    runs,
    tokenizer_stage,
    weights_folder,
)
from rdpm_training import config as configuration
from rdpm_training.conditions import Vocabulary
from rdpm_training.config import Config, EmojiClassConfig, EmojiConfig, Package
from rdpm_training.emoji import build, styles, unicode, words

from .conftest import TOML

EMOJI_TEST = """
# group: People & Body
# subgroup: person-role
1F9D1 200D 1F373 ; fully-qualified     # 🧑‍🍳 E12.1 cook
1F9D1 1F3FB 200D 1F373 ; fully-qualified # 🧑🏻‍🍳 E12.1 cook: light skin tone
1F468 200D 1F373 ; fully-qualified     # 👨‍🍳 E4.0 man cook
1F469 1F3FF 200D 1F373 ; fully-qualified # 👩🏿‍🍳 E4.0 woman cook: dark skin tone
# subgroup: heart
2764 FE0F ; fully-qualified     # ❤️ E0.6 red heart
2764      ; unqualified         # ❤ E0.6 red heart
1F499     ; fully-qualified     # 💙 E0.6 blue heart
1F49B     ; fully-qualified     # 💛 E0.6 yellow heart
1F49A     ; fully-qualified     # 💚 E0.6 green heart
1F48C     ; fully-qualified     # 💌 E0.6 love letter
# subgroup: country-flag
1F1E8 1F1EE ; fully-qualified   # 🇨🇮 E2.0 flag: Côte d’Ivoire
# subgroup: arrow
2B06 FE0F ; fully-qualified     # ⬆️ E0.6 up arrow
"""
SVG = '<rect x="2" y="6" width="12" height="4" fill="{}"/>'


def archive(path: Path, files: dict[str, bytes]) -> str:
    """Writes an npm package and returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def emoji(tmp_path: Path) -> Config:
    """Hearts and cooks in three styles: one lists code points, one has names only, one is a folder of images."""
    (tmp_path / "emoji-test.txt").write_text(EMOJI_TEST)
    packages = tmp_path / "run" / "packages"

    def iconify(name: str, icons: dict[str, str], chars: dict[str, str]) -> str:
        collection = {"width": 16, "height": 16, "icons": {n: {"body": SVG.format(c)} for n, c in icons.items()}}
        collection["aliases"] = {"old-heart": {"parent": "red-heart"}, "turned": {"parent": "red-heart", "rotate": 1}}
        files = {"icons.json": collection, "chars.json": chars, "info.json": {"license": {"spdx": "MIT"}}}
        return archive(packages / f"x-{name}-1.0.0.tgz", {n: json.dumps(f).encode() for n, f in files.items()})

    hearts = {"red-heart": "red", "blue-heart": "blue", "yellow-heart": "gold", "green-heart": "green"}
    cooks = {"cook": "grey", "pale": "pink", "man-cook": "black", "dark": "brown"}
    chars = {"1f9d1-1f3fb-200d-1f373": "pale", "1f469-1f3ff-200d-1f373": "dark", "2764-fe0f": "red-heart"}
    webp = io.BytesIO()
    Image.new("RGBA", (20, 10), "red").save(webp, "webp", lossless=True)
    folder = {"package.json": b'{"license": "MIT"}', "assets/2764-fe0f.webp": webp.getvalue()}
    sets = {
        "listed": iconify("listed", hearts | cooks, chars),
        "named": iconify("named", hearts | {"love-letter": "red", "flag-for-flag-cote-divoire": "orange"}, {}),
        "folder": archive(packages / "x-folder-1.0.0.tgz", folder),
    }
    settings = EmojiConfig(
        unicode=str(tmp_path / "emoji-test.txt"),
        styles={name: Package(f"@x/{name}", "1.0.0", digest, "MIT") for name, digest in sets.items()},
        classes={
            "Heart": EmojiClassConfig(["heart"], without=["love*"]),
            "Cook": EmojiClassConfig(["person-*"], looks=3, flip=False),
            "Flag": EmojiClassConfig(["country-flag"]),
        },
    )
    file = tmp_path / "emoji.toml"
    file.write_text(TOML.format(path=tmp_path / "images.npz").replace('"folder"', '"emoji"'))
    tiny = configuration.load(file)
    kind = dataclasses.replace(tiny.data, test_fraction=0.25, variants=4)
    return dataclasses.replace(tiny, data=kind, emoji=settings)


def test_skin_tones_and_genders_share_the_base_key(tmp_path: Path) -> None:
    (tmp_path / "emoji-test.txt").write_text(EMOJI_TEST)
    found = unicode.read(tmp_path / "emoji-test.txt")
    cooks = [item for item in found if item.subgroup == "person-role"]
    assert {item.base for item in cooks} == {"1f9d1-200d-1f373"}
    assert [item.is_base for item in cooks] == [True, False, False, False]
    assert [item.key for item in found].count("2764") == 1  # the unqualified form is not a second emoji
    assert unicode.base("1f3c3-1f3fd-200d-2642") == unicode.base("1f3c3")  # man running: medium skin tone
    assert unicode.base("1f468") == "1f468"  # a man is not a variant of a person


def test_built_data_set_follows_the_configuration(emoji: Config, tmp_path: Path) -> None:
    build.build(emoji, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "data.json").read_text())
    assert report["classes"] == {
        "Heart": {"train": 6, "test": 3},
        "Cook": {"train": 3, "test": 0},
        "Flag": {"train": 1, "test": 0},
    }
    assert {name: style["images"] for name, style in report["styles"].items()} == {"listed": 7, "named": 5, "folder": 1}
    with np.load(tmp_path / "images.npz") as kept:
        names, test = kept["names"].tolist(), kept["test"]
        red = kept["images"][names.index("red heart (folder)")]
    # One of four hearts is held out, in every style that has it.
    assert {name.split(" (")[0] for name in np.array(names)[test]} == {"red heart"}
    # Three of four variants are selected, including the base.
    assert len([name for name in names if "cook" in name]) == 3 and "cook (listed)" in names
    # The opaque part is centred on white and fills the width between the margins.
    assert red.shape == (3, 32, 32)
    assert red[:, 16, 16].tolist() == [255, 0, 0] and red[:, 16, 3].tolist() == [255, 0, 0]
    assert red[:, 16, 0].tolist() == [255, 255, 255] and red[:, 4, 16].tolist() == [255, 255, 255]
    assert (tmp_path / "run" / "sheets" / "00-heart.png").exists()

    model_card.write(emoji, tmp_path / "run", tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| listed | 7 | `@x/listed@1.0.0` | MIT |" in text and "| Heart | 6 | 3 |" in text

    before = (tmp_path / "images.npz").read_bytes()
    build.build(emoji, tmp_path / "run")
    with np.load(io.BytesIO(before)) as first, np.load(tmp_path / "images.npz") as second:
        assert first.files == second.files and "images" in first.files
        assert all((first[name] == second[name]).all() for name in first.files)


def test_built_data_set_is_loaded_with_augmentation(emoji: Config, tmp_path: Path) -> None:
    build.build(emoji, tmp_path / "run")
    dataset = data.load(emoji.data, emoji.seed)
    assert dataset.classes == ["Heart", "Cook", "Flag"]
    assert len(dataset.train) > 2 * len(dataset.train.images)
    images, labels = dataset.train.batch(torch.arange(len(dataset.train)))
    assert images.shape[1:] == (3, 16, 16) and -1.001 <= images.min() and images.max() <= 1.001
    assert labels.unique().tolist() == [0, 1, 2]
    again = data.load(emoji.data, emoji.seed).train.batch(torch.tensor([5]))[0]
    assert again.equal(images[5:6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"license": "CC-BY-4.0"}, "under MIT"),
    ],
)
def test_package_with_another_hash_or_licence_is_refused(
    emoji: Config, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    assert emoji.emoji is not None
    style = dataclasses.replace(emoji.emoji.styles["listed"], **change)
    with pytest.raises(data.DataError, match=message):
        styles.renderers(styles.fetch(style, tmp_path / "run" / "packages"), style.license, [])


def test_missing_data_set_error_names_the_stage_to_run(emoji: Config) -> None:
    with pytest.raises(data.DataError, match="stage `data`"):
        data.load(emoji.data, emoji.seed)


def test_build_without_emoji_section_is_refused(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(configuration.ConfigError, match="emoji"):
        build.build(tiny, tmp_path)


def test_split_words_normalizes_and_removes_duplicates() -> None:
    assert words.split_words("Cat with tears of joy") == ["cat", "with", "tears", "of", "joy"]
    assert words.split_words("flag: Côte d’Ivoire") == ["flag", "cote", "divoire"]
    assert words.split_words("T-shirt, t-shirt!") == ["t", "shirt"]
    assert words.split_words("🎸 <b>") == ["b"]


@pytest.fixture
def worded(emoji: Config, tmp_path: Path) -> Config:
    """The same emoji with keywords, held-out pairs and a held-out list."""
    annotations = {"\u2764": {"default": ["love", "heart"]}, "\U0001f499": {"default": ["sky"]}}
    annotations["\U0001f9d1\u200d\U0001f373"] = {"default": ["kitchen"]}
    files = {
        "package.json": b'{"license": "Unicode-3.0"}',
        "annotations/en/annotations.json": json.dumps({"annotations": {"annotations": annotations}}).encode(),
    }
    digest = archive(tmp_path / "run" / "packages" / "keywords-1.0.0.tgz", files)
    assert emoji.emoji is not None
    settings = dataclasses.replace(
        emoji.emoji,
        annotations=Package("keywords", "1.0.0", digest, "Unicode-3.0"),
        held_out=str(tmp_path / "held-out.txt"),
        pair_fraction=0.9,
    )
    return dataclasses.replace(emoji, emoji=settings, data=dataclasses.replace(emoji.data, variants=0))


def test_every_image_has_style_and_words(worded: Config, tmp_path: Path) -> None:
    build.build(worded, tmp_path / "run")
    dataset = data.load(worded.data, worded.seed)
    assert dataset.styles == ["listed", "named", "folder"]
    known = dataset.vocabulary.words
    assert known == sorted(known) and {"blue", "heart", "sky", "cook", "kitchen", "skin", "tone"} <= set(known)
    # The red heart is held out, so a word that only it has is not in the vocabulary.
    assert "love" not in known and dataset.test.descriptions is not None
    names = [[known[word] for word in row if word < len(known)] for row in dataset.test.descriptions.names.tolist()]
    assert len(dataset.test) == 3 and names == [["heart"]] * 3
    assert dataset.train.descriptions is not None and len(dataset.train.descriptions.names) == len(dataset.train)


def test_emoji_of_held_out_pairs_are_in_training_in_another_style(worded: Config, tmp_path: Path) -> None:
    build.build(worded, tmp_path / "run")
    with np.load(tmp_path / "images.npz") as kept:
        pairs, test, bases, style_indices = (kept[name] for name in ("held_out_pairs", "test", "bases", "styles"))
    assert pairs.any() and not (pairs & test).any()
    train = ~pairs & ~test
    assert set(bases[pairs]) <= set(bases[train])
    training_pairs = set(zip(bases[train], style_indices[train], strict=True))
    assert training_pairs and not training_pairs & set(zip(bases[pairs], style_indices[pairs], strict=True))
    dataset = data.load(worded.data, worded.seed)
    assert dataset.pairs is not None and len(dataset.pairs) == pairs.sum()
    lines = (tmp_path / "held-out.txt").read_text().splitlines()
    assert "emoji\t2764\t*\tred heart" in lines and any(line.startswith("pair\t") for line in lines)


def test_different_held_out_list_is_refused(worded: Config, tmp_path: Path) -> None:
    (tmp_path / "held-out.txt").write_text("emoji\t1f499\t*\tblue heart\n")
    with pytest.raises(data.DataError, match="differs from the emoji"):
        build.build(worded, tmp_path / "run")


def test_keywords_under_another_licence_are_refused(worded: Config, tmp_path: Path) -> None:
    assert worded.emoji is not None and worded.emoji.annotations is not None
    with pytest.raises(data.DataError, match="is under Unicode-3.0, but the configuration says MIT"):
        words.read_keywords(styles.fetch(worded.emoji.annotations, tmp_path / "run" / "packages"), "MIT")


def test_run_with_words_continues_from_a_kept_checkpoint(
    worded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINTS", tmp_path / "checkpoints")
    run, plain, weights = tmp_path / "run", tmp_path / "plain", tmp_path / "weights"
    build.build(worded, run)
    # The run starts from exported weights of a model with classes only.
    classes_only = dataclasses.replace(worded, denoiser=dataclasses.replace(worded.denoiser, updates=2))
    dataset = data.load(worded.data, worded.seed)
    monkeypatch.setattr(data, "load", lambda *_: dataclasses.replace(dataset, styles=[], vocabulary=Vocabulary([])))
    monkeypatch.setattr(dataset.train, "descriptions", None)
    monkeypatch.setattr(dataset.test, "descriptions", None)
    tokenizer_stage.train(classes_only, plain)
    codebook_stage.train(classes_only, plain)
    denoiser_stage.train(classes_only, plain)
    export.export(classes_only, plain, weights)
    monkeypatch.undo()
    monkeypatch.setattr(checkpoint, "CHECKPOINTS", tmp_path / "checkpoints")

    restore.restore(worded, run, weights)
    with pytest.raises(configuration.ConfigError, match="has not been trained beyond"):
        checkpoint.keep(worded, run)
    denoiser_stage.train(worded, run)
    assert runs.load(run / "denoiser.pt")["update"] == worded.denoiser.updates
    checkpoint.keep(worded, run)

    elsewhere = tmp_path / "elsewhere" / "run"
    restore.restore(worded, elsewhere, weights)
    state, kept = runs.load(run / "denoiser.pt")["ema"], runs.load(elsewhere / "denoiser.pt")
    assert kept["update"] == worded.denoiser.updates and "word.weight" in kept["ema"]
    assert kept["ema"].keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(kept["ema"][name], tensor, rtol=1 / 128, atol=1e-6)
    # Exported with its words, it is restored as it is.
    export.export(worded, run, tmp_path / "words")
    described = json.loads((tmp_path / "words" / "config.json").read_text())
    assert (described["format_version"], described["styles"]) == (2, ["listed", "named", "folder"])
    listed = json.loads((tmp_path / "words" / "vocabulary.json").read_text())
    assert listed["words"] == data.load(worded.data, worded.seed).vocabulary.words
    assert set(listed["subjects"]) == {"Heart", "Cook", "Flag"}
    class_of_word = dict(zip(listed["words"], listed["classes"], strict=True))
    assert described["classes"][class_of_word["cook"]] == "Cook"
    assert listed["emoji"]["\U0001f9d1\U0001f373"] == "cook"  # person, joiner, pan
    assert list(listed["subjects"]["Cook"]) == ["cook"] and "red heart" not in listed["subjects"]["Heart"]
    _, _, exported, _ = weights_folder.load(tmp_path / "words")
    original = denoiser_stage.trained(worded, run, 3).state_dict()
    assert original.keys() == exported.state_dict().keys() and "style.weight" in original
    assert all(exported.state_dict()[name].equal(tensor) for name, tensor in original.items())
    again = tmp_path / "again"
    restore.restore(worded, again, tmp_path / "words")
    assert "word.weight" in runs.load(again / "denoiser.pt")["ema"]

    longer = dataclasses.replace(worded, denoiser=dataclasses.replace(worded.denoiser, updates=8))
    denoiser_stage.train(longer, elsewhere)
    assert runs.load(elsewhere / "denoiser.pt")["update"] == 8

    # Packed, training needs no images. From the kept checkpoint, it lowers the training loss further.
    packed.pack(worded, run)
    dataset, codebook = data.load(worded.data, worded.seed), codebook_stage.trained(run)
    latents, _ = codebook_stage.latents(worded, run)
    known = denoiser_stage.known_conditions(dataset.train)

    def loss(state: dict[str, torch.Tensor]) -> float:
        denoiser = denoiser_stage.build(worded, codebook, 3, len(dataset.styles), len(dataset.vocabulary.words))
        denoiser.load_state_dict(state)
        return sum(denoiser_stage.cross_entropy(worded, denoiser, latents, known, codebook)) / worded.trajectory.steps

    packed.train(longer, packed.path_of(run), checkpoint.path_of(run), tmp_path / "packed.pt", 4.0, [0.5])
    trained = checkpoint.read(tmp_path / "packed.pt")
    assert trained["update"] > kept["update"]
    assert loss(trained["ema"]) < loss(kept["ema"])
    snapshots = list(tmp_path.glob("packed-*.pt"))
    assert len(snapshots) == 1 and checkpoint.read(snapshots[0])["ema"].keys() == trained["ema"].keys()
    whole = (tmp_path / "packed.pt").read_bytes()
    parts = packed.write_parts(tmp_path / "packed.pt", 10_000)
    assert len(parts) > 1 and b"".join(part.read_bytes() for part in parts) == whole
    assert not (tmp_path / "packed.pt").exists()
