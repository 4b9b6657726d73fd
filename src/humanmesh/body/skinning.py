"""Forward kinematics and linear blend skinning, as SMPL has them (Loper et al. 2015, eq. 2 to 4)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor


def world_rotations(
    rotations: Float[Tensor, "batch joints 3 3"], parents: Sequence[int]
) -> Float[Tensor, "batch joints 3 3"]:
    """Product of the rotations from the root down to each joint; joints of one depth are done together."""
    depths = _depths(parents)
    rows_of_level = [
        [j for j, depth in enumerate(depths) if depth == level] for level in range(max(depths) + 1)
    ]
    levels = [rotations[:, rows_of_level[0]]]
    for above, rows in pairwise(rows_of_level):
        from_parent = levels[-1][:, [above.index(parents[row]) for row in rows]]
        levels.append(from_parent @ rotations[:, rows])
    order = [row for rows in rows_of_level for row in rows]
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat(levels, 1)[:, inverse]


def forward_kinematics(
    rotations: Float[Tensor, "batch joints 3 3"],
    rest_joints: Float[Tensor, "batch joints 3"],
    parents: Sequence[int],
) -> tuple[Float[Tensor, "batch joints 3 3"], Float[Tensor, "batch joints 3"]]:
    """Rotations relative to the parents -> rotation and position (metres) of each joint in the body's frame."""
    world = world_rotations(rotations, parents)
    parent_rows = [max(parent, 0) for parent in parents]
    bones = rest_joints - rest_joints[:, parent_rows]
    steps = (world[:, parent_rows] @ bones[..., None]).squeeze(-1)
    steps = steps + is_root(parents, rest_joints)[:, None] * rest_joints
    return world, ancestors(parents, rest_joints) @ steps


def is_root(parents: Sequence[int], like: Tensor) -> Float[Tensor, "joints"]:
    """1 for a joint without parent, else 0."""
    return torch.tensor([float(parent < 0) for parent in parents], dtype=like.dtype, device=like.device)


def ancestors(parents: Sequence[int], like: Tensor) -> Float[Tensor, "joints joints"]:
    """1 in row j at each joint on the path from the root to j, j included; else 0."""
    matrix = torch.eye(len(parents), dtype=like.dtype)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            matrix[joint] += matrix[parent]
    return matrix.to(like.device)


def skin(
    vertices: Float[Tensor, "batch vertices 3"],
    weights: Float[Tensor, "vertices joints"],
    rotations: Float[Tensor, "batch joints 3 3"],
    translations: Float[Tensor, "batch joints 3"],
) -> Float[Tensor, "batch vertices 3"]:
    """Each vertex moved by the weighted mean of the joints' rigid motions."""
    motions = torch.cat([rotations, translations[..., None]], -1).flatten(2)  # (batch, joints, 12)
    blended = (motions.transpose(1, 2) @ weights.T).unflatten(1, (3, 4))  # (batch, 3, 4, vertices)
    x, y, z = vertices.transpose(1, 2)[:, None].unbind(2)
    moved = blended[:, :, 0] * x + blended[:, :, 1] * y + blended[:, :, 2] * z + blended[:, :, 3]
    return moved.transpose(1, 2)


def _depths(parents: Sequence[int]) -> list[int]:
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths
