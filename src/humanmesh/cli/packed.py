"""Packed people, as the commands about training data go through them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError

if TYPE_CHECKING:
    from humanmesh.data.shards import ShardSource
    from humanmesh.network.recovery import Recovery

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
    fault = ("hold-outs alone", "They stay as they are; name people to train on.")
    return _sources_on_one_side(folder, name, fault, held_out=False)


def held_out_sources_in(folder: Path, name: str | None) -> "list[ShardSource]":
    """The hold-outs of a folder, or one of them.

    Raises:
        HumanMeshError: where there is none, or a tar is damaged.
    """
    fault = ("no hold-out", "Leave out --held-out, or name a set that ends in _held_out.")
    return _sources_on_one_side(folder, name, fault, held_out=True)


def _sources_on_one_side(
    folder: Path, name: str | None, fault: tuple[str, str], *, held_out: bool
) -> "list[ShardSource]":
    """Those that are held out, or the others; `fault` says what is wrong where there is none, and what helps."""
    from humanmesh.data.shards import HELD_OUT

    if folder.is_file():
        raise BadInputError(f"{folder}", "a file", "Give the folder that `humanmesh data pack` wrote.")
    sources = [source for source in sources_in(folder, name) if source.name.endswith(HELD_OUT) == held_out]
    if not sources:
        raise BadInputError(f"Data set {name}" if name else f"Folder {folder}", *fault)
    return sources


def labelling_network(weights: str, body: str, device: str | None) -> "tuple[Recovery, int]":
    """A network that can be told keypoints, and the side of its crops in pixels.

    Args:
        weights: a checkpoint, or the name of a bundled one.
        body: "anny", or the path of an SMPL file.
        device: as PyTorch names it; the best there is where None.

    Raises:
        HumanMeshError: where one of them cannot be used.
    """
    from humanmesh.files.assets import weights_path
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.checkpoints import load_checkpoint, load_recovery
    from humanmesh.inference import usable_device

    path = weights_path(weights)
    network = load_recovery(path, load_body_data(body))
    if not network.regressor.needs_pyramid:
        raise BadInputError(f"Weights {path}", "no heat maps", "Use weights of `--preset modern`.")
    return network.to(usable_device(device)), load_checkpoint(path).config.crop_size
