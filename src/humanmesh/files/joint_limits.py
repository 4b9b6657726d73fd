"""Limits of joints in a small file: rotations in 16 bits, the right side as the left one's mirror image."""

from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from humanmesh.body.joint_limits import LIMITED, JointLimits
from humanmesh.errors import BadInputError
from humanmesh.files.assets import asset_path
from humanmesh.files.writing import whole_file

JOINT_LIMITS = "joint_limits.safetensors"
"""The bundled file; `tools/build_joint_limits.py` makes it."""
STORED = tuple(joint for joint in LIMITED if not joint.startswith("right_"))
"""Joints in the file: those of the middle and of the left."""

_STEPS = 32767
_SHAPES = {"recorded": 3, "tolerances": 1, "spreads": 1}


@cache
def bundled_joint_limits() -> JointLimits:
    """The limits that come with the package."""
    return read_joint_limits(asset_path(JOINT_LIMITS))


def write_joint_limits(stored: JointLimits, path: Path, notes: dict[str, str]) -> None:
    """Write the limits of the joints of `STORED`."""
    tensors = {
        "recorded": (stored.recorded * _STEPS).round().to(torch.int16).contiguous(),
        "tolerances": stored.tolerances.float().contiguous(),
        "spreads": stored.spreads.float().contiguous(),
    }
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, notes))


def read_joint_limits(path: Path) -> JointLimits:
    """The limits of all joints of `LIMITED`.

    Raises:
        BadInputError: where the file holds something else.
    """
    remedy = "Reinstall the package, or make the file again with tools/build_joint_limits.py."
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"Joint limits {path}", f"they cannot be read ({error})", remedy) from error
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if {name: len(shape) for name, shape in found.items()} != _SHAPES or any(
        shape[0] != len(STORED) for shape in found.values()
    ):
        raise BadInputError(f"Joint limits {path}", f"arrays {found}", remedy)
    rows = [STORED.index(joint.replace("right_", "left_")) for joint in LIMITED]
    recorded = torch.nn.functional.normalize(tensors["recorded"].float(), dim=-1)
    is_right = torch.tensor([joint.startswith("right_") for joint in LIMITED])
    sided = torch.where(is_right[:, None, None], mirrored(recorded)[rows], recorded[rows])
    return JointLimits(sided, tensors["tolerances"][rows], tensors["spreads"][rows])


def mirrored(quaternions: Float[Tensor, "*shape 4"]) -> Float[Tensor, "*shape 4"]:
    """The same turns seen in a mirror that flips x (`geometry.rotations.mirror_matrix`)."""
    return quaternions * torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=quaternions.dtype)
