"""Look at a result: one HTML file with the photo, the bodies over it and round about, and their measurements.

The file holds all it needs and opens from the disk, without server or network. Who wants to see it at once has the
browser opened, where there is a screen.
"""

import json
import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from humanmesh.errors import BadInputError


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh view` can be asked."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result of `humanmesh predict`: its output folder, or a .npz, .json or .glb file."""
    out: Path | None = None
    """HTML file to write; NAME.html beside the result where None."""
    photo: Path | None = None
    """The photo, or the folder where photos of the results' names lie; where None, they are looked for beside the result and in the folder above."""
    body: str | None = None
    """Path of the body file that the result was made with, unless that is bundled."""
    open: bool = True
    """Open the page in the browser, where there is a screen."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the pages as JSON on standard output, and nothing else there."""


def run(arguments: Arguments) -> int:
    """Write the pages and say where.

    Raises:
        HumanMeshError: where there is no result, or the page cannot be written.
    """
    from humanmesh.web.page import write_page
    from humanmesh.web.results import Sources, read_result

    results = read_result(arguments.result, Sources(arguments.body, arguments.photo))
    if arguments.out is not None and len(results) > 1:
        found = f"one page for {len(results)} results"
        raise BadInputError(
            f"--out {arguments.out}", found, "Leave it away: each page goes beside its result."
        )
    pages = []
    for result in results:
        path = arguments.out or result.path.with_suffix(".html")
        write_page(path, result.page)
        pages.append({
            "page": str(path),
            "people": len(result.page.people),
            "photo": None if result.page.photo is None else result.page.title,
        })
        if not arguments.json:
            print(_sentence(path, len(result.page.people), has_photo=result.page.photo is not None))
    if arguments.json:
        print(json.dumps({"pages": pages}, indent=1))
    if arguments.open and len(pages) == 1 and _has_screen():
        webbrowser.open(Path(pages[0]["page"]).resolve().as_uri())
    return 0


def _sentence(path: Path, people: int, *, has_photo: bool) -> str:
    count = "1 person" if people == 1 else f"{people} people"
    without = "" if has_photo else "; without its photo, which was not found: give it with --photo"
    return f"{path}: {count}{without}"


def _has_screen() -> bool:
    """Whether a browser can open a window, and somebody is there to see it."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in {"darwin", "win32"} or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))
