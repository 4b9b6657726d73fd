"""The values that a body is made of and the values that it gives."""

from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import UnknownNameError


@dataclass(frozen=True)
class BodyModelData:
    """SMPL's structure (Loper et al. 2015), of any body in it. Body frame: y up, x to the person's left, z forward."""

    name: str
    """Where the body comes from: "anny", "smpl", ..."""
    template: Float[Tensor, "vertices 3"]
    """Mean body in the rest pose, a T; metres."""
    shape_directions: Float[Tensor, "vertices 3 shapes"]
    """Metres per unit of shape coefficient; one unit is one standard deviation."""
    pose_directions: Float[Tensor, "vertices 3 pose_features"] | None
    """Corrective displacement in metres per entry of R_j - I, joints 1 to 23 row by row; None where the body has none."""
    joint_regressor: Float[Tensor, "24 vertices"]
    """Rest joints as a linear map of the rest vertices; rows sum to one."""
    skinning_weights: Float[Tensor, "vertices 24"]
    """Share of each joint's motion in each vertex; rows sum to one."""
    parents: tuple[int, ...]
    """Parent row of each joint; -1 for the root."""
    faces: Int[Tensor, "faces 3"]
    """Vertex rows, counter-clockwise seen from outside."""
    keypoint_regressors: dict[str, Tensor] = field(default_factory=dict)
    """Keypoint set name -> (keypoints, vertices): posed keypoints as a linear map of the posed vertices."""
    face_parts: Int[Tensor, "faces"] | None = None
    """Row of the SMPL joint that each face follows (the 24 parts)."""

    def rest_vertices(self, shape: Float[Tensor, "people shapes"]) -> Float[Tensor, "people vertices 3"]:
        """Bodies of some shapes (standard deviations, as many as are given) in the rest pose, metres."""
        directions = self.shape_directions[..., : shape.shape[1]]
        return self.template + torch.einsum("vxs,ps->pvx", directions, shape)

    def keypoint_regressor(self, name: str) -> Float[Tensor, "keypoints vertices"]:
        """The linear map from posed vertices to a named keypoint set (`body.skeletons`).

        "smpl24" is the joint regressor where the body brings no other; on posed vertices it follows the
        joints that posing gives to some millimetres only.

        Raises:
            UnknownNameError: listing the sets that this body has.
        """
        regressors = {SMPL_24.name: self.joint_regressor, **self.keypoint_regressors}
        if name not in regressors:
            raise UnknownNameError(f"keypoint set of the body {self.name!r}", name, list(regressors))
        return regressors[name]

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "BodyModelData":
        """The same body in another floating-point type or on another device."""

        def move(value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            if isinstance(value, dict):
                return {name: move(entry) for name, entry in value.items()}
            return value

        return replace(self, **{entry.name: move(getattr(self, entry.name)) for entry in fields(self)})

    def scaled(self, factor: float) -> "BodyModelData":
        """The same body, that many times as large in every direction."""
        pose_directions = None if self.pose_directions is None else factor * self.pose_directions
        return replace(
            self,
            template=factor * self.template,
            shape_directions=factor * self.shape_directions,
            pose_directions=pose_directions,
        )


@dataclass(frozen=True)
class BodyOutput:
    """A posed body, in the frame of its global rotation (metres)."""

    vertices: Float[Tensor, "batch vertices 3"]
    joints: Float[Tensor, "batch 24 3"]
