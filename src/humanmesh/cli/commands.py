"""The commands, and how one of them is run.

A command is a module with a frozen dataclass `Arguments`, whose fields tyro turns into options, and a function
`run(arguments) -> int`, the exit code. It is imported when it is asked for, so that help comes at once.
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from humanmesh.cli.memory import keep_freed_memory
from humanmesh.errors import HumanMeshError, UnknownNameError


@dataclass(frozen=True)
class Command:
    """One word after `humanmesh`."""

    module: str
    """Holds `Arguments` and `run`."""
    summary: str
    """What it does, in one line."""


COMMANDS: dict[str, Command] = {
    "predict": Command(
        "humanmesh.cli.predict", "Recover the people in photos and films: meshes, pictures, numbers."
    ),
    "view": Command("humanmesh.cli.view", "Look at a result: a page with the photo and the bodies over it."),
    "train": Command("humanmesh.cli.train", "Train on packed photos, with or without 3D labels."),
    "data": Command(
        "humanmesh.cli.data",
        "Pack photos, label them in 3D, gather motion capture, draw synthetic people to train on.",
    ),
    "evaluate": Command("humanmesh.cli.evaluate", "Measure weights or predictions by a published protocol."),
    "compare": Command(
        "humanmesh.cli.compare", "Compare with fitting, a forest and lifting on the same people."
    ),
    "train-forest": Command(
        "humanmesh.cli.train_forest", "Grow the regression forest that is compared with."
    ),
    "train-lifting": Command(
        "humanmesh.cli.train_lifting", "Train the lifting network that is compared with."
    ),
    "fit": Command("humanmesh.cli.fit", "Fit a body to keypoints of OpenPose, COCO or MMPose."),
    "render": Command("humanmesh.cli.render", "Draw found people from all sides: views, turntables, sheets."),
    "doctor": Command("humanmesh.cli.doctor", "Show versions, devices, files and their licences."),
}

USER_ERROR = 2
"""Exit code for what the user can mend."""
SOME_FAILED = 1
"""Exit code where some inputs of several were no good and the others are done."""
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (the process's own arguments where None) and return its exit code."""
    _let_every_name_be_printed()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0
    if words[0] in {"-V", "--version", "version"}:
        from importlib.metadata import version

        print(f"humanmesh {version('humanmesh')}")
        return 0
    keep_freed_memory()
    try:
        return _run(words[0], words[1:])
    except HumanMeshError as error:
        print(f"humanmesh: {error}", file=sys.stderr)
        return USER_ERROR
    except PermissionError as error:  # where nobody below has said it better
        place = error.filename or "A file"
        print(f"humanmesh: {place}: {error.strerror}. Allow it, or choose another place.", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("humanmesh: interrupted; what was finished is kept.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _let_every_name_be_printed() -> None:
    """What a stream's encoding lacks, as in file names of another encoding, shows as backslashes and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([
        "usage: humanmesh COMMAND [options]",
        "",
        "One photo in, a posed 3D human body mesh out.",
        "",
        *lines,
        "",
        "humanmesh COMMAND --help shows a command's options, their defaults and units.",
    ])


def _run(name: str, words: list[str]) -> int:
    if name not in COMMANDS:
        raise UnknownNameError("command", name, list(COMMANDS))
    module = importlib.import_module(COMMANDS[name].module)
    import tyro

    try:
        arguments = tyro.cli(
            module.Arguments, args=words, prog=f"humanmesh {name}", description=module.__doc__
        )
    except SystemExit as ended:  # tyro has said what it had to say: its help (0) or what was wrong (2)
        return ended.code if isinstance(ended.code, int) else USER_ERROR
    return module.run(arguments)
