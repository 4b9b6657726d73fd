"""A training on the terminal: how far, how fast, how well."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor

from humanmesh.training.config import LossWeights
from humanmesh.training.metrics_log import Sink

_WHOLE = 1_000_000
"""The bar's length in its own units."""


class _Bar(Progress):
    """A bar with lines of figures under it."""

    losses = Text()
    hold_outs = Text()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then the last losses and the last figures of the hold-outs."""
        yield from super().get_renderables()
        yield from (text for text in (self.losses, self.hold_outs) if text)


class ConsoleBar(Sink):
    """A progress bar on stderr; silent where that is no terminal."""

    def __init__(self, share: float = 0.0, console: Console | None = None) -> None:
        """Begin at a share of the run that earlier parts have done."""
        console = console or Console(stderr=True)
        self.bar = _Bar(
            TextColumn("step {task.fields[step]:,}"),
            BarColumn(None),
            TaskProgressColumn(),
            TextColumn("{task.fields[pace]:.1f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=2,
            expand=True,
        )
        self.task = self.bar.add_task("", total=_WHOLE, completed=round(share * _WHOLE), step=0, pace=0.0)
        self.bar.start()

    def advance(self, step: int, share: float) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=round(share * _WHOLE), step=step)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Replace the line of the losses, or that of the hold-outs."""
        if "images_per_second" in values:
            self.bar.update(self.task, pace=values["images_per_second"])
        shown = {"loss", "discriminator", *vars(LossWeights())} & set(values)
        if shown:
            self.bar.losses = _line({name: values[name] for name in values if name in shown})
        else:
            self.bar.hold_outs = _line(values)

    def close(self) -> None:
        """Leave the last state on the terminal."""
        self.bar.stop()


def _line(values: dict[str, Any]) -> Text:
    numbers = {
        name: float(value) for name, value in values.items() if not (isinstance(value, Tensor) and value.ndim)
    }
    return Text("  ".join(f"{name} {value:.3g}" for name, value in numbers.items()), style="dim")
