"""Hands on the body: seen on the whole skin, which the making of these poses never poses."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.joint_limits import LIMITED
from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.data.touching import TouchBody, draw_touches, touching_poses
from humanmesh.files.body_models import load_body_data
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quaternion_to_matrix

ARMS = [
    SMPL_24.index[f"{side}_{joint}"]
    for side in ("left", "right")
    for joint in ("collar", "shoulder", "elbow", "wrist")
]


@pytest.fixture(scope="module")
def data():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def library():
    """Poses of arms' joints that were all recorded, each at some time; one leg is turned as none was."""
    limits, generator = bundled_joint_limits(), torch.Generator().manual_seed(0)
    rotations = torch.eye(3).repeat(400, 24, 1, 1)
    for joint in (name for name in LIMITED if name.endswith(("shoulder", "elbow", "wrist"))):
        recorded = limits.recorded[LIMITED.index(joint)]
        rows = torch.randint(len(recorded), (len(rotations),), generator=generator)
        rotations[:, SMPL_24.index[joint]] = quaternion_to_matrix(recorded[rows])
    rotations[:, SMPL_24.index["left_knee"]] = axis_angle_to_matrix(torch.tensor([-0.7, 0.0, 0.0]))
    rotations[:, 0] = axis_angle_to_matrix(0.3 * torch.randn(len(rotations), 3, generator=generator))
    return PoseLibrary(matrix_to_axis_angle(rotations).flatten(1), torch.ones(len(rotations)))


@pytest.fixture(scope="module")
def made(library, data):
    generator = torch.Generator().manual_seed(1)
    return touching_poses(library, TouchBody(data), bundled_joint_limits(), 80, generator)


def nearest_skin(rotations, data):
    """(people, 2) metres from the skin of each hand to the nearest skin that is not of the same arm."""
    vertices = BodyModel(data)(rotations, torch.zeros(len(rotations), 10)).vertices
    part = data.skinning_weights.argmax(1)
    distances = []
    for side in ("left", "right"):
        hand = SMPL_24.index[f"{side}_hand"]
        arm = torch.tensor([hand, *(row for row in ARMS if SMPL_24.joints[row].startswith(side))])
        skin = vertices[:, ~torch.isin(part, arm)]
        distances.append(torch.cdist(vertices[:, part == hand][:, ::4], skin).amin((1, 2)))
    return torch.stack(distances, 1)


def test_hands_lie_on_the_skin(made, library, data):
    assert len(made) >= 16
    touching = nearest_skin(made, data) < 0.03
    assert touching.any(1).all()
    recorded = axis_angle_to_matrix(library.poses[:50].unflatten(1, (24, 3)))
    by_chance = nearest_skin(recorded, data) < 0.03
    assert touching.all(1).float().mean() > by_chance.all(1).float().mean() + 0.2


def test_arms_alone_are_changed_and_stay_within_what_was_recorded(made, library):
    recorded = axis_angle_to_matrix(library.poses.unflatten(1, (24, 3)))
    others = [row for row in range(24) if row not in ARMS]
    apart = (made[:, None, others] - recorded[:, others]).abs().amax((2, 3, 4)).amin(1)
    assert apart.max() < 1e-5
    limits = bundled_joint_limits()
    for joint in (name for name in LIMITED if name.endswith(("shoulder", "elbow", "wrist"))):
        row = LIMITED.index(joint)
        turned = Rotation.from_matrix(made[:, SMPL_24.index[joint]].numpy())
        known = Rotation.from_quat(limits.recorded[row].numpy(), scalar_first=True)
        nearest = np.array([(known.inv() * one).magnitude().min() for one in turned])
        assert nearest.max() <= limits.tolerances[row]


def test_both_hands_alike_lie_at_mirrored_places(data):
    body = TouchBody(data)
    touches = draw_touches(body, 2000, torch.Generator().manual_seed(0))
    middles = body.middles[touches.faces]
    is_mirrored = ((middles[:, 0] * torch.tensor([-1.0, 1, 1]) - middles[:, 1]).norm(dim=1) < 0.01).float()
    assert is_mirrored.mean() == pytest.approx(0.4, abs=0.04)
    active = touches.active.float()
    assert touches.active.any(1).all()
    assert active.all(1).float().mean() == pytest.approx(0.65, abs=0.04)
    assert (active[:, 0] - active[:, 1]).mean() == pytest.approx(0, abs=0.04)


def test_the_same_generator_makes_the_same_poses(library, data):
    body, limits = TouchBody(data), bundled_joint_limits()
    first, second = (
        touching_poses(library, body, limits, 16, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert len(first)
    assert torch.equal(first, second)
