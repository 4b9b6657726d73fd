"""From pose and shape to a posed body, or to its keypoints alone."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from humanmesh.body.parameters import BodyModelData, BodyOutput
from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.skinning import KinematicTree, skin
from humanmesh.geometry.rotations import axis_angle_to_matrix


def pose_to_rotations(
    pose: Float[Tensor, "batch 72"] | Float[Tensor, "batch 24 3 3"],
) -> Float[Tensor, "batch 24 3 3"]:
    """Axis-angle of 24 joints in a row (radians), or rotation matrices, which pass unchanged."""
    return axis_angle_to_matrix(pose.unflatten(1, (-1, 3))) if pose.ndim == 2 else pose


class _Skeleton(nn.Module):
    """What every body has: joints that follow shape and pose. No buffer enters the state dict."""

    joint_template: Float[Tensor, "24 3"]
    joint_directions: Float[Tensor, "shapes coordinates"]

    def __init__(self, data: BodyModelData) -> None:
        super().__init__()
        self.data = data
        self.tree = KinematicTree(data.parents).to(data.template.dtype)
        # Rest joints are linear in the shape, so the sum over all vertices is done once, here.
        joint_directions = torch.einsum("jv,vcs->sjc", data.joint_regressor, data.shape_directions)
        self._keep("joint_template", data.joint_regressor @ data.template)
        self._keep("joint_directions", joint_directions.flatten(1))

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.contiguous(), persistent=False)

    def rest_joints(self, shape: Float[Tensor, "batch shapes"]) -> Float[Tensor, "batch 24 3"]:
        """Joints of the rest pose (metres)."""
        return self.joint_template + (shape @ self.joint_directions).unflatten(1, (-1, 3))

    def features(
        self, rotations: Float[Tensor, "batch 24 3 3"], shape: Float[Tensor, "batch shapes"]
    ) -> Float[Tensor, "batch features"]:
        """What the rest body is linear in: the shape and, where the body has correctives, R - I."""
        if self.data.pose_directions is None:
            return shape
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        return torch.cat([shape, (rotations[:, 1:] - identity).flatten(1)], 1)


class BodyModel(_Skeleton):
    """A body with SMPL's structure, all its vertices."""

    template: Float[Tensor, "coordinates"]
    directions: Float[Tensor, "features coordinates"]
    skinning_weights: Float[Tensor, "joints vertices"]
    faces: Int[Tensor, "faces 3"]

    def __init__(self, data: BodyModelData) -> None:
        super().__init__(data)
        # Coordinate by coordinate, as `skin` takes them.
        self._keep("template", data.template.T.flatten())
        self._keep("directions", _directions(data).permute(2, 1, 0).flatten(1))
        self._keep("skinning_weights", data.skinning_weights.T)
        self._keep("faces", data.faces)
        for name in {SMPL_24.name, *data.keypoint_regressors}:
            regressor = data.keypoint_regressor(name)
            vertices = regressor.abs().sum(0).nonzero().squeeze(1)
            self._keep(f"keypoint_vertices_{name}", vertices)
            self._keep(f"keypoint_weights_{name}", regressor[:, vertices])

    def forward(
        self,
        pose: Float[Tensor, "batch 72"] | Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch shapes"],
    ) -> BodyOutput:
        """The body in that pose (radians or matrices) and shape (standard deviations); metres."""
        rotations = pose_to_rotations(pose)
        rest_joints = self.rest_joints(shape)
        world, joints = self.tree(rotations, rest_joints)
        translations = joints - (world @ rest_joints[..., None]).squeeze(-1)
        rest = torch.addmm(self.template, self.features(rotations, shape), self.directions)
        vertices = skin(rest.unflatten(1, (3, -1)), self.skinning_weights, world, translations)
        return BodyOutput(vertices, joints)

    def keypoints(
        self, vertices: Float[Tensor, "batch vertices 3"], name: str
    ) -> Float[Tensor, "batch keypoints 3"]:
        """The named keypoint set (`body.skeletons`) of posed vertices, in their frame and unit.

        Raises:
            UnknownNameError: listing the sets that this body has.
        """
        self.data.keypoint_regressor(name)
        chosen = vertices.index_select(1, getattr(self, f"keypoint_vertices_{name}"))
        return getattr(self, f"keypoint_weights_{name}") @ chosen


class KeypointBody(_Skeleton):
    """Joints and one keypoint set of a body without posing any vertex; exact, for training.

    A keypoint k is linear in the posed vertices, so with skinning weights w, regressor r, rest vertices v
    and rest joints J it is  sum_j R_j (sum_i r_ki w_ij (v_i - J_j)) + (sum_i r_ki w_ij) joint_j.  The inner
    sums are linear in the shape and the pose features; their coefficients are summed over vertices once.
    """

    arms: Float[Tensor, "coordinates"]
    arm_directions: Float[Tensor, "features coordinates"]
    mass: Float[Tensor, "joints keypoints"]

    def __init__(self, data: BodyModelData, keypoint_set: str) -> None:
        super().__init__(data)
        shares = torch.einsum("ki,ij->jki", data.keypoint_regressor(keypoint_set), data.skinning_weights)
        mass = shares.sum(2)
        arms = torch.einsum("jki,ic->jck", shares, data.template) - _outer(mass, self.joint_template)
        directions = torch.einsum("jki,icf->fjck", shares, _directions(data))
        shapes = data.shape_directions.shape[2]
        directions[:shapes] -= _outer(mass, self.joint_directions.unflatten(1, (-1, 3)))
        self._keep("arms", arms.flatten())
        self._keep("arm_directions", directions.flatten(1))
        self._keep("mass", mass)

    def forward(
        self,
        pose: Float[Tensor, "batch 72"] | Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch shapes"],
    ) -> tuple[Float[Tensor, "batch 24 3"], Float[Tensor, "batch keypoints 3"]]:
        """Joints and keypoints of the posed body (metres): what `BodyModel` and its `keypoints` give."""
        rotations = pose_to_rotations(pose)
        world, joints = self.tree(rotations, self.rest_joints(shape))
        arms = torch.addmm(self.arms, self.features(rotations, shape), self.arm_directions)
        arms = arms.unflatten(1, (-1, self.mass.shape[1]))  # (batch, joints * 3, keypoints)
        turned = world.transpose(1, 2).flatten(2) @ arms  # the sum over joints is the inner product's
        return joints, (turned + joints.transpose(1, 2) @ self.mass).transpose(1, 2)


def _outer(
    mass: Float[Tensor, "joints keypoints"], joints: Float[Tensor, "*features joints 3"]
) -> Float[Tensor, "*features joints 3 keypoints"]:
    return joints[..., None] * mass[:, None]


def _directions(data: BodyModelData) -> Float[Tensor, "vertices 3 features"]:
    if data.pose_directions is None:
        return data.shape_directions
    return torch.cat([data.shape_directions, data.pose_directions], 2)
