"""What holds for all poses whose arms were bent: hands on the body, and hands on a bar."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.joint_limits import LIMITED
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.holding import holding_poses
from humanmesh.data.touching import TouchBody, touching_poses
from humanmesh.files.body_models import load_body_data
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_arms import ARMS, recorded_arms


@pytest.fixture(scope="module")
def body():
    return TouchBody(load_body_data("anny"))


@pytest.fixture(params=[touching_poses, holding_poses], ids=["touching", "holding"])
def make(request, body):
    def made(trials, seed):
        generator = torch.Generator().manual_seed(seed)
        return request.param(recorded_arms(), body, bundled_joint_limits(), trials, generator)

    return made


def test_arms_alone_are_changed_and_stay_within_what_was_recorded(make):
    made, limits = make(60, 1), bundled_joint_limits()
    recorded = axis_angle_to_matrix(recorded_arms().poses.unflatten(1, (24, 3)))
    others = [row for row in range(24) if row not in ARMS]
    apart = (made[:, None, others] - recorded[:, others]).abs().amax((2, 3, 4)).amin(1)
    assert apart.max() < 1e-5
    for joint in (name for name in LIMITED if name.endswith(("shoulder", "elbow", "wrist"))):
        row = LIMITED.index(joint)
        turned = Rotation.from_matrix(made[:, SMPL_24.index[joint]].numpy())
        known = Rotation.from_quat(limits.recorded[row].numpy(), scalar_first=True)
        nearest = np.array([(known.inv() * one).magnitude().min() for one in turned])
        assert nearest.max() <= limits.tolerances[row]


def test_the_same_generator_makes_the_same_poses(make):
    first, second = make(16, 3), make(16, 3)
    assert len(first)
    assert torch.equal(first, second)
