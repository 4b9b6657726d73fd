"""DeepMimic clips (Peng et al. 2018): JSON, one row of 44 numbers a frame, on a humanoid of 15 joints.

The humanoid's rest pose has hanging arms; its frame is x forward, y up, z to the person's right.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.data.motion import (
    Correspondence,
    Follows,
    Motion,
    SourceMotion,
    SourceSkeleton,
    accumulate_turns,
    require_finite,
    retarget,
)
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix

NUMBERS_PER_FRAME = 44
"""Duration in seconds, position of the root in metres, and the turns."""

_BONES: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("chest", 0, (0.0, 0.236151, 0.0)),
    ("neck", 1, (0.0, 0.223894, 0.0)),
    ("right_hip", 0, (0.0, 0.0, 0.084887)),
    ("right_knee", 3, (0.0, -0.421546, 0.0)),
    ("right_ankle", 4, (0.0, -0.409870, 0.0)),
    ("right_shoulder", 1, (-0.02405, 0.24350, 0.18311)),
    ("right_elbow", 6, (0.0, -0.274788, 0.0)),
    ("right_wrist", 7, (0.0, -0.258947, 0.0)),
    ("left_hip", 0, (0.0, 0.0, -0.084887)),
    ("left_knee", 9, (0.0, -0.421546, 0.0)),
    ("left_ankle", 10, (0.0, -0.409870, 0.0)),
    ("left_shoulder", 1, (-0.02405, 0.24350, -0.18311)),
    ("left_elbow", 12, (0.0, -0.274788, 0.0)),
    ("left_wrist", 13, (0.0, -0.258947, 0.0)),
)
"""Joint, parent row, offset in metres in the humanoid's own frame (humanoid3d.txt of the DeepMimic release)."""

_COLUMNS: dict[str, tuple[int, int]] = {
    "root": (4, 4), "chest": (8, 4), "neck": (12, 4),
    "right_hip": (16, 4), "right_knee": (20, 1), "right_ankle": (21, 4),
    "right_shoulder": (25, 4), "right_elbow": (29, 1),
    "left_hip": (30, 4), "left_knee": (34, 1), "left_ankle": (35, 4),
    "left_shoulder": (39, 4), "left_elbow": (43, 1),
}  # fmt: skip
"""First column of each joint's numbers and their count: 4 = quaternion (w, x, y, z), 1 = hinge about z, radians."""

_BODY_FROM_HUMANOID = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)

DEEPMIMIC_CORRESPONDENCE = Correspondence(
    follows={
        "pelvis": Follows("root"),
        # The one chest joint stands where SMPL's spine3 does; the bend is begun one joint lower.
        "spine1": Follows("root"),
        "spine2": Follows("root", "chest", 0.5),
        "spine3": Follows("chest"),
        "neck": Follows("chest", "neck", 0.5),
        "head": Follows("neck"),
        **{
            f"{side}_{joint}": Follows(f"{side}_{joint}")
            for side in ("left", "right")
            for joint in ("hip", "knee", "ankle", "shoulder", "elbow")
        },
    },
    limb_ends={
        f"{side}_{joint}": f"{side}_{end}"
        for side in ("left", "right")
        for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
    },
)


def read_deepmimic(path: Path) -> Motion:
    """A clip as SMPL rotations."""
    return retarget(read_deepmimic_source(path), DEEPMIMIC_CORRESPONDENCE)


def read_deepmimic_source(path: Path) -> SourceMotion:
    """A clip on the humanoid's own skeleton.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where the file is cut short or a frame has wrong numbers.
    """
    frames = _read_frames(path)
    turn = _BODY_FROM_HUMANOID
    # A change of frame acts on both sides of a rotation.
    local = turn @ torch.stack([_local_turn(frames, joint) for joint, _, _ in _BONES], 1) @ turn.T
    parents = tuple(parent for _, parent, _ in _BONES)
    offsets = torch.tensor([offset for _, _, offset in _BONES], dtype=torch.float64) @ turn.T
    return SourceMotion(
        name=path.stem.removeprefix("humanoid3d_"),
        skeleton=SourceSkeleton(tuple(joint for joint, _, _ in _BONES), parents, offsets),
        world_turns=accumulate_turns(local, parents),
        translation=frames[:, 1:4] @ turn.T,
        # The last frame has no duration: it ends the clip.
        frame_rate=float(1 / frames[: max(1, len(frames) - 1), 0].mean()),
        source=str(path),
    )


def _local_turn(frames: Float[Tensor, "frames 44"], joint: str) -> Float[Tensor, "frames 3 3"]:
    if joint not in _COLUMNS:
        return torch.eye(3, dtype=frames.dtype).expand(len(frames), 3, 3)
    first, count = _COLUMNS[joint]
    values = frames[:, first : first + count]
    if count == 4:
        return quaternion_to_matrix(values)
    return axis_angle_to_matrix(values * torch.tensor([0.0, 0.0, 1.0], dtype=frames.dtype))


def _read_frames(path: Path) -> Float[Tensor, "frames 44"]:
    if not path.is_file():
        raise MissingAssetError("motion file", path, "Give a DeepMimic clip (.txt).")
    try:
        rows = json.loads(path.read_text())["Frames"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"Motion {path} needs JSON with Frames",
            f"{type(error).__name__}: {error}",
            "Fetch the file again.",
        ) from error
    for number, row in enumerate(rows):
        if len(row) != NUMBERS_PER_FRAME:
            raise BadInputError(
                f"Motion {path}, frame {number} needs {NUMBERS_PER_FRAME} numbers",
                f"{len(row)} found",
                "Give a clip of DeepMimic's humanoid.",
            )
    if not rows or not rows[0][0] > 0:
        raise BadInputError(f"Motion {path} needs frames that last", "it has none", "Fetch the file again.")
    frames = torch.tensor(rows, dtype=torch.float64)
    require_finite(frames, [f"number {column}" for column in range(NUMBERS_PER_FRAME)], str(path))
    return frames
