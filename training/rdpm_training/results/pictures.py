"""Stage `pictures`: what the base run's model draws, to look at.

- sheet.png: samples of every class, not picked.
- nearest.png: some of them beside the training images nearest to them, pixel by pixel.
- film.webp: one sample of each class, its noise turned from one to another while all other random numbers stay.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .. import data, drawing, evaluate, measures, runs, tokenizer_stage
from ..sampler import Settings
from .base import Base
from .once import once
from .plan import Plan

FILM_BYTES = 1_000_000
FRAME_MILLISECONDS = 60
GAP, LABEL = 4, 110  # pixels between tiles; for a class's name
MARK = "#d55e00"


def pictures(plan: Plan, folder: Path) -> None:
    sampling = plan.base.sampling
    settings = {"guidance": sampling.guidance, "temperature": sampling.temperature}
    asked = {"model": plan.base.name, "sampling": settings, "pictures": vars(plan.pictures)}
    place = folder / "pictures"
    once(place, asked, lambda: make(plan, Base(plan, folder), place, Settings(**settings)))


def make(plan: Plan, base: Base, folder: Path, settings: Settings) -> dict[str, Any]:
    wanted, classes = plan.pictures, base.dataset.classes
    model = drawing.rdpm(plan.base, plan.run, base.classes)
    labels = torch.arange(base.classes).repeat_interleave(wanted.sheet)
    drawn = drawing.draw(model, labels, settings, wanted.seed).unflatten(0, (base.classes, wanted.sheet))
    sheet([list(row) for row in drawn], classes).save(folder / "sheet.png", optimize=True)

    train = data.to_unit(base.dataset.train.images)
    chosen = drawn[:, : wanted.nearest].flatten(0, 1)
    distances, indices = measures.nearest(chosen, train, wanted.neighbours)
    limit = copy_limit(plan, train)
    rows: list[list[Tensor]] = [[] for _ in classes]
    marked = set()
    for place, (sample, neighbours) in enumerate(zip(chosen, indices, strict=True)):
        row = rows[place // wanted.nearest]
        if distances[place, 0] < limit:
            marked.add((place // wanted.nearest, len(row)))
        row += [sample, *train[neighbours]]
    sheet(rows, classes, marked, group=1 + wanted.neighbours).save(folder / "nearest.png", optimize=True)
    film(interpolation(plan, model, settings), wanted.scale, folder / "film.webp")
    return {
        "nearest_rms": [round(value, 4) for value in distances[:, 0].tolist()],
        "copy_limit_rms": round(limit, 4),
        "nearer_than_the_limit": len(marked),
        "film_bytes": (folder / "film.webp").stat().st_size,
    }


def copy_limit(plan: Plan, train: Tensor) -> float:
    """Nearer than this to a training image are one in a hundred test images, tokenized and decoded (blurred alike)."""
    unseen = evaluate.reconstruct(plan.base, plan.run, plan.base.evaluation.nearest_samples)
    return measures.nearest(unseen, train)[0][:, 0].quantile(0.01).item()


def to_image(image: Tensor, scale: int = 1) -> Image.Image:
    """A picture from (channels, size, size) in -1..1."""
    bytes_ = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().expand(3, -1, -1)
    picture = Image.fromarray(bytes_.permute(1, 2, 0).contiguous().numpy())
    return picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.NEAREST)


def sheet(
    rows: list[list[Tensor]], names: list[str], marked: set[tuple[int, int]] | None = None, group: int = 0
) -> Image.Image:
    """Rows of images with their names; some framed. A group is a sample and what it is compared with: its first column
    stands a little apart, the next group further."""
    scale = max(1, 64 // rows[0][0].shape[-1])
    side = scale * rows[0][0].shape[-1] + GAP

    def left(column: int) -> int:
        apart = column // group * 5 * GAP + (column % group > 0) * GAP if group else 0
        return LABEL + column * side + apart

    canvas = Image.new("RGB", (left(len(rows[0]) - 1) + side, GAP + len(rows) * side), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        top = GAP + index * side
        pen.text((GAP, top + side / 2), name, "black", font, anchor="lm")
        for column, image in enumerate(row):
            place = (left(column), top)
            canvas.paste(to_image(image, scale), place)
            if (index, column) in (marked or ()):
                pen.rectangle((place[0] - 2, top - 2, place[0] + side - GAP + 1, top + side - GAP + 1), None, MARK, 2)
    return canvas


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """From a (share 0) to b (1) on the sphere: what lies between is as likely a noise as its ends are. (b, n, c)."""
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()[:, None, None]
    return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()


def interpolation(plan: Plan, model: drawing.Rdpm, settings: Settings) -> list[Tensor]:
    """The film's frames (classes, channels, size, size), one way."""
    labels = torch.arange(model.denoiser.null_class)
    shape = (len(labels), plan.base.positions, model.codebook.shape[1])
    random = runs.generator(plan.pictures.seed, drawing.STAGE, 1)
    a, b = torch.randn(2, *shape, generator=random)
    frames = []
    for frame in range(plan.pictures.frames):
        eps = slerp(a, b, frame / max(1, plan.pictures.frames - 1))
        # The same generator anew: every frame draws its codes with the same numbers.
        random = runs.generator(plan.pictures.seed, drawing.STAGE, 2)
        latents = model.latents_from(eps, labels, settings, random)
        frames.append(tokenizer_stage.decode_all(model.tokenizer, latents, runs.device()))
    return frames


def film(frames: list[Tensor], scale: int, path: Path) -> None:
    """An animation there and back, endless, as good as fits into a megabyte."""
    columns = math.ceil(len(frames[0]) ** 0.5 * 1.5)  # about three wide, two high
    pictures = []
    for frame in [*frames, *frames[-2:0:-1]]:
        tiles = [to_image(image, scale) for image in frame]
        side = tiles[0].width + GAP
        canvas = Image.new("RGB", (columns * side - GAP, math.ceil(len(tiles) / columns) * side - GAP), "white")
        for index, tile in enumerate(tiles):
            canvas.paste(tile, (index % columns * side, index // columns * side))
        pictures.append(canvas)
    for quality in ({"lossless": True}, {"quality": 90}, {"quality": 75}, {"quality": 50}, {"quality": 25}):
        first, *rest = pictures
        first.save(path, save_all=True, append_images=rest, duration=FRAME_MILLISECONDS, loop=0, method=4, **quality)
        if path.stat().st_size <= FILM_BYTES:
            return
    raise ValueError(f"{path} has {path.stat().st_size:,} bytes at the lowest quality; ask for fewer frames")
