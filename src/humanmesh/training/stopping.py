"""Ctrl-C in a training: the first waits for the end of the step, the second does not."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """A training that Ctrl-C ended after a whole step, and that was saved."""


@contextmanager
def first_interrupt_waits() -> Generator[Callable[[], bool], None, None]:
    """Inside, the first Ctrl-C only shows in the function that this gives; a second interrupts.

    Where another handler than Python's own is in place, or outside the main thread, all stays as it is.
    """
    came: list[int] = []

    def note(number: int, _: object) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
