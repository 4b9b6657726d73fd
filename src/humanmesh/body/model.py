"""From pose and shape to a posed body."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanmesh.body.parameters import BodyModelData, BodyOutput
from humanmesh.body.skinning import forward_kinematics, skin
from humanmesh.errors import UnknownNameError
from humanmesh.geometry.rotations import axis_angle_to_matrix


def pose_to_rotations(
    pose: Float[Tensor, "batch 72"] | Float[Tensor, "batch 24 3 3"],
) -> Float[Tensor, "batch 24 3 3"]:
    """Axis-angle of 24 joints in a row (radians), or rotation matrices, which pass unchanged."""
    return axis_angle_to_matrix(pose.unflatten(1, (24, 3))) if pose.ndim == 2 else pose


class BodyModel(nn.Module):
    """A body with SMPL's structure. Its buffers follow `.to()` but stay out of the state dict."""

    def __init__(self, data: BodyModelData) -> None:
        super().__init__()
        self.data = data
        regressor = data.joint_regressor
        self._keep("template", data.template)
        self._keep("shape_directions", data.shape_directions.permute(2, 0, 1).flatten(1))
        # Rest joints are linear in the shape, so the regression over all vertices happens once, here.
        self._keep("joint_template", regressor @ data.template)
        self._keep(
            "joint_directions", torch.einsum("jv,vcs->sjc", regressor, data.shape_directions).flatten(1)
        )
        pose_directions = data.pose_directions
        self._keep(
            "pose_directions",
            None if pose_directions is None else pose_directions.permute(2, 0, 1).flatten(1),
        )
        self._keep("skinning_weights", data.skinning_weights)
        self._keep("faces", data.faces)
        self._keypoint_names = tuple(data.keypoint_regressors)
        for name, keypoint_regressor in data.keypoint_regressors.items():
            columns = keypoint_regressor.abs().sum(0).nonzero().squeeze(1)
            self._keep(f"keypoint_vertices_{name}", columns)
            self._keep(f"keypoint_weights_{name}", keypoint_regressor[:, columns])

    def _keep(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, None if value is None else value.contiguous(), persistent=False)

    def forward(
        self,
        pose: Float[Tensor, "batch 72"] | Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch shapes"],
    ) -> BodyOutput:
        """The body in that pose (radians or matrices) and shape (standard deviations); metres."""
        rotations = pose_to_rotations(pose)
        rest_joints = self.rest_joints(shape)
        world, joints = forward_kinematics(rotations, rest_joints, self.data.parents)
        translations = joints - (world @ rest_joints[..., None]).squeeze(-1)
        vertices = skin(self._rest_vertices(rotations, shape), self.skinning_weights, world, translations)
        return BodyOutput(vertices, joints)

    def rest_joints(self, shape: Float[Tensor, "batch shapes"]) -> Float[Tensor, "batch 24 3"]:
        """Joints of the rest pose (metres)."""
        return self.joint_template + (shape @ self.joint_directions).unflatten(1, (-1, 3))

    def _rest_vertices(
        self, rotations: Float[Tensor, "batch 24 3 3"], shape: Float[Tensor, "batch shapes"]
    ) -> Float[Tensor, "batch vertices 3"]:
        offsets = shape @ self.shape_directions
        if self.pose_directions is not None:
            identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
            offsets = offsets + (rotations[:, 1:] - identity).flatten(1) @ self.pose_directions
        return self.template + offsets.unflatten(1, (-1, 3))

    def keypoints(
        self, vertices: Float[Tensor, "batch vertices 3"], name: str
    ) -> Float[Tensor, "batch keypoints 3"]:
        """The named keypoint set (`body.skeletons`) of posed vertices, in their frame and unit.

        Raises:
            UnknownNameError: listing the sets that this body has.
        """
        if name not in self._keypoint_names:
            raise UnknownNameError(
                f"keypoint set of body {self.data.name!r}", name, list(self._keypoint_names)
            )
        columns = getattr(self, f"keypoint_vertices_{name}")
        return getattr(self, f"keypoint_weights_{name}") @ vertices[:, columns]
