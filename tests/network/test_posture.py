"""Soles that are level where feet carry somebody, and only there."""

import math

import pytest
import torch

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.network.posture import with_level_soles

BODY = KeypointBody(load_body_data("anny"), "cocoplus19")
LEFT, RIGHT = SMPL_24.index["left_ankle"], SMPL_24.index["right_ankle"]
AT_EYE_LEVEL = math.pi + math.radians(7)
"""Turn about the camera's x axis of somebody upright whose head is nearer to the camera than the feet."""


def body(*, pelvis: float = AT_EYE_LEVEL, hips: float, knees: tuple[float, float]) -> torch.Tensor:
    """(1, 24, 3, 3): legs bent by these angles in radians, with feet at right angles to the shins and the left one turned inward."""
    pose = torch.zeros(24, 3)
    pose[0, 0] = pelvis
    for side, knee in zip(("left", "right"), knees, strict=True):
        pose[SMPL_24.index[f"{side}_hip"], 0] = -hips
        pose[SMPL_24.index[f"{side}_knee"], 0] = knee
    pose[LEFT, 2] = 0.2
    return axis_angle_to_matrix(pose)[None]


def slants(rotations: torch.Tensor) -> torch.Tensor:
    """(2,) degrees between the soles of the left and the right foot and level ground."""
    world, _ = BODY.tree(rotations, BODY.rest_joints(torch.zeros(1, 10)))
    up = torch.tensor([0.0, -math.cos(math.radians(7)), -math.sin(math.radians(7))])
    return torch.rad2deg(torch.acos((world[0, [LEFT, RIGHT], :, 1] @ up).clamp(-1, 1)))


def levelled(rotations: torch.Tensor) -> torch.Tensor:
    return with_level_soles(BODY, rotations, torch.zeros(1, 10))


@pytest.mark.parametrize(("trunk", "hips", "knees"), [(0.0, 0.6, 1.0), (1.0, 1.2, 0.0), (0.3, 1.1, 1.3)])
def test_feet_of_somebody_who_squats_or_bends_over_stand_on_their_soles(trunk, hips, knees):
    crouching = body(pelvis=AT_EYE_LEVEL + trunk, hips=hips, knees=(knees, knees))
    before, found = slants(crouching), levelled(crouching)
    assert (before > 10).all()
    assert (slants(found) < 0.7 * before).all()
    others = [row for row in range(24) if row not in (LEFT, RIGHT)]
    assert torch.equal(found[:, others], crouching[:, others])


def test_a_foot_keeps_its_direction_when_its_sole_is_levelled():
    crouching = body(pelvis=AT_EYE_LEVEL, hips=0.6, knees=(1.0, 1.0))
    world, _ = BODY.tree(levelled(crouching), BODY.rest_joints(torch.zeros(1, 10)))
    assert world[0, RIGHT, 0, 2].abs() < 1e-4
    assert world[0, RIGHT, 2, 2] < -0.8  # toward the camera


@pytest.mark.parametrize("pointed", [0.8, 1.0, 1.2])
def test_toes_that_point_down_or_past_it_do_not_turn_backward(pointed: float):
    pose = torch.zeros(24, 3)
    pose[0, 0] = AT_EYE_LEVEL
    for side in ("left", "right"):
        pose[SMPL_24.index[f"{side}_hip"], 0], pose[SMPL_24.index[f"{side}_knee"], 0] = -0.3, 1.0
        pose[SMPL_24.index[f"{side}_ankle"], 0] = pointed
    tiptoe = axis_angle_to_matrix(pose)[None]
    found = levelled(tiptoe)
    world, _ = BODY.tree(found, BODY.rest_joints(torch.zeros(1, 10)))
    assert (slants(found) < slants(tiptoe)).all()
    assert (world[0, [LEFT, RIGHT], 2, 2] < 0).all()  # toes stay toward the camera


def test_a_lifted_foot_and_feet_of_people_who_lie_sit_on_the_floor_or_stand_on_their_hands_stay():
    stepping = body(hips=0.0, knees=(0.0, 1.5))
    assert slants(stepping)[1] == pytest.approx(float(slants(levelled(stepping))[1]), abs=2)
    for other in (
        body(pelvis=AT_EYE_LEVEL + math.pi / 2, hips=0.0, knees=(0.0, 0.0)),
        body(pelvis=AT_EYE_LEVEL + math.pi, hips=0.2, knees=(0.4, 0.4)),
        body(hips=2.2, knees=(2.4, 2.4)),
    ):
        torch.testing.assert_close(slants(levelled(other)), slants(other), atol=1.0, rtol=0)
