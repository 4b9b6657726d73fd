import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humanmesh.geometry.contacts import reach, resting_places, spans, standing_feet
from humanmesh.geometry.rotations import axis_angle_to_matrix

RATE = 30
DOWN = torch.tensor([0.0, 1.0, 0.0])


def walk(seconds: float = 4.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Times, two feet that stand in turns for half a second while the other swings 0.7 m ahead and 0.2 m up, and the pelvis."""
    times = torch.arange(round(seconds * RATE)).double() / RATE
    feet = torch.zeros(len(times), 2, 3)
    for foot in range(2):
        phase = times + 0.5 * foot
        swing = (phase % 1 - 0.5).clamp_min(0) * 2  # 0 to 1 in the second half of each second
        feet[:, foot, 0] = 0.7 * (phase.floor() + swing)
        feet[:, foot, 1] = -0.2 * (swing * torch.pi).sin()
    root = torch.stack([0.7 * times, 0 * times - 1, 0 * times], 1).float()
    return times, feet, root


def test_spans_by_hand():
    assert spans(torch.tensor([True, True, False, True])) == [(0, 2), (3, 4)]
    assert spans(torch.tensor([False, False])) == []


def test_a_foot_stands_while_it_rests_and_not_while_it_swings():
    times, feet, root = walk()
    standing = standing_feet(times, feet, root, DOWN)
    phase = (times[:, None] + torch.tensor([0.0, 0.5])) % 1
    assert standing[(phase > 0.08) & (phase < 0.42)].float().mean() > 0.9
    assert not standing[(phase > 0.6) & (phase < 0.9)].any()


def test_a_short_rest_is_no_standing():
    times = torch.arange(30).double() / RATE
    feet = torch.zeros(30, 1, 3)
    feet[:, 0, 0] = 2 * times
    feet[14:16] = feet[14]
    assert not standing_feet(times, feet, feet[:, 0], DOWN).any()


def test_when_the_film_began_does_not_matter():
    steps = 0.012 * np.random.default_rng(0).normal(size=(600, 2, 3))
    times, feet = torch.arange(600).double() / RATE, torch.from_numpy(steps.cumsum(0)).float()
    early, late = (
        standing_feet(times + begin, feet, torch.zeros(600, 3), DOWN) for begin in (0.0, 10 * 3600.0)
    )
    assert early.any()
    assert torch.equal(early, late)


def test_one_frame_has_nobody_standing():
    assert not standing_feet(torch.zeros(1).double(), torch.zeros(1, 2, 3), torch.zeros(1, 3), DOWN).any()


def test_standing_feet_rest_where_they_are_on_average_and_others_move_without_jumps():
    times, feet, root = walk()
    drift = torch.stack([0.05 * (2 * times).sin(), 0 * times, 0.15 * (3 * times).sin()], 1)[:, None].float()
    standing = standing_feet(times, feet, root, DOWN)
    places = resting_places(times, feet + drift, standing)
    for foot in range(2):
        for start, end in spans(standing[:, foot]):
            assert np.ptp((feet + drift)[start:end, foot].numpy(), axis=0).max() > 0.01
            np.testing.assert_allclose(
                places[start:end, foot], (feet + drift)[start:end, foot].mean(0).expand(end - start, 3)
            )
    steps = (places - feet - drift).diff(dim=0).norm(dim=-1)
    assert steps.max() < 0.05


def test_where_no_foot_stands_nothing_moves():
    times, feet, _ = walk()
    nowhere = torch.zeros(feet.shape[:2], dtype=torch.bool)
    assert torch.equal(resting_places(times, feet, nowhere), feet)


def made_leg(bend: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Hip, knee and ankle of a leg bent so far (radians), and the shin's turn; thigh 0.4 m, shin 0.35 m."""
    turn = axis_angle_to_matrix(torch.tensor([[bend, 0.0, 0.0]]))
    shin = (turn @ torch.tensor([0.0, -0.35, 0.0])[:, None]).squeeze(-1)
    knee = torch.tensor([[0.1, 0.6, 0.0]])
    return torch.stack([knee + torch.tensor([0.0, 0.4, 0.0]), knee, knee + shin], 1), turn


def ankle_after(leg: torch.Tensor, thigh: torch.Tensor, shin: torch.Tensor) -> torch.Tensor:
    hip, knee, ankle = leg.unbind(1)
    moved_knee = hip + (thigh @ (knee - hip)[..., None]).squeeze(-1)
    return moved_knee + (shin @ (ankle - knee)[..., None]).squeeze(-1)


small = st.floats(-0.15, 0.15)


@given(st.tuples(small, small, small), st.sampled_from([0.0, 1e-4, 0.3, 1.2, 2.0]))
def test_the_ankle_comes_to_every_target_in_reach(offset, bend):
    leg, turn = made_leg(bend)
    target = leg[:, 2] + torch.tensor([offset])
    distance = float((target - leg[:, 0]).norm())
    if 0.1 < distance < 0.74:
        after = ankle_after(leg, *reach(leg, turn, target))
        np.testing.assert_allclose(after, target, atol=2e-3)


def test_a_target_out_of_reach_is_approached_with_a_straight_leg():
    leg, turn = made_leg(0.5)
    after = ankle_after(leg, *reach(leg, turn, torch.tensor([[0.1, -2.0, 0.0]])))
    np.testing.assert_allclose(after, [[0.1, 1.0 - 0.75, 0.0]], atol=2e-3)


def test_a_straight_knee_bends_backwards():
    leg, turn = made_leg(0.0)
    thigh, _ = reach(leg, turn, leg[:, 2] + torch.tensor([[0.0, 0.2, 0.0]]))
    hip, knee, _ = leg.unbind(1)
    assert float((hip + (thigh @ (knee - hip)[..., None]).squeeze(-1))[0, 2]) > 0.1


@pytest.mark.parametrize("bend", [0.0, 0.7])
def test_a_leg_that_is_there_already_stays(bend):
    leg, turn = made_leg(bend)
    thigh, shin = reach(leg, turn, leg[:, 2])
    for turned in (thigh, shin):
        np.testing.assert_allclose(turned[0], torch.eye(3), atol=0.05 if bend == 0 else 1e-3)
