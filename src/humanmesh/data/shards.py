"""Samples packed into WebDataset tars (NAME.jpg beside NAME.json), and read back by number without unpacking.

A sample is a square cut out of its picture, twice the person's box wide, so that training can still move the crop.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.data.dataset import Sample, unlabelled_3d
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.geometry import crops

STORED_SIZE = 288
"""Side of a stored picture in pixels."""
STORED_MARGIN = 2.0
"""Side of a stored picture in units of the longer side of the person's box."""
_SAMPLES_PER_SHARD = 1000
_JPEG_QUALITY = 92


def sample_of(annotation: Annotation, photo: np.ndarray) -> Sample:
    """Cut the person out of an (H, W, 3) uint8 picture; labels move with it.

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
    pixels = torch.from_numpy(photo).permute(2, 0, 1).float()
    picture = crops.sample_crop(pixels, crop_from_photo[0], STORED_SIZE).round().clamp(0, 255).byte()
    half = STORED_SIZE / 2
    stored = (crops.apply(crop_from_photo, keypoints) + 1) * half * (weights > 0)[..., None]
    labels = unlabelled_3d() | _labels_3d(person)
    return Sample(
        image=picture.numpy(),
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


def write_shards(samples: Iterable[Sample], folder: Path, name: str) -> int:
    """Write tars NAME-00000.tar, ... of 1,000 samples each, each whole or not at all; returns the number of samples."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, chunk in enumerate(_chunks(samples, _SAMPLES_PER_SHARD)):
        path = folder / f"{name}-{number:05d}.tar"
        partial = path.with_suffix(".tar.part")
        with tarfile.open(partial, "w") as tar:
            for row, sample in enumerate(chunk):
                _add(tar, f"{name}-{number:05d}-{row:04d}", sample)
        partial.replace(path)
        total += len(chunk)
    return total


def _chunks(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    for sample in samples:
        chunk.append(sample)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _add(tar: tarfile.TarFile, key: str, sample: Sample) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sample.image.transpose(1, 2, 0))).save(
        picture, "JPEG", quality=_JPEG_QUALITY
    )
    labels = {
        name: np.round(value, 5).tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(sample).items()
        if name != "image"
    }
    for suffix, data in ((".jpg", picture.getvalue()), (".json", json.dumps(labels).encode())):
        member = tarfile.TarInfo(key + suffix)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def decode_sample(picture: bytes, labels: bytes) -> Sample:
    """A sample from the bytes of its two members."""
    values = json.loads(labels)
    with Image.open(io.BytesIO(picture)) as opened:
        image = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
    arrays = {name: np.asarray(v, np.float32) if isinstance(v, list) else v for name, v in values.items()}
    return Sample(image=image, **arrays)


@dataclass(frozen=True)
class _Place:
    path: Path
    picture: tuple[int, int]
    labels: tuple[int, int]


class ShardSource:
    """Samples of a folder's tars by number, read from disk where they lie."""

    def __init__(self, name: str, paths: Iterable[Path]) -> None:
        """Index the tars.

        Raises:
            MissingAssetError: without any tar.
            BadInputError: where a tar is cut short or a picture has no labels, naming it.
        """
        self.name = name
        self.places = [place for path in sorted(paths) for place in _index(path)]
        if not self.places:
            raise MissingAssetError(f"shards of {name}", name, "Write them with `humanmesh data pack`.")

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> Sample:
        place = self.places[row]
        with place.path.open("rb") as file:
            return decode_sample(
                *(os.pread(file.fileno(), size, at) for at, size in (place.picture, place.labels))
            )


def _index(path: Path) -> list[_Place]:
    spans: dict[str, dict[str, tuple[int, int]]] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                spans.setdefault(key, {})[suffix] = (member.offset_data, member.size)
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
    except tarfile.TarError as error:
        raise BadInputError(f"shard {path}", f"not a whole tar file ({error})", "Pack it again.") from error
    for key, parts in spans.items():
        if set(parts) != {"jpg", "json"}:
            raise BadInputError(
                f"shard {path}", f"record {key} has {sorted(parts)}, not jpg and json", "Pack it again."
            )
    return [_Place(path, parts["jpg"], parts["json"]) for parts in spans.values()]
