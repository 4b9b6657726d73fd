"""CMU motion as exponential maps: arrays (frames, 117) on a skeleton of 38 joints.

The files use row vectors (a point is turned as `x @ R`), so a column-vector matrix is the transpose of theirs.
The rest pose is a T with splayed legs; y is up, x the person's left, z forward.
"""

import json
from pathlib import Path

import numpy as np
import torch

from humanmesh.data.motion import (
    CMU_CORRESPONDENCE,
    Motion,
    SourceMotion,
    SourceSkeleton,
    accumulate_turns,
    require_finite,
    retarget,
)
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.arrays import read_arrays
from humanmesh.geometry.rotations import axis_angle_to_matrix

METRES_PER_OFFSET_UNIT = 0.00082
"""Length unit of the skeleton's offsets.

The files do not give it. With this value the feet stand still while the root walks over them, in the median of 56
walks; as all subjects share one skeleton, single walks ask for 6 % less to 6 % more.
"""
METRES_PER_TRANSLATION_UNIT = 0.0254 / 0.45
"""Length unit of the root's translation: that of CMU's own files."""
FRAME_RATE = 40.0
"""Every third frame of a recording at 120 Hz."""
JOINTS = (
    "root",
    "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes", "ltoes_end",
    "rhipjoint", "rfemur", "rtibia", "rfoot", "rtoes", "rtoes_end",
    "lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head", "head_end",
    "lclavicle", "lhumerus", "lradius", "lwrist", "lhand", "lfingers", "lfingers_end", "lthumb", "lthumb_end",
    "rclavicle", "rhumerus", "rradius", "rwrist", "rhand", "rfingers", "rfingers_end", "rthumb", "rthumb_end",
)  # fmt: skip
"""CMU's bone that starts at each of the 38 joints."""
COLUMNS = tuple(f"column {number}" for number in range(3 + 3 * len(JOINTS)))


def read_expmap(path: Path, skeleton_json: Path) -> list[Motion]:
    """Every clip of one .npz file as SMPL rotations."""
    return [retarget(source, CMU_CORRESPONDENCE) for source in read_expmap_sources(path, skeleton_json)]


def read_expmap_sources(path: Path, skeleton_json: Path) -> list[SourceMotion]:
    """Every clip of one .npz file on its own skeleton.

    Raises:
        MissingAssetError: where a file is not there.
        BadInputError: where a file is cut short or a clip has wrong or missing numbers.
    """
    skeleton = read_expmap_skeleton(skeleton_json)
    if not path.is_file():
        raise MissingAssetError("motion file", path, "Give an .npz of exponential maps.")
    clips = read_arrays(path, f"Motion {path}", "Fetch the file again.")
    return [_source(path, clip, values, skeleton) for clip, values in clips.items()]


def read_expmap_skeleton(path: Path) -> SourceSkeleton:
    """The skeleton of the arrays from its JSON file (`parent`, `offset`).

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not the skeleton of 38 joints.
    """
    if not path.is_file():
        raise MissingAssetError("skeleton file", path, "Give the skeleton.json that lies beside the arrays.")
    try:
        content = json.loads(path.read_text())
        offsets = torch.tensor(content["offset"], dtype=torch.float64).reshape(len(JOINTS), 3)
        parents = tuple(int(parent) for parent in content["parent"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BadInputError(
            f"Skeleton {path} needs parent and offset of 38 joints",
            str(error),
            "Give the file that lies beside the arrays.",
        ) from error
    return SourceSkeleton(JOINTS, parents, offsets * METRES_PER_OFFSET_UNIT)


def _source(path: Path, clip: str, array: np.ndarray, skeleton: SourceSkeleton) -> SourceMotion:
    source = f"{path}, clip {clip}"
    is_table = array.ndim == 2 and array.shape[1] == len(COLUMNS) and len(array) >= 2
    if not is_table or array.dtype.kind not in "fiu":
        raise BadInputError(
            f"Motion {source} needs numbers (frames, {len(COLUMNS)})",
            f"shape {array.shape} of {array.dtype}",
            "Leave it out.",
        )
    values = torch.from_numpy(array.astype(np.float64))
    require_finite(values, COLUMNS, source)
    if not values[0, 3:6].any():
        values = values[
            1:
        ]  # the exporter put a T pose, whose root is not turned at all, before the recording
    # Row vectors: the file's matrices are the transposes of ours.
    local = axis_angle_to_matrix(values[:, 3:].unflatten(1, (len(JOINTS), 3))).transpose(-1, -2)
    return SourceMotion(
        name=f"{path.stem}/{clip}",
        skeleton=skeleton,
        world_turns=accumulate_turns(local, skeleton.parents),
        translation=values[:, :3] * METRES_PER_TRANSLATION_UNIT,
        frame_rate=FRAME_RATE,
        source=source,
    )
