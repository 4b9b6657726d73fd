"""Photos that a command is asked to do: which they are, what their results are called, how many are held at a time."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from humanmesh.errors import BadInputError, HumanMeshError

if TYPE_CHECKING:
    from torch import Tensor

BATCH_PIXELS = 24_000_000
"""Pixels that are held at a time, unless one photo alone has more."""


@dataclass(frozen=True)
class Failure:
    """A photo that could not be used, and why."""

    photo: Path
    error: HumanMeshError


def photos_in(path: Path) -> list[Path]:
    """The photo, or those of a folder in the order of the numbers in their names.

    Raises:
        BadInputError: where the folder has none, or cannot be read.
    """
    from humanmesh.files.folders import by_numbers, readable
    from humanmesh.files.images import PHOTO_SUFFIXES

    with readable(f"Input {path}"):
        if not path.is_dir():
            return [path]
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in PHOTO_SUFFIXES]
    if not found:
        kinds = ", ".join(sorted(PHOTO_SUFFIXES))
        raise BadInputError(f"Folder {path}", "no photo in it", f"Looked for files that end in {kinds}.")
    return sorted(found, key=lambda file: by_numbers(file.name))


@runtime_checkable
class _WithPixels(Protocol):
    @property
    def pixels(self) -> "Tensor": ...


_Photo = TypeVar("_Photo", bound=_WithPixels)


def held_together(photos: Iterable[_Photo], most: int) -> Iterator[list[_Photo]]:
    """Photos in order, `most` at a time or as many as have `BATCH_PIXELS`; one that alone has more is alone."""
    batch: list[_Photo] = []
    held = 0
    for photo in photos:
        size = photo.pixels.shape[1] * photo.pixels.shape[2]
        if batch and (len(batch) == most or held + size > BATCH_PIXELS):
            yield batch
            batch, held = [], 0
        batch.append(photo)
        held += size
    if batch:
        yield batch


def unique_names(paths: Sequence[Path]) -> list[str]:
    """What each photo's files are named by: its stem, with a number where a photo of another folder or format has it already.

    A stem that ends as the files of a further person do, NAME.2, becomes NAME_2.
    """
    from humanmesh.files.result_names import result_name

    names: dict[str, None] = {}
    for path in paths:
        numbers = itertools.count(2)
        name = stem = result_name(path.stem)
        while name in names:
            name = f"{stem}_{next(numbers)}"
        names[name] = None
    return list(names)
