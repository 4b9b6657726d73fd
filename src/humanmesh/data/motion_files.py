"""Motion capture of every kind, read from a folder and joined into one file of SMPL poses."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from humanmesh.data.motion import Motion, plausible_frames, rarity_weights, with_straighter_knees
from humanmesh.data.readers.amass import read_amass
from humanmesh.data.readers.asf_amc import read_asf_amc
from humanmesh.data.readers.bvh import read_bvh
from humanmesh.data.readers.deepmimic import read_deepmimic
from humanmesh.data.readers.expmap import read_expmap
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.writing import whole_file
from humanmesh.geometry.rotations import matrix_to_axis_angle

AMC_FRAME_RATE = 30.0
"""Hz; .amc files do not say theirs. Poses do not depend on it."""


@dataclass(frozen=True)
class MotionRules:
    """How a folder of motion capture is read."""

    amc_frame_rate: float = AMC_FRAME_RATE
    """Hz of .amc files."""
    strict: bool = False
    """End with an error at the first file that cannot be read, instead of leaving it out."""
    leave_out: Path | None = None
    """A file not to read, such as the one to be written."""

    def __post_init__(self) -> None:
        if not self.amc_frame_rate > 0:
            found = f"{self.amc_frame_rate}"
            raise BadInputError("Frame rate of .amc files", found, "Give a number of Hz above 0.")


@dataclass
class MotionReport:
    """What was read. Hand one to `read_motion_folder` to have it filled."""

    files: int = 0
    """Files with motion."""
    left_out: list[str] = field(default_factory=list)
    """A sentence for each file that looked like motion and could not be read."""


def read_motion_file(path: Path, amc_frame_rate: float = AMC_FRAME_RATE) -> list[Motion]:
    """The clips of one file, by its suffix; none where it is no motion.

    .amc goes with an .asf of the same folder; .txt is DeepMimic's; .npz has exponential maps where a skeleton.json
    lies beside it, and is AMASS's elsewhere.

    Raises:
        HumanMeshError: where the file cannot be read, naming it and the record.
    """
    suffix = path.suffix.lower()
    if suffix == ".amc":
        skeletons = sorted(path.parent.glob("*.asf"))
        return [read_asf_amc(skeletons[0] if skeletons else path.with_suffix(".asf"), path, amc_frame_rate)]
    if suffix == ".bvh":
        return [read_bvh(path)]
    if suffix == ".txt":
        return [read_deepmimic(path)]
    if suffix == ".npz":
        skeleton = path.parent / "skeleton.json"
        return read_expmap(path, skeleton) if skeleton.is_file() else [read_amass(path)]
    return []


def read_motion_folder(
    folder: Path,
    rules: MotionRules,
    report: MotionReport,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Motion]:
    """The clips of every file below a folder, or of one file.

    Args:
        advance: told after each file how many are done, of how many.

    Raises:
        MissingAssetError: where there is no such folder.
        BadInputError: where nothing can be read.
        HumanMeshError: at the first file that cannot be read, where the rules are strict.
    """
    if not folder.exists():
        raise MissingAssetError("motion capture", folder, "Give a folder of .amc, .bvh, .npz or .txt files.")
    files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    motions: list[Motion] = []
    for done, path in enumerate(files, 1):
        clips = _readable(path, rules, report)
        report.files += bool(clips)
        motions += clips
        advance(done, len(files))
    if not motions:
        found = report.left_out[0] if report.left_out else "no .amc, .bvh, .npz or .txt file"
        raise BadInputError(f"No motion in {folder}", found.rstrip("."), "Give a folder of motion capture.")
    return motions


def _readable(path: Path, rules: MotionRules, report: MotionReport) -> list[Motion]:
    if rules.leave_out is not None and path.resolve() == rules.leave_out.resolve():
        return []
    try:
        return read_motion_file(path, rules.amc_frame_rate)
    except HumanMeshError as error:
        if rules.strict:
            raise
        report.left_out.append(str(error))
        return []


def pose_arrays(motions: Iterable[Motion], knee_offset: float = 0.0) -> dict[str, np.ndarray]:
    """The clips as the arrays of one file.

    `pose` (frames, 72) axis-angle in radians, `clip` (frames,) row of each frame's clip, `clip_names`, `frame_rate` of
    each clip in Hz, `translation` (frames, 3) in metres, `weight` (frames,) how often to draw each frame so that rare
    poses come more often than they were recorded. Frames in which a joint is turned further than a body can are left
    out.

    Args:
        motions: the clips.
        knee_offset: radians, of `with_straighter_knees`.

    Raises:
        BadInputError: where no frame is left.
    """
    motions = list(motions)
    rotations = with_straighter_knees(torch.cat([motion.rotations for motion in motions]), knee_offset)
    clips = np.repeat(np.arange(len(motions), dtype=np.int32), [len(motion.rotations) for motion in motions])
    kept = plausible_frames(rotations)
    if not bool(kept.any()):
        found = f"in all {len(kept)} frames a joint is turned further than a body can"
        raise BadInputError(
            "Motion capture", found, "Look whether its angles are in the unit that its format wants."
        )
    return {
        "pose": matrix_to_axis_angle(rotations[kept]).flatten(1).numpy(),
        "clip": clips[kept.numpy()],
        "clip_names": np.array([motion.name for motion in motions]),
        "frame_rate": np.array([motion.frame_rate for motion in motions], np.float32),
        "translation": torch.cat([motion.translation for motion in motions])[kept].numpy(),
        "weight": rarity_weights(rotations[kept], torch.Generator().manual_seed(0)).numpy(),
    }


def write_motion(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz, whole or not at all.

    Raises:
        BadInputError: where it cannot be written.
    """
    with whole_file(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
