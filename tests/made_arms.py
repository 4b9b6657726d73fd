"""Poses whose arms were all recorded, each at some time."""

import torch

from humanmesh.body.joint_limits import LIMITED
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quaternion_to_matrix

ARMS = [
    SMPL_24.index[f"{side}_{joint}"]
    for side in ("left", "right")
    for joint in ("collar", "shoulder", "elbow", "wrist")
]


def recorded_arms() -> PoseLibrary:
    """400 poses; joints of arms are drawn each for itself, and one leg is turned as none was."""
    limits, generator = bundled_joint_limits(), torch.Generator().manual_seed(0)
    rotations = torch.eye(3).repeat(400, 24, 1, 1)
    for joint in (name for name in LIMITED if name.endswith(("shoulder", "elbow", "wrist"))):
        recorded = limits.recorded[LIMITED.index(joint)]
        rows = torch.randint(len(recorded), (len(rotations),), generator=generator)
        rotations[:, SMPL_24.index[joint]] = quaternion_to_matrix(recorded[rows])
    rotations[:, SMPL_24.index["left_knee"]] = axis_angle_to_matrix(torch.tensor([-0.7, 0.0, 0.0]))
    rotations[:, 0] = axis_angle_to_matrix(0.3 * torch.randn(len(rotations), 3, generator=generator))
    return PoseLibrary(matrix_to_axis_angle(rotations).flatten(1), torch.ones(len(rotations)))
