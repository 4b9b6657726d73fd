"""Forward kinematics and linear blend skinning, as SMPL has them (Loper et al. 2015, eq. 2 to 4)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_CPU_BLOCK = 2**16
"""Vertices skinned at once on a CPU: the blended motions of a block (3 MB) stay in its cache."""


class KinematicTree(nn.Module):
    """Which joint hangs from which. Its buffers follow `.to()` but stay out of the state dict."""

    parents: Int[Tensor, "bones"]
    bones_to_joint: Float[Tensor, "joints bones"]

    def __init__(self, parents: Sequence[int]) -> None:
        super().__init__()
        depths = _depths(parents)
        if list(parents[:1]) != [-1] or depths != sorted(depths) or depths.count(0) != 1:
            raise ValueError(f"joints must stand in the order of their depth, under one root, got {parents}")
        levels = [[row for row, d in enumerate(depths) if d == depth] for depth in range(depths[-1] + 1)]
        self._level_sizes = [len(level) for level in levels]
        for depth, (above, level) in enumerate(pairwise(levels), 1):
            self._keep(f"parents_in_level_{depth}", torch.tensor([parents[row] - above[0] for row in level]))
        self._keep("parents", torch.tensor(parents[1:], dtype=torch.long))
        self._keep("bones_to_joint", _bones_to_joint(parents))

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def world_rotations(
        self, rotations: Float[Tensor, "batch joints 3 3"]
    ) -> Float[Tensor, "batch joints 3 3"]:
        """Product of the rotations from the root to each joint; joints of one depth are done together."""
        levels = rotations.split(self._level_sizes, 1)
        world = [levels[0]]
        for depth, level in enumerate(levels[1:], 1):
            world.append(world[-1].index_select(1, getattr(self, f"parents_in_level_{depth}")) @ level)
        return torch.cat(world, 1)

    def forward(
        self,
        rotations: Float[Tensor, "batch joints 3 3"],
        rest_joints: Float[Tensor, "batch joints 3"],
    ) -> tuple[Float[Tensor, "batch joints 3 3"], Float[Tensor, "batch joints 3"]]:
        """Rotations relative to the parents -> rotation and position of each joint in the body's frame.

        The root stays where the rest pose has it; positions are in the unit of `rest_joints`.
        """
        world = self.world_rotations(rotations)
        bones = rest_joints[:, 1:] - rest_joints.index_select(1, self.parents)
        turned = (world.index_select(1, self.parents) @ bones[..., None]).squeeze(-1)
        return world, rest_joints[:, :1] + self.bones_to_joint @ turned


def skin(
    vertices: Float[Tensor, "batch 3 vertices"],
    weights: Float[Tensor, "joints vertices"],
    rotations: Float[Tensor, "batch joints 3 3"],
    translations: Float[Tensor, "batch joints 3"],
) -> Float[Tensor, "batch vertices 3"]:
    """Each vertex moved by the weighted mean of the joints' rigid motions.

    Coordinates come before vertices, so that every sum runs along memory; the result has the usual order.
    """
    motions = torch.cat([rotations, translations[..., None]], -1).permute(0, 2, 3, 1)  # (batch, 3, 4, joints)
    on_cpu = vertices.device.type == "cpu"
    block = max(1, _CPU_BLOCK // vertices.shape[2]) if on_cpu else max(1, len(vertices))
    moved = [
        _skin_block(*some, weights)
        for some in zip(vertices.split(block), motions.split(block), strict=True)
    ]  # fmt: skip
    return torch.cat(moved).contiguous()


def _skin_block(
    vertices: Float[Tensor, "batch 3 vertices"],
    motions: Float[Tensor, "batch 3 4 joints"],
    weights: Float[Tensor, "joints vertices"],
) -> Float[Tensor, "batch vertices 3"]:
    x, y, z = vertices[:, None].unbind(2)
    by_x, by_y, by_z, moved = (motions @ weights).unbind(2)
    moved = torch.addcmul(moved, by_x, x)
    moved = torch.addcmul(moved, by_y, y)
    moved = torch.addcmul(moved, by_z, z)
    return moved.transpose(1, 2)


def _depths(parents: Sequence[int]) -> list[int]:
    """Bones between each joint and the root; -1 where a parent does not stand before its child."""
    depths: list[int] = []
    for row, parent in enumerate(parents):
        depths.append(0 if parent < 0 else depths[parent] + 1 if parent < row else -1)
    return depths


def _bones_to_joint(parents: Sequence[int]) -> Float[Tensor, "joints bones"]:
    """1 where a bone (a joint but the root, with its parent) lies on the path from the root to a joint."""
    paths = torch.eye(len(parents))
    for joint, parent in enumerate(parents[1:], 1):
        paths[joint] += paths[parent]
    return paths[:, 1:].contiguous()
