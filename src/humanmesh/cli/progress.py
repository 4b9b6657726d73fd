"""A progress bar for work that takes longer than a glance."""

import sys
import time
from types import TracebackType
from typing import Any

PATIENCE = 2.0
"""Seconds after which the bar shows."""


class PatientBar:
    """A bar on standard error, from the moment when patience ends; none where nobody looks."""

    def __init__(self, what: str) -> None:
        """Begin to wait.

        Args:
            what: the things that are counted.
        """
        self.what = what
        self.start = time.monotonic()
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> "PatientBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """So many are done, of so many."""
        if self.bar is None and time.monotonic() - self.start > PATIENCE and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

            self.bar = Progress(
                *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task(self.what, total=total)
            self.bar.start()
        if self.bar is not None:
            self.bar.update(self.task, completed=done)
