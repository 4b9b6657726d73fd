import numpy as np
import torch

from humanmesh.geometry.contacts import lock_feet, spans, standing_feet

RATE = 30
DOWN = torch.tensor([0.0, 1.0, 0.0])


def walk(seconds: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Times, and two feet that stand in turns for half a second while the other swings 0.7 m ahead and 0.2 m up."""
    times = torch.arange(round(seconds * RATE)).double() / RATE
    feet = torch.zeros(len(times), 2, 3)
    for foot in range(2):
        phase = times + 0.5 * foot
        swing = (phase % 1 - 0.5).clamp_min(0) * 2  # 0 to 1 in the second half of each second
        feet[:, foot, 0] = 0.7 * (phase.floor() + swing)
        feet[:, foot, 1] = -0.2 * (swing * torch.pi).sin()
    return times, feet


def test_spans_by_hand():
    assert spans(torch.tensor([True, True, False, True])) == [(0, 2), (3, 4)]
    assert spans(torch.tensor([False, False])) == []


def test_a_foot_stands_while_it_rests_and_not_while_it_swings():
    times, feet = walk()
    standing = standing_feet(times, feet, DOWN)
    resting = ((times[:, None] + torch.tensor([0.0, 0.5])) % 1) < 0.45
    swinging = (((times[:, None] + torch.tensor([0.0, 0.5])) % 1) > 0.6) & (
        ((times[:, None] + torch.tensor([0.0, 0.5])) % 1) < 0.9
    )
    assert standing[3:-3][resting[3:-3]].float().mean() > 0.9
    assert not standing[swinging].any()


def test_a_short_rest_is_no_standing():
    times = torch.arange(30).double() / RATE
    feet = torch.zeros(30, 1, 3)
    feet[:, 0, 0] = 2 * times
    feet[14:16] = feet[14]
    assert not standing_feet(times, feet, DOWN).any()


def test_one_frame_has_nobody_standing():
    assert not standing_feet(torch.zeros(1).double(), torch.zeros(1, 2, 3), DOWN).any()


def test_locked_feet_do_not_slide():
    times, feet = walk()
    drift = torch.stack([0.05 * (2 * times).sin(), 0 * times, 0.15 * (3 * times).sin()], 1)[:, None].float()
    seen = feet + drift
    standing = standing_feet(times, feet, DOWN)
    locked = seen + lock_feet(times, seen, standing)[:, None]
    alone = standing & (standing.sum(1, keepdim=True) == 1)
    for foot in range(2):
        for start, end in spans(alone[:, foot]):
            if end - start > 5:
                assert np.ptp(seen[start:end, foot].numpy(), axis=0).max() > 0.01
                assert np.ptp(locked[start:end, foot].numpy(), axis=0).max() < 1e-5


def test_where_no_foot_stands_nothing_is_shifted():
    times, feet = walk()
    assert not lock_feet(times, feet, torch.zeros(feet.shape[:2], dtype=torch.bool)).any()
