"""`files.joint_limits`: the bundled limits know what people can and cannot do."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.joint_limits import LIMITED, JointLimits
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.motion import mirror_pose
from humanmesh.data.motion_files import read_motion_file
from humanmesh.errors import BadInputError
from humanmesh.files.joint_limits import (
    STORED,
    bundled_joint_limits,
    mirrored,
    read_joint_limits,
    write_joint_limits,
)
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion, mirror_matrix


def pose_with(joint: str, axis_angle: list[float]) -> torch.Tensor:
    pose = torch.zeros(1, 24, 3)
    pose[0, SMPL_24.index[joint]] = torch.tensor(axis_angle)
    return axis_angle_to_matrix(pose)


def is_broken(joint: str, axis_angle: list[float]) -> bool:
    broken = bundled_joint_limits().broken(pose_with(joint, axis_angle))
    return bool(broken[0, LIMITED.index(joint)])


def test_a_knee_bends_backward_and_not_forward_or_aside():
    assert not is_broken("left_knee", [1.5, 0, 0])
    assert is_broken("left_knee", [-0.5, 0, 0])
    assert is_broken("left_knee", [0, 0, 0.6])


def test_an_elbow_bends_forward_and_not_backward():
    assert not is_broken("left_elbow", [0, -1.5, 0])
    assert is_broken("left_elbow", [0, 1.0, 0])
    assert not is_broken("right_elbow", [0, 1.5, 0])
    assert is_broken("right_elbow", [0, -1.0, 0])


def test_a_head_does_not_look_backward():
    assert not is_broken("head", [0, 0.3, 0])
    assert is_broken("head", [0, 3.0, 0])


def test_nearly_all_random_turns_are_impossible():
    matrices = torch.from_numpy(Rotation.random(200 * 24, random_state=0).as_matrix()).float()
    assert bundled_joint_limits().broken(matrices.unflatten(0, (200, 24))).float().mean() > 0.9


def test_a_mirrored_pose_breaks_the_mirrored_joints():
    pose = 0.4 * torch.randn(200, 24, 3, generator=torch.Generator().manual_seed(0))
    rotations = axis_angle_to_matrix(pose)
    rows = [LIMITED.index(SMPL_24.joints[SMPL_24.mirror[SMPL_24.index[joint]]]) for joint in LIMITED]
    limits = bundled_joint_limits()
    ours, theirs = limits.distances(rotations), limits.distances(mirror_pose(rotations))[:, rows]
    middle = [row for row, joint in enumerate(LIMITED) if joint.startswith(("left", "right"))]
    torch.testing.assert_close(ours[:, middle], theirs[:, middle], atol=2e-3, rtol=0)


def test_mirrored_quaternions_are_those_of_mirrored_matrices():
    matrices = axis_angle_to_matrix(torch.randn(20, 3, generator=torch.Generator().manual_seed(1)))
    expected = matrix_to_quaternion(mirror_matrix(matrices))
    torch.testing.assert_close(mirrored(matrix_to_quaternion(matrices)), expected, atol=1e-5, rtol=0)


def test_limits_are_read_as_they_were_written(tmp_path):
    quaternions = torch.nn.functional.normalize(torch.randn(len(STORED), 5, 4), dim=-1)
    tolerances, spreads = torch.rand(len(STORED)), torch.rand(len(STORED))
    write_joint_limits(JointLimits(quaternions, tolerances, spreads), tmp_path / "l.safetensors", {})
    read = read_joint_limits(tmp_path / "l.safetensors")
    left, right = LIMITED.index("left_hip"), LIMITED.index("right_hip")
    torch.testing.assert_close(read.recorded[left], quaternions[STORED.index("left_hip")], atol=1e-4, rtol=0)
    torch.testing.assert_close(read.recorded[right], mirrored(read.recorded[left]))
    torch.testing.assert_close(read.tolerances[right], tolerances[STORED.index("left_hip")])


def test_a_file_of_something_else_is_named(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not limits")
    with pytest.raises(BadInputError, match=r"other.safetensors.*build_joint_limits"):
        read_joint_limits(path)


@pytest.mark.data
@pytest.mark.parametrize("clip", ["03_01", "03_03"])
def test_people_who_were_not_asked_stay_within_the_limits(shared_data, clip):
    path = next((shared_data / "mocap").rglob(f"{clip}.amc"), None)
    if path is None:
        pytest.skip(f"no {clip}.amc")
    (motion,) = read_motion_file(path)
    assert bundled_joint_limits().broken(motion.rotations).float().mean() < 0.01
