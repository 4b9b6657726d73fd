"""Synthetic people for training and for the benchmark: which motion and which backgrounds belong to which, and the files.

People of the benchmark share neither a motion clip nor a background with those for training, so a number
measured on them is not a number of memory.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.parameters import BodyModelData
from humanmesh.data.dataset import Sample
from humanmesh.data.pool import read_pool
from humanmesh.data.shards import STORED_SIZE
from humanmesh.data.synthetic import (
    SyntheticAssets,
    SyntheticBatch,
    SyntheticConfig,
    prepare_assets,
    synthesize,
)
from humanmesh.data.synthetic_poses import PoseLibrary, balanced_over_clips
from humanmesh.data.synthetic_scene import Pictures
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.arrays import read_arrays
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import PHOTO_SUFFIXES, read_photo
from humanmesh.files.writing import output_folder, whole_file
from humanmesh.geometry.crops import box_of_keypoints
from humanmesh.geometry.rotations import matrix_to_axis_angle

HELD_OUT_CLIPS = ("test_*", "dance_b", "03_*")
"""Names of clips for the benchmark only: the test half of the exponential-map set, a dance, CMU subject 03."""

HELD_OUT_STRIDE = 10
"""Every so many-th background picture is for the benchmark only."""


@dataclass(frozen=True)
class SynthesisJob:
    """A set of synthetic people to write."""

    out: Path
    """Folder for the parts."""
    motion: Path
    """.npz with `pose` (frames, 72), `clip` (frames,) and `clip_names`."""
    backgrounds: tuple[Path, ...]
    """Folders of photos without people."""
    textures: tuple[Path, ...]
    """Folders of pictures for cloth and occluders."""
    count: int = 12000
    """People."""
    seed: int = 1000
    """Of the first part; each part after it takes the next number."""
    body: str = "anny"
    """Body by name, or an SMPL file."""
    held_out: bool = False
    """Take the clips and backgrounds of the benchmark instead of those for training."""
    part_size: int = 1000
    """People in a file."""
    batch_size: int = 16
    """People drawn at once; part of the recipe, like the seed."""
    device: str = "cpu"
    """Where to draw."""
    config: SyntheticConfig = field(default_factory=SyntheticConfig)


def is_held_out(clip: str) -> bool:
    """Whether a clip belongs to the benchmark."""
    return any(fnmatchcase(clip, pattern) for pattern in HELD_OUT_CLIPS)


def read_pose_library(path: Path, *, held_out: bool) -> PoseLibrary:
    """Poses for the benchmark or for training, balanced over actions: clips named ACTION/CLIP count as one.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is no file of `humanmesh data motion`, or holds none of these poses.
    """
    rows, poses, clips, names = _motion_for(path, held_out=held_out)
    _, actions = np.unique([name.split("/")[0] for name in names], return_inverse=True)
    return balanced_over_clips(
        torch.from_numpy(poses[rows].astype(np.float32)),
        torch.from_numpy(actions[clips[rows]].astype(np.int64)),
    )


def read_weighted_pose_library(path: Path, *, held_out: bool) -> PoseLibrary:
    """The poses of `read_pose_library`, with its errors, drawn as the adversary's pool draws them (`data.pool.read_pool`)."""
    rows, *_ = _motion_for(path, held_out=held_out)
    pool = read_pool(path)
    return PoseLibrary(pool.poses[rows], pool.chances[rows])


def _motion_for(path: Path, *, held_out: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Rows of the frames for the benchmark or for training, and what `_read_motion` gives."""
    poses, clips, names = _read_motion(path)
    is_chosen = np.array([is_held_out(name) == held_out for name in names], bool)[clips]
    if not is_chosen.any():
        raise BadInputError(
            f"Motion file {path}", "no clip for this purpose", f"Held out are {HELD_OUT_CLIPS}."
        )
    return np.flatnonzero(is_chosen), poses, clips, names


def _read_motion(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Poses (frames, 72), the number of each one's clip, and the names of the clips."""
    if not path.exists():
        raise MissingAssetError("motion file", path, "Pack motion capture into one first.")
    what, remedy = f"Motion file {path}", "Make it with: humanmesh data motion."
    wanted = ("pose", "clip", "clip_names")
    arrays = read_arrays(path, what, remedy, wanted)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise BadInputError(what, f"no {' and no '.join(missing)} in it", remedy)
    poses, clips, names = (arrays[name] for name in wanted)
    is_numbered = clips.dtype.kind in "iu" and np.isin(clips, np.arange(names.size)).all()
    if clips.ndim != 1 or poses.shape != (len(clips), 72) or not is_numbered:
        found = f"pose {poses.shape} and clip {clips.shape} do not fit together with {names.size} clips"
        raise BadInputError(what, found, remedy)
    return poses, clips, names.reshape(-1).astype(str).tolist()


def picture_paths(folders: tuple[Path, ...], *, held_out: bool) -> list[Path]:
    """Pictures of some folders for the benchmark or for training, in the order of their names.

    Raises:
        MissingAssetError: where a folder holds no picture.
    """
    chosen = []
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        if not paths:
            raise MissingAssetError("background picture", folder, "Name a folder of photos without people.")
        chosen += [path for row, path in enumerate(paths) if (row % HELD_OUT_STRIDE == 0) == held_out]
    return chosen


def load_pictures(paths: list[Path], size: int = 224) -> Pictures:
    """Pictures stretched to one size.

    Raises:
        BadInputError: where there is none.
    """
    if not paths:
        raise BadInputError("Backgrounds", "no picture is left", f"Give at least {HELD_OUT_STRIDE} a folder.")
    pixels, aspects = [], []
    for photo in map(read_photo, paths):
        aspects.append(photo.shape[2] / photo.shape[1])
        pixels.append(_resized((photo * 255).round().to(torch.uint8), size))
    return Pictures(torch.stack(pixels), torch.tensor(aspects))


def assets_of(job: SynthesisJob, body: BodyModelData) -> SyntheticAssets:
    """Everything that the job draws from."""
    poses = read_pose_library(job.motion, held_out=job.held_out)
    backgrounds, textures = (
        load_pictures(picture_paths(folders, held_out=job.held_out))
        for folders in (job.backgrounds, job.textures)
    )
    return prepare_assets(body.to(device=job.device), poses, backgrounds, textures)


def run(job: SynthesisJob) -> Iterator[Path]:
    """Write part after part, each whole or not at all; parts that are there already are kept."""
    output_folder(job.out)
    paths = {number: job.out / f"part_{number:03d}.pt" for number in _part_numbers(job)}
    missing = [number for number, path in paths.items() if not path.exists()]
    parts = drawn_parts(job, assets_of(job, load_body_data(job.body)), missing) if missing else iter(())
    for number, path in paths.items():
        if number in missing:
            with whole_file(path) as beside:
                torch.save(next(parts), beside)
        yield path


def _part_numbers(job: SynthesisJob) -> range:
    return range(-(-job.count // job.part_size))


def drawn_parts(
    job: SynthesisJob, assets: SyntheticAssets, numbers: Iterable[int] | None = None
) -> Iterator[dict[str, Tensor]]:
    """The job's parts, or those of some numbers, in order; on a processor as many at once as it has cores.

    A part hangs on its own seed alone, so how many are drawn at once changes nothing.
    """
    threads = (os.cpu_count() or 1) if job.device == "cpu" else 1
    waiting: deque[Future[dict[str, Tensor]]] = deque()
    # Threads of one process share the pictures; torch lets them run side by side, and each works alone in them:
    # batches this small are slower when one is divided.
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        for number in _part_numbers(job) if numbers is None else numbers:
            if len(waiting) == threads:
                yield waiting.popleft().result()
            count = min(job.part_size, job.count - number * job.part_size)
            waiting.append(workers.submit(_part, count, job.seed + number, assets, job))
        while waiting:
            yield waiting.popleft().result()


def _part(count: int, seed: int, assets: SyntheticAssets, job: SynthesisJob) -> dict[str, Tensor]:
    generator = torch.Generator(job.device).manual_seed(seed)
    sizes = [min(job.batch_size, count - first) for first in range(0, count, job.batch_size)]
    batches = [as_arrays(synthesize(size, assets, job.config, generator)) for size in sizes]
    return {name: torch.cat([batch[name] for batch in batches]).cpu() for name in batches[0]}


def as_arrays(batch: SyntheticBatch) -> dict[str, Tensor]:
    """The fields by name; the camera as `focal` and `centre`."""
    arrays = {entry.name: getattr(batch, entry.name) for entry in fields(batch) if entry.name != "camera"}
    return arrays | {"focal": batch.camera.focal, "centre": batch.camera.centre}


def samples_of(arrays: dict[str, Tensor], source: str, part: str) -> Iterator[Sample]:
    """The people of a part that `run` wrote as stored samples, brought to the size of stored pictures.

    Args:
        arrays: The part.
        source: Name of the data set.
        part: Name of the part, for messages.
    """
    half = STORED_SIZE / 2
    poses = matrix_to_axis_angle(arrays["rotations"]).flatten(1)
    for row in range(len(arrays["images"])):
        weights = arrays["weights_2d"][row]
        keypoints = (arrays["keypoints_2d"][row] + 1) * half * weights[:, None]
        if weights.sum() < 2:  # no box, so nothing to cut out
            continue
        yield Sample(
            image=_resized(arrays["images"][row], STORED_SIZE).numpy(),
            keypoints_2d=keypoints.numpy(),
            weights_2d=weights.numpy(),
            box=box_of_keypoints(keypoints[None], weights[None])[0].numpy(),
            keypoints_3d=arrays["keypoints_3d"][row].numpy(),
            weights_3d=torch.ones_like(weights).numpy(),
            pose=poses[row].numpy(),
            pose_weight=1.0,
            shape=arrays["shape"][row].numpy(),
            shape_weight=1.0,
            source=source,
            record=f"{part}/{row}",
        )


def _resized(picture: UInt8[Tensor, "3 height width"], size: int) -> UInt8[Tensor, "3 size size"]:
    resized = F.interpolate(picture[None].float(), (size, size), mode="bilinear", antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)
