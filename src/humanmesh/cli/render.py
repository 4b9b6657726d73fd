"""Draw people that `humanmesh predict` found: over their photo, from the front, the side or above, all the way round.

Several people of one photo (photo.npz, photo.2.npz) stand in one picture, the nearer before the farther. The sheet
shows many photos, a row each: over the photo, from the front, the side and above.
"""

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from humanmesh.errors import BadInputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from humanmesh.web.results import PhotoResult

SHEET_VIEWS = ("front", "side", "top")
FRAME_RATE = 20.0
"""Frames a second of a turntable: a GIF can keep it exactly."""


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh render` can be asked."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULT ...")]
    """NPZ files of people, or folders of them."""
    out: Path = Path("render.png")
    """File to write: .png, or for a turntable .gif, .png (APNG) or .mp4."""
    view: Literal["overlay", "front", "side", "top", "turntable", "sheet"] = "overlay"
    """What to draw. The overlay has the photo's own size."""
    size: int = 512
    """Height of the other pictures in pixels (one row of a sheet); from 32 to 4096."""
    seconds: float = 3.0
    """Time of one turn of the turntable."""
    photo: Path | None = None
    """The photo, or the folder where photos of the results' names lie; where None, they are looked for beside the result and in the folder above."""
    body: str | None = None
    """Path of the body file that the results were made with, unless that is bundled."""

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 4096:
            raise BadInputError("--size", f"{self.size} pixels", "Give a number from 32 to 4096.")
        if not 0.1 <= self.seconds <= 60:
            raise BadInputError("--seconds", f"{self.seconds}", "Give a number from 0.1 to 60.")


def run(arguments: Arguments) -> int:
    """Draw what was asked for, and say where it is.

    Raises:
        HumanMeshError: where a result cannot be used, or the picture cannot be written.
    """
    from humanmesh.files.animations import animation_writer
    from humanmesh.files.writing import output_file

    if arguments.view == "turntable":
        animation_writer(arguments.out.suffix)
    elif arguments.out.suffix.lower() != ".png":
        raise UnknownNameError("format of a picture", arguments.out.suffix.removeprefix("."), ["png"])
    output_file(arguments.out)
    groups = _groups(arguments)
    if arguments.view == "turntable":
        _write_turntable(arguments, groups[0])
    else:
        _write_picture(arguments, groups)
    print(f"{arguments.out}: {arguments.view}, {_count([path for group in groups for path in group])}")
    return 0


def _count(people: Sized) -> str:
    return "1 person" if len(people) == 1 else f"{len(people)} people"


def _groups(arguments: Arguments) -> list[list[Path]]:
    """The files of the people of each photo."""
    from humanmesh.web.results import by_photo

    paths = [path for given in arguments.results for path in _files_in(given)]
    if not paths:
        raise BadInputError("Results", "none were given", "Give NPZ files of people, or a folder of them.")
    groups = by_photo(dict.fromkeys(paths))
    if len(groups) > 1 and (arguments.view != "sheet" or arguments.photo is not None):
        names = ", ".join(str(group[0]) for group in groups[:2])
        remedy = "Give the people of one photo, or draw a sheet with --view sheet and without --photo."
        raise BadInputError("Results", f"they are of {len(groups)} photos ({names}, ...)", remedy)
    return groups


def _files_in(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.npz"))
        if not found:
            raise BadInputError(f"Folder {path}", "no result in it", "Looked for files that end in .npz.")
        return found
    if path.suffix.lower() != ".npz":
        raise BadInputError(f"Result {path}", "it is no NPZ file", "Give those of `--format npz`.")
    return [path]


def _write_picture(arguments: Arguments, groups: list[list[Path]]) -> None:
    from humanmesh.files.images import write_png
    from humanmesh.render.overlay import contact_sheet

    if arguments.view == "sheet":
        pictures = [picture for group in groups for picture in _sheet_row(arguments, group)]
        write_png(arguments.out, contact_sheet(pictures, columns=1 + len(SHEET_VIEWS)))
    else:
        write_png(arguments.out, _drawn(_read(arguments, groups[0]), arguments.view, arguments.size))


def _read(arguments: Arguments, paths: list[Path]) -> "PhotoResult":
    from humanmesh.web.results import Sources, read_people

    return read_people(paths, Sources(arguments.body, arguments.photo))


def _sheet_row(arguments: Arguments, paths: list[Path]) -> "Iterator[Tensor]":
    from humanmesh.render.turntable import captioned, fitted

    result = _read(arguments, paths)
    yield captioned(fitted(_overlay(result), arguments.size), f"{paths[0].stem}: {_count(result.people)}")
    for view in SHEET_VIEWS:
        yield captioned(_drawn(result, view, arguments.size), view)


def _drawn(result: "PhotoResult", view: str, size: int) -> "Tensor":
    from humanmesh.render.turntable import VIEWS, view_people

    if view == "overlay":
        return _overlay(result)
    vertices, faces = _level_mesh(result)
    return view_people(vertices, faces, VIEWS[view], (size, size))


def _overlay(result: "PhotoResult") -> "Tensor":
    import torch

    from humanmesh.render.overlay import draw_people
    from humanmesh.render.turntable import GROUND

    width, height = result.photo.size
    photo = result.photo.pixels
    if photo is None:
        photo = torch.tensor(GROUND)[:, None, None].expand(-1, height, width)
    camera = result.people[0].camera
    return draw_people(photo, *_mesh(result), torch.tensor(camera.focal_xy), camera.principal_point)


def _mesh(result: "PhotoResult") -> "tuple[Tensor, Tensor]":
    """Vertices of the people before the camera, and faces."""
    return _stacked([person.vertices for person in result.people]), _faces(result)


def _level_mesh(result: "PhotoResult") -> "tuple[Tensor, Tensor]":
    """The same as they stand in the room, if they were recovered with --upright."""
    return _stacked([person.level_vertices for person in result.people]), _faces(result)


def _stacked(arrays: "list[np.ndarray]") -> "Tensor":
    import torch

    return torch.stack([torch.from_numpy(array) for array in arrays])


def _faces(result: "PhotoResult") -> "Tensor":
    import torch

    return torch.from_numpy(result.people[0].faces)


def _write_turntable(arguments: Arguments, paths: list[Path]) -> None:
    from humanmesh.cli.progress import PatientBar
    from humanmesh.files.animations import write_animation

    vertices, faces = _level_mesh(_read(arguments, paths))
    with PatientBar("frames") as bar:
        write_animation(arguments.out, _frames(vertices, faces, arguments, bar), FRAME_RATE)


def _frames(
    vertices: "Tensor", faces: "Tensor", arguments: Arguments, bar: Callable[[int, int], None]
) -> "Iterator[np.ndarray]":
    from humanmesh.files.images import bytes_of_pixels
    from humanmesh.render.overlay import Look
    from humanmesh.render.turntable import turntable

    count = max(2, round(arguments.seconds * FRAME_RATE))
    look = Look(opacity=1.0, samples=2)
    pictures = turntable(vertices, faces, (arguments.size, arguments.size), count, look)
    for number, picture in enumerate(pictures, 1):
        yield bytes_of_pixels(picture)
        bar(number, count)
