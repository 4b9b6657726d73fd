"""How keypoints move with the joints' turns and with the shape, in closed form.

A turn of joint i by a small vector d in the joint's own frame, R_i -> R_i exp([d]x), turns everything that hangs
from it about its position p_i by w = W_i d, with W_i the joint's rotation in the body's frame: a point x that hangs
there wholly moves by w x (x - p_i). A keypoint hangs from several joints by its shares (`body.model.KeypointBody`),
so what is crossed is the sum over the joint's descendants j of its shares  W_j a_j + m_j (p_j - p_i).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.geometry.rotations import cross_product_matrix


@dataclass(frozen=True)
class KeypointJacobian:
    """Keypoints of a posed body and their first derivatives."""

    keypoints: Float[Tensor, "batch keypoints 3"]
    """Metres, body frame: what `KeypointBody` gives."""
    by_turn: Float[Tensor, "batch keypoints 3 72"]
    """Metres per radian: by the turn of each joint in its own frame, R_i -> R_i exp([d_i]x); joint after joint."""
    by_shape: Float[Tensor, "batch keypoints 3 shapes"]
    """Metres per standard deviation."""


def keypoint_jacobian(
    body: KeypointBody,
    rotations: Float[Tensor, "batch 24 3 3"],
    shape: Float[Tensor, "batch shapes"],
) -> KeypointJacobian:
    """Keypoints with exact derivatives by 24 right-multiplied rotation vectors and by the shape.

    It costs four to six times as much as the keypoints alone; no automatic differentiation takes part.
    """
    world, joints = body.tree(rotations, body.rest_joints(shape))
    keypoints = body.mass.shape[1]
    arms = torch.addmm(body.arms, body.features(rotations, shape), body.arm_directions)
    turned = world @ arms.unflatten(1, (24, 3, keypoints))
    shares = turned + joints[..., None] * body.mass[:, None]  # (batch, joints, 3, keypoints)
    descendants = _descendants(body)
    hanging = (descendants @ shares.flatten(2)).unflatten(2, (3, keypoints))
    levers = hanging - joints[..., None] * (descendants @ body.mass)[:, None]
    by_turn = _cross(
        world.transpose(2, 3)[..., None], levers[:, :, None]
    )  # (batch, joints, turn, 3, keypoints)
    by_feature = _by_feature(body, world)
    shapes = shape.shape[1]
    by_shape = by_feature[:, :shapes] + _joints_by_shape(body, world) @ body.mass
    if by_feature.shape[1] > shapes:
        by_turn[:, 1:] += _by_correctives(rotations[:, 1:], by_feature[:, shapes:])
    return KeypointJacobian(
        shares.sum(1).transpose(1, 2), by_turn.flatten(1, 2).permute(0, 3, 2, 1), by_shape.permute(0, 3, 2, 1)
    )


def _cross(
    axes: Float[Tensor, "batch joints 3 3 1"], levers: Float[Tensor, "batch joints 1 3 keypoints"]
) -> Float[Tensor, "batch joints 3 3 keypoints"]:
    """`torch.linalg.cross` over the fourth dimension, several times faster where both sides are broadcast."""
    (ax, ay, az), (lx, ly, lz) = axes.unbind(3), levers.unbind(3)
    return torch.stack([ay * lz - az * ly, az * lx - ax * lz, ax * ly - ay * lx], 3)


def _descendants(body: KeypointBody) -> Float[Tensor, "joints joints"]:
    """1 where the joint of the column is the joint of the row or hangs from it."""
    paths = body.tree.bones_to_joint
    return torch.cat([paths.new_ones(len(paths), 1), paths], 1).T


def _by_feature(
    body: KeypointBody, world: Float[Tensor, "batch 24 3 3"]
) -> Float[Tensor, "batch features 3 keypoints"]:
    """Derivative of the keypoints by what their arms are linear in, the joints held still."""
    features, keypoints = len(body.arm_directions), body.mass.shape[1]
    directions = body.arm_directions.view(features, 72, keypoints).transpose(0, 1).flatten(1)
    turned = world.transpose(1, 2).flatten(2) @ directions  # the sum over joints is the inner product's
    return turned.unflatten(2, (features, keypoints)).transpose(1, 2)


def _joints_by_shape(
    body: KeypointBody, world: Float[Tensor, "batch 24 3 3"]
) -> Float[Tensor, "batch shapes 3 24"]:
    parents = body.tree.parents
    directions = body.joint_directions.unflatten(1, (24, 3)).permute(1, 2, 0)  # (joints, 3, shapes)
    bones = world.index_select(1, parents) @ (directions[1:] - directions[parents])
    along_paths = (body.tree.bones_to_joint @ bones.flatten(2)).unflatten(2, (3, -1))
    return (directions[0] + along_paths).transpose(1, 3)


def _by_correctives(
    rotations: Float[Tensor, "batch 23 3 3"], by_feature: Float[Tensor, "batch 207 3 keypoints"]
) -> Float[Tensor, "batch 23 3 3 keypoints"]:
    """The part of the derivative by turns that goes through the pose correctives."""
    generators = cross_product_matrix(torch.eye(3).to(rotations))
    turned = (rotations[:, :, None] @ generators).flatten(3)  # (batch, joints, turn, entries of the matrix)
    entries = by_feature.unflatten(1, (23, 9))
    return torch.einsum("bite,biexk->bitxk", turned, entries)
