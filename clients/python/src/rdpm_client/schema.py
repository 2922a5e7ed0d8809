"""The JSON of the REST API. `generate_types.py` makes this file from the OpenAPI document; don't edit it."""

from typing import Any, Literal, NotRequired, TypedDict


class Class(TypedDict):
    index: int
    name: str
    # Relative URL of a sample picture, where there is one.
    picture: NotRequired[str | None]


class Classes(TypedDict):
    """The classes of a model."""

    classes: list[Class]
    # The model's name.
    model: str


class FieldError(TypedDict):
    """A field with an invalid value: in the body, the query or a header."""

    # The allowed values, for people.
    allowed: str
    field: str
    # As sent; `null` where it is missing.
    value: Any


class Problem(TypedDict):
    """An error: RFC 9457 problem details."""

    # This problem, for people.
    detail: str
    # The fields with invalid values, at most 20.
    errors: NotRequired[list[FieldError]]
    # The number of further fields with invalid values, if there are more.
    omitted_errors: NotRequired[int | None]
    # The HTTP status.
    status: int
    # The kind of problem, for people.
    title: str
    # `about:blank` where the status is enough, otherwise the name of this kind of problem.
    type: str


class TokenFile(TypedDict):
    """A token file as JSON: an image as its token grids."""

    # `rdpm-tokens/1`
    format: str
    # Index of the image whose noise it is.
    index: NotRequired[int]
    # Name of the model.
    model: str
    # Seed of the noise.
    seed: int
    # T grids of h rows of h codes.
    tokens: list[list[list[int]]]
    # Version of the model's weights, if it is known.
    version: NotRequired[str | None]


GalleryPicture = TypedDict(
    "GalleryPicture",
    {
        "class": "str",
        # When its generation ended: RFC 3339, UTC.
        "created": "str",
        "favourite": "bool",
        # The id of its generation.
        "generation": "str",
        # Its index in its generation.
        "index": "int",
        "model": "str",
        "seed": "int",
        "style": "NotRequired[str | None]",
        # The picture: a PNG file of the model's own size, with the parameters that made it.
        "url": "str",
        # The prompt, or what the picture shows.
        "words": "NotRequired[str | None]",
    },
)


class Gallery(TypedDict):
    """A page of a gallery."""

    # The `cursor` of the next page; absent on the last.
    next: NotRequired[str | None]
    # Newest first.
    pictures: list[GalleryPicture]


class SelectedPicture(TypedDict):
    """A picture of a gallery, by its generation and its index there."""

    generation: str
    index: int


class PictureDownload(TypedDict):
    """Pictures to download."""

    # 1 to 500 pictures of the gallery.
    pictures: list[SelectedPicture]


GalleryGroup = TypedDict(
    "GalleryGroup",
    {
        "class": "str",
        "model": "str",
        "pictures": "int",
        "style": "NotRequired[str | None]",
    },
)


class GallerySummary(TypedDict):
    """How many pictures of a gallery match a filter."""

    # The same by model, class and style.
    groups: list[GalleryGroup]
    # All pictures that match.
    pictures: int


class DeletedPicture(TypedDict):
    """A picture that was deleted."""

    # Until when it can be restored: RFC 3339, UTC.
    undo_until: str


class Links(TypedDict):
    """Relative URLs."""

    # The event stream.
    events: str
    self: str


Status = Literal["queued", "running", "completed", "failed", "canceled"]


Accepted = TypedDict(
    "Accepted",
    {
        "class": "str",
        "id": "str",
        "links": "Links",
        "model": "str",
        "seed": "int",
        "status": "Status",
        # Without a style, of a model that has styles: that of each image, by its index.
        "styles": "NotRequired[list[str] | None]",
        # Without a prompt, of a model that knows words: what each image shows, by its index.
        "subjects": "NotRequired[list[str] | None]",
        # With a prompt: its words that the model doesn't know. They have no effect.
        "unknown_words": "NotRequired[list[str] | None]",
        # What was adapted in the request. Only in the answer to it.
        "warnings": "NotRequired[list[str]]",
    },
)


class Summary(Accepted):
    """One of a client's generations."""

    # Images asked for.
    count: int
    # When it was accepted: RFC 3339, UTC.
    created: str


class Generations(TypedDict):
    """A client's generations."""

    # Newest first.
    generations: list[Summary]


FormatName = Literal["png", "webp", "jpeg"]


GenerationRequest = TypedDict(
    "GenerationRequest",
    {
        # Whether step events contain the most probable codes of each position.
        "alternatives": "NotRequired[bool | None]",
        # Whether the job is canceled a few seconds after its last event stream was closed.
        "cancel_on_disconnect": "NotRequired[bool | None]",
        # What to draw again of `image`, `from` or `tokens`, instead of `mask`: cells `[row, column]` of the token
        # grid.
        "cells": "NotRequired[list[list[int]] | None]",
        # Class to generate: its name, in any case, or its index. Required without `prompt`; otherwise that of what
        # the prompt names.
        "class": "NotRequired[str | int]",
        # Number of images. Image i is drawn from (seed, i).
        "count": "NotRequired[int | None]",
        "format": "NotRequired[FormatName | None]",
        # An image of an earlier generation to start from: its codes up to `step` are kept, with `changes` at that
        # step, and the others drawn; with `mask` or `cells` they are drawn only there. Settings that are absent
        # are those of that generation; without a `seed` the draws are, too, so that the image differs only by the
        # changes.
        "from": "NotRequired[dict[str, Any] | None]",
        # The step of `image` to start from; required with `image`, unless only a part is drawn again. Early steps
        # give a new image, late ones a close variation.
        "from_step": "NotRequired[int | None]",
        # Guidance scale: how strongly the class is followed. 1 is no guidance.
        "guidance": "NotRequired[float | None]",
        # First and last step with guidance, as in `1-7`; all if omitted. A step without guidance takes half the
        # time.
        "guidance_steps": "NotRequired[str | None]",
        # An image to vary or to edit: a PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. Image i
        # starts from its state after `from_step` steps with the noise of (seed, i). With `mask` or `cells` only
        # that part is drawn again.
        "image": "NotRequired[str | None]",
        # Index of the first image: image i is drawn from (seed, index + i).
        "index": "NotRequired[int | None]",
        # What to draw again of `image`, `from` or `tokens`: an image file that is transparent there or, if it is
        # opaque, white. A cell of the token grid is drawn again if at least a quarter of it is. A mask of another
        # size is scaled, with a warning.
        "mask": "NotRequired[str | None]",
        # Name of the model; the server's default if omitted. The classes, the codes and the steps depend on it.
        "model": "NotRequired[str | None]",
        # Whether step events contain preview images. Where the answer waits for the end, the default is `false`,
        # otherwise `true`.
        "previews": "NotRequired[bool | None]",
        # What the images show, in English words or emoji, for a model that knows words. Words that it doesn't know
        # are returned as `unknown_words`. Without a prompt each image shows one of the class's subjects.
        "prompt": "NotRequired[str | None]",
        # Size of the square that every pixel becomes in these pictures.
        "scale": "NotRequired[int | None]",
        # Seed of all randomness, as a number or as text. Random if omitted, empty or -1; returned in the answer.
        "seed": "NotRequired[int | str | None]",
        # Drawing style, for a model that has several. If omitted, each image has another one.
        "style": "NotRequired[str | None]",
        # Sampling temperature: how freely codes are drawn. 0 takes the most probable.
        "temperature": "NotRequired[float | None]",
        # Codes that are given instead of drawn: T grids of h rows of h codes, and `null` where a code is drawn.
        # All images have the noise of (`seed`, `index`). Or a token file as JSON, in which codes may be `null`:
        # the noise is the file's, and `seed` and `index` draw the free codes. With `mask` or `cells`, without
        # `null`, only that part is drawn again.
        "tokens": "NotRequired[list[list[list[int | None]]] | dict[str, Any] | None]",
        # Draw from this number of most probable codes only.
        "top_k": "NotRequired[int | None]",
        # Draw only from the most probable codes whose probabilities add up to this value.
        "top_p": "NotRequired[float | None]",
        # A URL that is sent a signed message when the generation has ended, on servers whose operator allows its
        # host (Standard Webhooks).
        "webhook": "NotRequired[str | None]",
    },
)


class Image(TypedDict):
    """A finished image."""

    index: int
    # A PNG file of the model's own size, with the parameters that made it.
    png_base64: str
    # The picture in the `format` and `scale` of the request.
    url: str


Generation = TypedDict(
    "Generation",
    {
        "alternatives": "bool",
        "cancel_on_disconnect": "bool",
        "class": "str",
        "class_index": "int",
        "count": "int",
        # When it was accepted: RFC 3339, UTC.
        "created": "str",
        # Why it failed.
        "detail": "NotRequired[str | None]",
        "ended": "NotRequired[str | None]",
        # While it waits: estimated seconds until its first image begins, from measured step times.
        "eta_seconds": "NotRequired[float | None]",
        # The step of another image that its images start from.
        "from_step": "NotRequired[int | None]",
        "guidance": "float",
        "guidance_steps": "NotRequired[str | None]",
        "id": "str",
        # The finished images by rising index; all of them once it is completed.
        "images": "list[Image]",
        # The index of the first image, if it isn't 0: image i is drawn from (seed, index + i).
        "index": "NotRequired[int | None]",
        "links": "Links",
        "model": "str",
        # Place in the queue while it waits: 1 is next, counted in jobs.
        "position": "NotRequired[int | None]",
        "previews": "bool",
        "prompt": "NotRequired[str | None]",
        "seed": "int",
        # When its first image began.
        "started": "NotRequired[str | None]",
        "status": "Status",
        "style": "NotRequired[str | None]",
        # Without a style, of a model that has styles: that of each image, by its index.
        "styles": "NotRequired[list[str] | None]",
        # Without a prompt, of a model that knows words: what each image shows, by its index.
        "subjects": "NotRequired[list[str] | None]",
        "temperature": "float",
        "top_k": "NotRequired[int | None]",
        "top_p": "NotRequired[float | None]",
        # With a prompt: its words that the model doesn't know. They have no effect.
        "unknown_words": "NotRequired[list[str] | None]",
        # What was adapted in the request. Only in the answer to it.
        "warnings": "NotRequired[list[str]]",
    },
)


AnimationChannel = Literal["tokens", "noisy", "clean", "images"]


class QueuedEvent(TypedDict):
    """Data of `queued`: where a waiting generation stands."""

    # Estimated seconds until its first image begins, from measured step times.
    eta_seconds: float
    id: str
    # 1 is next, counted in generations.
    position: int
    status: Status


class StartedEvent(TypedDict):
    """Data of `started`."""

    id: str
    status: Status


class Alternative(TypedDict):
    """For each position, the most probable codes by falling probability, and the rank of the code that was drawn."""

    codes: list[list[list[int]]]
    probabilities: list[list[list[float]]]
    # 1: the drawn code was the most probable one.
    ranks: list[list[int]]


class StepOfImage(TypedDict):
    """What a step did to an image. Grids are rows of numbers."""

    alternatives: NotRequired[Alternative | None]
    # The same less its noise.
    clean: NotRequired[str | None]
    # Entropy in bits of the distribution that each code was drawn from.
    entropy: list[list[float]]
    # Whether each code was given instead of drawn. Left out where none was.
    given: NotRequired[list[list[bool]] | None]
    index: int
    # The running latent, decoded: a PNG file as a `data:` URL. Left out where the request says `"previews":
    # false`.
    noisy: NotRequired[str | None]
    # Probability of the code that was drawn.
    probability: list[list[float]]
    # The codes drawn.
    tokens: list[list[int]]


class StepEvent(TypedDict):
    """Data of `step`: the images that took this step."""

    images: list[StepOfImage]
    # 1 to `steps`.
    step: int
    steps: int


class RedrawnEvent(TypedDict):
    """Data of `redrawn`: steps of an image that don't hold any more. They come again, with other codes."""

    # The first of the steps.
    first: int
    index: int
    # The last of them.
    last: int


InterpolationEnd = TypedDict(
    "InterpolationEnd",
    {
        # The class near this end, in place of the request's `class` or `prompt`.
        "class": "NotRequired[str | int]",
        # A finished image of an earlier generation that this server still has.
        "from": "NotRequired[dict[str, Any]]",
        # A PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. It is encoded from the noise of
        # (`seed`, 0) of the request.
        "image": "NotRequired[str]",
        # With `seed`: index of the image; 0 if omitted.
        "index": "NotRequired[int]",
        # The prompt near this end, likewise.
        "prompt": "NotRequired[str]",
        # The picture of this seed, drawn with the settings of the request.
        "seed": "NotRequired[int]",
        # The style near this end, in place of the request's.
        "style": "NotRequired[str]",
        # A token file: JSON, or base64 of a binary one.
        "tokens": "NotRequired[TokenFile | str]",
    },
)


InterpolationKind = Literal["noise", "steps", "latent"]


InterpolationRequest = TypedDict(
    "InterpolationRequest",
    {
        # The first picture: that of a seed (`{"seed": 7, "index": 0}`), an image, a token file, or an image of an
        # earlier generation.
        "a": "InterpolationEnd",
        # Whether step events contain the most probable codes of each position.
        "alternatives": "NotRequired[bool | None]",
        # The last picture, likewise.
        "b": "InterpolationEnd",
        # Whether the job is canceled a few seconds after its last event stream was closed.
        "cancel_on_disconnect": "NotRequired[bool | None]",
        # Class to draw, by name or index, where an end doesn't say it itself. Without `class` and `prompt` an end
        # has those of its generation or, if it is of none, of the other's; where there is none, the class isn't
        # considered.
        "class": "NotRequired[str | int]",
        "format": "NotRequired[FormatName | None]",
        # Number of images, both ends included. Image 0 is `a`, the last is `b`.
        "frames": "NotRequired[int | None]",
        # Guidance scale: how strongly the class is followed. 1 is no guidance.
        "guidance": "NotRequired[float | None]",
        # First and last step with guidance, as in `1-7`; all if omitted. A step without guidance takes half the
        # time.
        "guidance_steps": "NotRequired[str | None]",
        # With the kind `steps`: the step after which the states are interpolated; half of the steps if omitted.
        "kept_steps": "NotRequired[int | None]",
        "kind": "NotRequired[InterpolationKind | None]",
        # Name of the model; the server's default if omitted. The classes, the codes and the steps depend on it.
        "model": "NotRequired[str | None]",
        # Whether step events contain preview images. Where the answer waits for the end, the default is `false`,
        # otherwise `true`.
        "previews": "NotRequired[bool | None]",
        # What the images show, in English words or emoji, for a model that knows words. Words that it doesn't know
        # are returned as `unknown_words`. Without a prompt each image shows one of the class's subjects.
        "prompt": "NotRequired[str | None]",
        # Size of the square that every pixel becomes in these pictures.
        "scale": "NotRequired[int | None]",
        # Seed of all randomness, as a number or as text. Random if omitted, empty or -1; returned in the answer.
        "seed": "NotRequired[int | str | None]",
        # Drawing style, for a model that has several. If omitted, each image has another one.
        "style": "NotRequired[str | None]",
        # Sampling temperature: how freely codes are drawn. 0 takes the most probable.
        "temperature": "NotRequired[float | None]",
        # Draw from this number of most probable codes only.
        "top_k": "NotRequired[int | None]",
        # Draw only from the most probable codes whose probabilities add up to this value.
        "top_p": "NotRequired[float | None]",
    },
)


class Codebook(TypedDict):
    # A colour `#rrggbb` for each code; similar codes have similar colours.
    colors: list[str]
    # Number of codes.
    size: int


class Defaults(TypedDict):
    guidance: float
    temperature: float


class ImageSize(TypedDict):
    """Pictures are squares."""

    # 1: grey, 3: RGB.
    channels: int
    # Width and height in pixels.
    size: int


class Limits(TypedDict):
    """The smallest and largest values that requests may have."""

    from_step_max: int
    guidance_max: float
    guidance_min: float
    max_count: int
    scale_max: int
    seed_max: int
    temperature_max: float
    temperature_min: float
    top_k_max: int


ModelPrecision = Literal["f32", "bf16", "f16"]


class Model(TypedDict):
    """A model, its defaults and its limits."""

    # Whether the model names what an image shows: `caption` in the answer to a tokenization.
    captions: bool
    classes: list[str]
    codebook: Codebook
    # Of sampling.
    defaults: Defaults
    # The devices that it runs on.
    device: str
    # The token grid's width and height.
    grid: int
    image: ImageSize
    limits: Limits
    name: str
    # Number of learned weights.
    parameters: int
    # Passes through the denoiser that a step with guidance takes, 1 or 2. In one pass, pictures differ from
    # those in two.
    passes: int
    # Number format of the transformer. The same request gives the same picture in the same precision.
    precision: ModelPrecision
    # Timesteps T of a generation.
    steps: int
    # Drawing styles; none if the model is told classes only.
    styles: list[str]
    title: str
    # Changes with everything that changes its pictures; part of the addresses of pictures.
    version: str
    # Number of words that it knows.
    words: int


class Models(TypedDict):
    """The models that are served, the default first."""

    models: list[Model]


class TokenizationRequest(TypedDict):
    """An image to tokenize. `null` means the same as an absent field."""

    # A PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. It is cropped to its central square
    # and scaled to the model's size.
    image: str
    # Name of the model; the server's default if omitted.
    model: NotRequired[str | None]
    # Seed of the noise that the recurrence starts from, as a number or as text. Random if empty or -1;
    # returned in the answer.
    seed: NotRequired[int | str | None]


class TokenizationForm(TypedDict):
    """The same as a form."""

    # The file.
    image: bytes
    model: NotRequired[str]
    seed: NotRequired[int]


class CaptionGuess(TypedDict):
    """A name or a word with its probability."""

    # 0 to 1, among all names or all words.
    probability: float
    text: str


class Caption(TypedDict):
    """What an image shows, as far as the model can tell."""

    # Names of what the model can draw, the most probable first. Each is a prompt.
    names: list[CaptionGuess]
    # Words of the vocabulary, the most probable first.
    words: list[CaptionGuess]


class TokenizationPicture(TypedDict):
    """A picture of the model's own size."""

    # A PNG file.
    png_base64: str


class ImageDimensions(TypedDict):
    height: int
    width: int


class TokenizationStep(TypedDict):
    """One step of the recurrence."""

    # The same less its noise.
    clean: str
    # The running latent, decoded: a PNG file as a `data:` URL.
    noisy: str
    # 1 to T.
    step: int
    # Rows of codes.
    tokens: list[list[int]]


class Tokenization(TypedDict):
    """An image's token grids, and what they decode to."""

    caption: NotRequired[Caption | None]
    input: TokenizationPicture
    model: str
    reconstruction: TokenizationPicture
    resized_from: NotRequired[ImageDimensions | None]
    seed: int
    steps: list[TokenizationStep]


class Completions(TypedDict):
    """What completes a prompt."""

    # The model's name.
    model: str
    # Words that resemble the last word of the text, the nearest first, if none begins with it: it may be
    # misspelt.
    similar: list[str]
    # Names of subjects that have all words of the text, the shortest first.
    subjects: list[str]
    # Words that begin with the last word of the text, the shortest first.
    words: list[str]


class ModelOfWorker(TypedDict):
    name: str
    precision: str
    version: str


class Worker(TypedDict):
    devices: list[str]
    # Images that it finished in each second of the last half minute.
    images_per_second: float
    # Whether it ends after the images that it draws.
    leaving: bool
    models: list[ModelOfWorker]
    # Another one for each process.
    name: str
    # Images that it can draw at the same time.
    slots: int
    slots_in_use: int
    # The version of the program.
    version: str


class Workers(TypedDict):
    """The workers of a queue."""

    # Sorted by name; those that reported within the last 5 seconds. Empty where the server itself draws.
    workers: list[Worker]
