"""Feet that stand: when they do, where they should stay, and how to bend the legs so that they do."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from humanmesh.geometry.rotations import axis_angle_to_matrix, shortest_turn
from humanmesh.geometry.smoothing import interpolate_vectors, local_fit, smooth_vectors

STANDING_SPEED = 0.35
"""Metres a second: a slower foot may be standing."""
STANDING_SHARE = 0.6
"""The same as a share of the body's own speed: the feet of recovered walkers slide, as their steps come out short."""
STANDING_HEIGHT = 0.10
"""Metres above the lower foot: a higher one is not standing."""
SHORTEST_CONTACT = 0.1
"""Seconds: what is shorter is no standing."""

_TREMOR = 0.08
"""Seconds over which points are averaged before their speed is taken."""
_STRAIGHT = 1e-3
"""Sine of the bend of a knee below which its axis is taken from the shin."""
_STRETCH = 0.999
"""Share of a leg's whole length to which it may be stretched."""


def standing_feet(
    times: Float[Tensor, "frames"],
    feet: Float[Tensor, "frames feet 3"],
    root: Float[Tensor, "frames 3"],
    down: Float[Tensor, "3"],
) -> Bool[Tensor, "frames feet"]:
    """Which feet stand on the ground: slow, low, and both for a while.

    Args:
        times: seconds, increasing.
        feet: metres, in a frame in which the ground does not move.
        root: the pelvis, in the same frame.
        down: unit vector.
    """
    if len(times) < 2:
        return torch.zeros(feet.shape[:2], dtype=torch.bool)
    slow = (STANDING_SHARE * _speed(times, root[:, None])).clamp_min(STANDING_SPEED)
    depth = feet @ down
    is_low = depth > depth.amax(1, keepdim=True) - STANDING_HEIGHT
    standing = (_speed(times, feet) < slow) & is_low
    for foot in range(feet.shape[1]):
        for start, end in spans(standing[:, foot]):
            if times[end - 1] - times[start] < SHORTEST_CONTACT:
                standing[start:end, foot] = False
    return standing


def _speed(
    times: Float[Tensor, "frames"], points: Float[Tensor, "frames points 3"]
) -> Float[Tensor, "frames points"]:
    """Metres a second, of the points without their tremor."""
    # In float32 the distance of two frames would be rounded away in a long film.
    times, points = times.double(), points.double()
    calm = smooth_vectors(points.flatten(1), local_fit(times, torch.ones_like(times), _TREMOR, degree=1))
    return torch.gradient(calm, spacing=(times,), dim=0)[0].unflatten(1, (-1, 3)).norm(dim=-1)


def spans(flags: Bool[Tensor, "frames"]) -> list[tuple[int, int]]:
    """First frame and the frame after the last of each unbroken run of True."""
    edges = torch.diff(flags.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero()[:, 0].tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def resting_places(
    times: Float[Tensor, "frames"],
    feet: Float[Tensor, "frames feet 3"],
    standing: Bool[Tensor, "frames feet"],
) -> Float[Tensor, "frames feet 3"]:
    """Where the feet should be (metres): while one stands, where it is on average then.

    In between, the shifts before and after blend; a foot that never stands is left where it is.
    """
    places = feet.clone()
    for foot in range(feet.shape[1]):
        known = standing[:, foot]
        for start, end in spans(known):
            places[start:end, foot] = feet[start:end, foot].mean(0)
        if known.any():
            shifts = (places - feet)[known, foot]
            places[:, foot] = feet[:, foot] + interpolate_vectors(times[known], shifts, times)
    return places


def reach(
    leg: Float[Tensor, "frames 3 3"],
    shin_turn: Float[Tensor, "frames 3 3"],
    target: Float[Tensor, "frames 3"],
) -> tuple[Float[Tensor, "frames 3 3"], Float[Tensor, "frames 3 3"]]:
    """Turns of the thigh and of the shin, in the frame of the points, that bring the ankle to the target.

    The knee bends as far as the distance from hip to target asks for, in the plane in which it is bent already; then
    the whole leg turns the shortest way. A target out of reach is approached with an almost straight leg.

    Args:
        leg: hip, knee and ankle; metres.
        shin_turn: of the shin away from its rest pose, in which the knee bends about +x.
        target: metres.
    """
    hip, knee, ankle = leg.unbind(1)
    thigh, shin = hip - knee, ankle - knee
    lengths = thigh.norm(dim=-1), shin.norm(dim=-1)
    whole = lengths[0] + lengths[1]
    distance = (target - hip).norm(dim=-1).clamp(max=_STRETCH * whole)
    distance = torch.maximum(distance, (lengths[0] - lengths[1]).abs() + (1 - _STRETCH) * whole)
    cosine = (lengths[0].square() + lengths[1].square() - distance.square()) / (2 * lengths[0] * lengths[1])
    wanted = cosine.clamp(-1, 1).acos()
    cross = torch.linalg.cross(thigh, shin)
    present = torch.atan2(cross.norm(dim=-1), (thigh * shin).sum(-1))
    is_straight = cross.norm(dim=-1, keepdim=True) < _STRAIGHT * (lengths[0] * lengths[1])[:, None]
    axis = torch.where(is_straight, -shin_turn[:, :, 0], F.normalize(cross, dim=-1))
    bend = axis_angle_to_matrix((wanted - present)[:, None] * axis)
    bent_ankle = knee + (bend @ shin[..., None]).squeeze(-1)
    swing = shortest_turn(bent_ankle - hip, target - hip)
    return swing, swing @ bend
