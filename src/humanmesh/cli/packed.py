"""Packed people, as the commands about training data go through them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError

if TYPE_CHECKING:
    from humanmesh.data.shards import ShardSource

_Item = TypeVar("_Item")


def counted(items: Iterable[_Item], bar: PatientBar, total: int, before: int = 0) -> Iterator[_Item]:
    """The items; the bar shows how many of the total were taken, `before` of them earlier."""
    for done, item in enumerate(items, before + 1):
        yield item
        bar(done, total)


def sources_in(shards: Path, name: str | None) -> "list[ShardSource]":
    """The data sets of a folder, or of one tar; one of them where a name is given.

    Raises:
        HumanMeshError: where there is none, or a tar is damaged.
    """
    from humanmesh.data.shards import ShardSource, data_sets_in

    if not shards.exists():
        raise MissingAssetError("shards", shards, "Write them with `humanmesh data pack`.")
    found = data_sets_in(shards) if shards.is_dir() else {shards.stem: [shards]}
    if name is not None and name not in found:
        raise UnknownNameError("data set", name, list(found))
    if not found:
        raise BadInputError(f"Folder {shards}", "no tar in it", "Write shards with `humanmesh data pack`.")
    return [ShardSource(key, paths) for key, paths in found.items() if name in (None, key)]


def training_sources_in(folder: Path, name: str | None) -> "list[ShardSource]":
    """The data sets of a folder that are trained on, or one of them.

    Raises:
        HumanMeshError: where there is none, or a tar is damaged.
    """
    from humanmesh.data.shards import HELD_OUT

    if folder.is_file():
        raise BadInputError(f"{folder}", "a file", "Give the folder that `humanmesh data pack` wrote.")
    sources = [source for source in sources_in(folder, name) if not source.name.endswith(HELD_OUT)]
    if not sources:
        what = f"Data set {name}" if name else f"Folder {folder}"
        raise BadInputError(what, "hold-outs alone", "They stay as they are; name people to train on.")
    return sources
