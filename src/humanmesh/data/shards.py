"""Samples packed into WebDataset tars (NAME.jpg beside NAME.json), and read back by number without unpacking.

A sample is a square cut out of its picture, twice the person's box wide, so that training can still move the crop.
"""

import io
import json
import re
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.data.dataset import Sample, unlabelled_3d
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.images import UNREADABLE
from humanmesh.files.writing import output_folder, whole_file
from humanmesh.geometry import crops

STORED_SIZE = 288
"""Side of a stored picture in pixels."""
STORED_MARGIN = 2.0
"""Side of a stored picture in units of the longer side of the person's box."""
HELD_OUT = "_held_out"
"""Ends the name of a data set that is measured at checkpoints and never trained on."""
SHAPES: dict[str, tuple[int, ...]] = {
    "keypoints_2d": (len(COCOPLUS_19), 2),
    "weights_2d": (len(COCOPLUS_19),),
    "box": (4,),
    "keypoints_3d": (len(COCOPLUS_19), 3),
    "weights_3d": (len(COCOPLUS_19),),
    "pose": (72,),
    "shape": (10,),
}
"""Shape of each array of a sample's labels."""

_SAMPLES_PER_SHARD = 1000
_JPEG_QUALITY = 92
_NAME = re.compile(r"\w[\w-]*")
_BLOCK = 512
_END_MARK = 2 * _BLOCK
"""A whole tar ends with at least so many zero bytes."""


class Encoded(NamedTuple):
    """A sample as its two files."""

    picture: bytes
    labels: bytes


def sample_of(annotation: Annotation, photo: Float[Tensor, "3 height width"]) -> Sample:
    """Cut the person out of a photo in stored pixels, RGB in [0, 1]; labels move with it.

    Raises:
        BadInputError: where fewer than two keypoints are visible, so that there is no box.
    """
    person = to_skeleton(annotation, COCOPLUS_19)
    weights = torch.from_numpy(person.weights_2d)[None]
    keypoints = torch.from_numpy(person.keypoints_2d)[None]
    box = crops.box_of_keypoints(keypoints, weights)
    if not bool((box[:, 2:] - box[:, :2]).amax() >= 2):
        raise BadInputError(
            f"{annotation.source}/{annotation.record}", "fewer than two visible keypoints", "Leave it out."
        )
    side = crops.margin_crop_side(box, STORED_MARGIN)
    crop_from_photo = crops.crop_from_photo(crops.box_center(box), side)
    picture = crops.sample_crop(photo, crop_from_photo[0], STORED_SIZE)
    half = STORED_SIZE / 2
    stored = (crops.apply(crop_from_photo, keypoints) + 1) * half * (weights > 0)[..., None]
    labels = unlabelled_3d() | _labels_3d(person)
    return Sample(
        image=picture.mul(255).round().clamp(0, 255).byte().numpy(),
        keypoints_2d=stored[0].numpy(),
        weights_2d=person.weights_2d,
        box=crops.box_of_keypoints(stored, weights)[0].numpy(),
        source=annotation.source,
        record=annotation.record,
        **labels,  # pyright: ignore[reportArgumentType]
    )


def _labels_3d(person: Annotation) -> dict[str, np.ndarray | float]:
    labels: dict[str, np.ndarray | float] = {}
    if person.keypoints_3d is not None and person.weights_3d is not None:
        labels |= {"keypoints_3d": person.keypoints_3d, "weights_3d": person.weights_3d}
    if person.pose is not None:
        labels |= {"pose": person.pose, "pose_weight": 1.0}
    if person.shape is not None:
        labels |= {"shape": person.shape, "shape_weight": 1.0}
    return labels


def check_name(name: str) -> str:
    """The name, if it can name a data set: WebDataset ends a record's key at the first dot.

    Raises:
        BadInputError: where it cannot.
    """
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f"data set {name!r}", "not a name for files", "Use letters, digits, _ and -, with no dot in it."
        )
    return name


def data_sets_in(folder: Path) -> dict[str, list[Path]]:
    """The tars of a folder by data set; they are named NAME-NUMBER.tar, or NAME.tar where there is one."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("[!.]*.tar")):
        name, _, number = path.stem.rpartition("-")
        paths[name if name and number.isdigit() else path.stem].append(path)
    return dict(paths)


def write_shards(samples: Iterable[Sample | Encoded], folder: Path, name: str) -> int:
    """Write one data set as `write_data_sets` does; returns the number of samples."""
    return write_data_sets({name: samples}, folder)[name]


def write_data_sets(data_sets: Mapping[str, Iterable[Sample | Encoded]], folder: Path) -> dict[str, int]:
    """Write tars NAME-00000.tar, ... of 1,000 samples each; returns the number of samples of each data set.

    The tars take the place of all older tars of these names together, when the last sample is written. After an
    error, or a kill, the older ones stand as they were. A data set without a sample leaves no tar.

    Raises:
        BadInputError: where a name cannot name files, or the folder cannot be written to.
    """
    for name in data_sets:
        check_name(name)
    folder = output_folder(folder)
    staging = folder / f".{next(iter(data_sets), '')}.part"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed process left
    staging = output_folder(staging)
    try:
        counts = {name: _write_tars(samples, staging, name) for name, samples in data_sets.items()}
        _take_place(staging, folder, set(data_sets))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return counts


def _write_tars(samples: Iterable[Sample | Encoded], folder: Path, name: str) -> int:
    total = 0
    encoded = (sample if isinstance(sample, Encoded) else encode_sample(sample) for sample in samples)
    for number, chunk in enumerate(_chunks(encoded, _SAMPLES_PER_SHARD)):
        shard = f"{name}-{number:05d}"
        with whole_file(folder / f"{shard}.tar") as beside, tarfile.open(beside, "w") as tar:
            for row, sample in enumerate(chunk):
                _add(tar, f"{shard}-{row:04d}.jpg", sample.picture)
                _add(tar, f"{shard}-{row:04d}.json", sample.labels)
        total += len(chunk)
    return total


def _take_place(staging: Path, folder: Path, names: set[str]) -> None:
    older = {path for name, paths in data_sets_in(folder).items() if name in names for path in paths}
    newer = {folder / path.name: path for path in sorted(staging.iterdir())}
    try:
        for place, path in newer.items():
            path.replace(place)
        for stale in older - newer.keys():
            stale.unlink()
    except OSError as error:
        remedy = "Empty the folder, and pack again."
        raise BadInputError(f"Cannot replace the shards in {folder}", str(error), remedy) from error


def _chunks(samples: Iterable[Encoded], size: int) -> Iterator[list[Encoded]]:
    chunk: list[Encoded] = []
    for sample in samples:
        chunk.append(sample)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def encode_sample(sample: Sample) -> Encoded:
    """A sample as JPEG and JSON; numbers to five decimals."""
    picture = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sample.image.transpose(1, 2, 0))).save(
        picture, "JPEG", quality=_JPEG_QUALITY
    )
    return Encoded(picture.getvalue(), _encoded_labels(sample))


def relabelled(source: "ShardSource", samples: Iterable[Sample]) -> Iterator[Encoded]:
    """The source's pictures, byte for byte, with the labels of other samples, one each in their order."""
    for row, sample in enumerate(samples):
        yield Encoded(source.encoded(row).picture, _encoded_labels(sample))


def _encoded_labels(sample: Sample) -> bytes:
    labels = {
        name: np.asarray(value, np.float64).round(5).tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(sample).items()
        if name != "image"
    }
    return json.dumps(labels).encode()


def decode_sample(encoded: Encoded, place: str) -> Sample:
    """A sample from its two files.

    Args:
        place: shard and record, for the message.

    Raises:
        BadInputError: where a file is damaged, or the labels are not those of a sample.
    """
    try:
        values = json.loads(encoded.labels)
        with Image.open(io.BytesIO(encoded.picture)) as opened:
            image = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
        arrays = {name: np.asarray(v, np.float32) if isinstance(v, list) else v for name, v in values.items()}
        sample = Sample(image=image, **arrays)  # pyright: ignore[reportArgumentType]
        _check(sample)
    except (TypeError, AttributeError, *UNREADABLE) as error:
        raise BadInputError(place, f"no sample that can be used ({error})", "Pack it again.") from error
    return sample


def _check(sample: Sample) -> None:
    if sample.image.shape[1] != sample.image.shape[2]:
        raise ValueError(f"its picture is {sample.image.shape[2]} x {sample.image.shape[1]}, not square")
    for name, shape in SHAPES.items():
        values = getattr(sample, name)
        if np.shape(values) != shape:
            raise ValueError(f"{name} has shape {np.shape(values)}, not {shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite")


class ShardSource:
    """Samples of a data set's tars by number, read from disk where they lie; nothing but their places is held."""

    def __init__(self, name: str, paths: Iterable[Path]) -> None:
        """Index the tars.

        Raises:
            MissingAssetError: without any tar.
            BadInputError: where a tar is cut short, a picture has no labels or there is no sample, naming it.
        """
        self.name = name
        self.paths = sorted(paths)
        if not self.paths:
            raise MissingAssetError(f"shards of {name}", name, "Write them with `humanmesh data pack`.")
        spans = [_index(path) for path in self.paths]
        self.shards = np.repeat(np.arange(len(spans), dtype=np.int32), [len(part) for part in spans])
        """(samples,) row in `paths`."""
        self.spans = np.concatenate(spans)
        """(samples, 4) start and length in bytes of picture and labels."""
        if not len(self.spans):
            raise BadInputError(f"data set {name}", f"no samples in {self.paths[0]}", "Pack it again.")

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, row: int) -> Sample:
        encoded = self.encoded(row)
        first = int(np.searchsorted(self.shards, self.shards[row]))
        return decode_sample(encoded, f"shard {self.paths[self.shards[row]]}, record {row - first}")

    def encoded(self, row: int) -> Encoded:
        """A sample's two files, as they are stored."""
        at_picture, picture, at_labels, labels = self.spans[row].tolist()
        with self.paths[self.shards[row]].open("rb") as file:
            return Encoded(_part(file, at_picture, picture), _part(file, at_labels, labels))


def _part(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _index(path: Path) -> np.ndarray:
    """(samples, 4) int64: start and length of picture and labels."""
    records: dict[str, dict[str, tuple[int, int]]] = {}
    end = 0
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                records.setdefault(key, {})[suffix] = (member.offset_data, member.size)
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
        if end + _END_MARK > path.stat().st_size:
            raise tarfile.ReadError("its end is missing")
    except (tarfile.TarError, OSError) as error:
        raise BadInputError(f"shard {path}", f"not a whole tar file ({error})", "Pack it again.") from error
    for key, parts in records.items():
        if set(parts) != {"jpg", "json"}:
            found = f"record {key} has {sorted(parts)}, not jpg and json"
            raise BadInputError(f"shard {path}", found, "Pack it again.")
    spans = [(*parts["jpg"], *parts["json"]) for parts in records.values()]
    return np.array(spans, np.int64).reshape(-1, 4)
