"""Shows in a notebook how a picture is drawn."""

from __future__ import annotations

from ._client import Stream
from ._events import Queued, Step, StepImage
from ._html import row
from ._results import Generation


def show_steps(stream: Stream) -> Generation:
    """Shows the latest step of each image while they are drawn: preview, running latent, token grid. Returns the
    generation. Needs IPython, which every notebook has.

        generation = show_steps(client.stream("red heart"))
    """
    from IPython.display import HTML, display

    handle = display(HTML("<small>waiting</small>"), display_id=True)
    images: dict[int, StepImage] = {}
    colors: list[str] = []
    for event in stream.events():
        if isinstance(event, Queued):
            handle.update(HTML(f"<small>waiting; place {event.position} in the queue</small>"))
        elif isinstance(event, Step):
            colors = colors or stream.colors()
            images.update((image.index, image) for image in event.images)
            rows = [image.html(colors) for _, image in sorted(images.items())]
            handle.update(HTML(f"<small>step {event.step} of {event.steps}</small>{row(rows)}"))
        elif isinstance(event, Generation):
            # The final pictures beside the last token grids.
            rows = [picture._repr_html_() for picture in event.images]
            rows += [image.html(colors) for _, image in sorted(images.items())]
            handle.update(HTML(f"<small>{event.status}, seed {event.seed}</small>{row(rows)}"))
    return stream.wait()
