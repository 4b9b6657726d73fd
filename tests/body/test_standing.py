import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.standing import pitch_from_standing, stance_of

MADE = {
    "left_shoulder": (0.2, -0.7, 0), "right_shoulder": (-0.2, -0.7, 0),
    "left_ankle": (0.1, 0.7, 0), "right_ankle": (-0.1, 0.7, 0),
}  # fmt: skip


def joints_of(*, pitch: float = 0.0, roll: float = 0.0, height: float = 1.0) -> torch.Tensor:
    """Somebody upright, as a camera sees them that looks down and is rolled (degrees); height 0.5 squats."""
    joints = torch.zeros(24, 3)
    for name, place in MADE.items():
        joints[SMPL_24.index[name]] = height * torch.tensor(place)
    # The world turns against the camera: about its x axis what is above comes nearer when it looks down.
    seen = Rotation.from_euler("XZ", [pitch, roll], degrees=True).as_matrix()
    return joints @ torch.tensor(seen, dtype=torch.float32).T + torch.tensor([0.3, 0.1, 5.0])


def degrees(people: list[torch.Tensor], *trust: float) -> float | None:
    pitch = pitch_from_standing(torch.stack(people), torch.tensor(trust) if trust else None)
    return None if pitch is None else math.degrees(pitch)


@pytest.mark.parametrize("pitch", [-20.0, 0.0, 8.0, 44.0])
def test_somebody_upright_tells_how_far_the_camera_looks_down(pitch):
    assert degrees([joints_of(pitch=pitch)]) == pytest.approx(pitch, abs=1e-4)


def test_a_camera_that_looks_down_sees_the_shoulders_nearer_than_the_ankles():
    joints = joints_of(pitch=10)
    assert joints[SMPL_24.index["left_shoulder"], 2] < joints[SMPL_24.index["left_ankle"], 2]
    assert stance_of(joints[None]).lean > 0


def test_of_several_the_median_counts_and_each_by_its_trust():
    people = [joints_of(pitch=pitch) for pitch in (5, 8, 20)]
    assert degrees(people) == pytest.approx(8, abs=1e-4)
    assert degrees(people, 0.1, 0.1, 0.9) == pytest.approx(20, abs=1e-4)
    assert degrees(people, 1.0, 0.0, 0.0) == pytest.approx(5, abs=1e-4)


def test_who_squats_lies_or_leans_far_is_not_asked():
    others = [joints_of(height=0.5), joints_of(roll=90), joints_of(pitch=60)]
    assert degrees(others) is None
    assert degrees([*others, joints_of(pitch=6)]) == pytest.approx(6, abs=1e-4)
    assert degrees([joints_of(pitch=6)], 0.0) is None
    assert degrees([joints_of(pitch=46)]) is None


def test_what_is_said_of_upright_people_falls_to_a_quarter_at_thirty_degrees():
    stance = stance_of(torch.stack([joints_of(), joints_of(pitch=30), joints_of(roll=30)]))
    torch.testing.assert_close(stance.uprightness(), torch.tensor([1.0, 0.25, 0.25]))
    torch.testing.assert_close(stance.uprightness(math.radians(30))[1], torch.tensor(1.0))
