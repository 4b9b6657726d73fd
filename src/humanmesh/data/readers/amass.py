"""AMASS and other MoSh output (.npz): SMPL, SMPL-H or SMPL-X rotations, in a world whose z is up.

SMPL-H and SMPL-X have SMPL's first 22 joints and then fingers (and jaw and eyes); SMPL's two hands are left
unturned. SMPL-H has SMPL's space of shapes, SMPL-X one of its own. The files give the shift of the body's origin, not of its pelvis; they differ by a constant near
(0, 0.3, 0) m in the body frame that depends on the shape.
"""

import math
from pathlib import Path

import numpy as np
import torch

from humanmesh.data.motion import Motion, require_finite
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.arrays import read_arrays
from humanmesh.geometry.rotations import axis_angle_to_matrix

SHARED_JOINTS = 22
"""Joints that SMPL, SMPL-H and SMPL-X have in common, in SMPL's order."""
_SMPL_X_SIZE = 165
_POSE_SIZES = (66, 72, 156, _SMPL_X_SIZE)
_FRAME_RATE_NAMES = ("mocap_framerate", "mocap_frame_rate", "fps")
_NAMES = (*_FRAME_RATE_NAMES, "poses", "trans", "betas")
"""What is read of a file; some of AMASS's other arrays are pickled."""


def read_amass(path: Path) -> Motion:
    """A clip as SMPL rotations, with the person's shape where the file has one of SMPL's or SMPL-H's.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where the file is cut short, or lacks an array, or an array has wrong numbers.
    """
    arrays = _numbers(path)
    poses, shifts = torch.from_numpy(arrays["poses"]), torch.from_numpy(arrays["trans"])
    require_finite(poses, [f"poses column {column}" for column in range(poses.shape[1])], str(path))
    require_finite(shifts, ["trans x", "trans y", "trans z"], str(path))
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(poses), 24, 1, 1)
    turned = 24 if poses.shape[1] == 72 else SHARED_JOINTS
    rotations[:, :turned] = axis_angle_to_matrix(poses[:, : 3 * turned].unflatten(1, (turned, 3)))
    y_up_from_z_up = axis_angle_to_matrix(torch.tensor([-math.pi / 2, 0, 0], dtype=torch.float64))
    rotations[:, 0] = y_up_from_z_up @ rotations[:, 0]
    return Motion(
        name=path.stem,
        rotations=rotations.float(),
        translation=(shifts @ y_up_from_z_up.T).float(),
        frame_rate=arrays["frame_rate"].item(),
        source=str(path),
        shape=_smpl_shape(arrays),
    )


def _smpl_shape(arrays: dict[str, np.ndarray]) -> torch.Tensor | None:
    """The first ten betas; None where there are none, or where they are SMPL-X's, which mean another body on SMPL."""
    if "betas" not in arrays or arrays["poses"].shape[1] == _SMPL_X_SIZE:
        return None
    return torch.from_numpy(arrays["betas"][:10]).float()


def _numbers(path: Path) -> dict[str, np.ndarray]:
    """`poses`, `trans`, `frame_rate` and, where the file has at least ten of them, `betas`; float64."""
    if not path.is_file():
        raise MissingAssetError("motion file", path, "Give an .npz of AMASS.")
    content = read_arrays(path, f"Motion {path}", "Fetch it again.", _NAMES)
    rate_name = next((name for name in _FRAME_RATE_NAMES if name in content), None)
    if rate_name is None:
        raise BadInputError(
            f"Motion {path} needs a frame rate",
            f"none of {', '.join(_FRAME_RATE_NAMES)}",
            "Add mocap_framerate.",
        )
    for name in ("poses", "trans", *content):
        if name not in content or content[name].dtype.kind not in "fiu":
            found = f"{name} is missing or holds something else than numbers"
            raise BadInputError(f"Motion {path} cannot be read as AMASS", found, "Fetch it again.")
    arrays = {name: content[name].astype(np.float64) for name in ("poses", "trans")}
    arrays["frame_rate"] = content[rate_name].astype(np.float64)
    _require_shapes(path, arrays)
    betas = content.get("betas", np.empty(0)).astype(np.float64).ravel()
    return arrays | ({"betas": betas} if len(betas) >= 10 else {})


def _require_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    poses, shifts, rate = arrays["poses"], arrays["trans"], arrays["frame_rate"]
    if poses.ndim != 2 or poses.shape[1] not in _POSE_SIZES or len(poses) == 0:
        sizes = ", ".join(str(size) for size in _POSE_SIZES)
        raise BadInputError(
            f"Motion {path} needs poses of {sizes} numbers a frame",
            f"shape {poses.shape}",
            "Convert it first.",
        )
    if shifts.shape != (len(poses), 3):
        raise BadInputError(
            f"Motion {path} needs trans of shape {(len(poses), 3)}",
            f"shape {shifts.shape}",
            "Fetch it again.",
        )
    if rate.size != 1 or not 0 < rate.item() < math.inf:
        raise BadInputError(f"Motion {path} needs a positive frame rate", f"{rate}", "Write the true one.")
