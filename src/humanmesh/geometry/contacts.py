"""Feet that stand: when they do, and how to shift the body so that they stay where they stand."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.geometry.smoothing import interpolate_vectors

STANDING_SPEED = 0.35
"""Metres a second: a slower foot may be standing."""
STANDING_HEIGHT = 0.10
"""Metres above the lower foot: a higher one is not standing."""
SHORTEST_CONTACT = 0.1
"""Seconds: what is shorter is no standing."""


def standing_feet(
    times: Float[Tensor, "frames"], feet: Float[Tensor, "frames feet 3"], down: Float[Tensor, "3"]
) -> Bool[Tensor, "frames feet"]:
    """Which feet stand on the ground: slow, low, and both for a while.

    Args:
        times: seconds, increasing.
        feet: metres, in a frame in which the ground does not move.
        down: unit vector.
    """
    if len(times) < 2:
        return torch.zeros(feet.shape[:2], dtype=torch.bool)
    speed = torch.gradient(feet, spacing=(times.to(feet),), dim=0)[0].norm(dim=-1)
    depth = feet @ down
    is_low = depth > depth.amax(1, keepdim=True) - STANDING_HEIGHT
    standing = (speed < STANDING_SPEED) & is_low
    for foot in range(feet.shape[1]):
        for start, end in spans(standing[:, foot]):
            if times[end - 1] - times[start] < SHORTEST_CONTACT:
                standing[start:end, foot] = False
    return standing


def spans(flags: Bool[Tensor, "frames"]) -> list[tuple[int, int]]:
    """First frame and the frame after the last of each unbroken run of True."""
    edges = torch.diff(flags.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero()[:, 0].tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def lock_feet(
    times: Float[Tensor, "frames"],
    feet: Float[Tensor, "frames feet 3"],
    standing: Bool[Tensor, "frames feet"],
) -> Float[Tensor, "frames 3"]:
    """Shifts of the whole body (metres) that keep standing feet where they are on average while they stand.

    Where several feet stand, their shifts are averaged; where none does, the shifts before and after blend.
    """
    wanted = torch.zeros_like(feet)
    for foot in range(feet.shape[1]):
        for start, end in spans(standing[:, foot]):
            track = feet[start:end, foot]
            wanted[start:end, foot] = track.mean(0) - track
    count = standing.sum(1, keepdim=True)
    known = count[:, 0] > 0
    if not known.any():
        return torch.zeros_like(feet[:, 0])
    mean = wanted.sum(1) / count.clamp_min(1)
    return interpolate_vectors(times[known], mean[known], times)
