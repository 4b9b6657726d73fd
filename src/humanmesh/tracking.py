"""Who is who from frame to frame: keypoints seen in each frame get identities, through crossings and short gaps.

Each known person is expected where constant velocity takes them; what is seen is given to the expected people so that
the similarities add up to the most (the Hungarian method).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

LONGEST_GAP = 1.0
"""Seconds that a person may be out of sight and still be the same."""

_SPREAD = 0.12
"""Distance of keypoints, in units of the body's size, at which their similarity has fallen to exp(-1/2)."""
_SPREAD_PER_SECOND = 0.5
"""Added to it for each second that the person was out of sight."""
_LEAST_SIMILARITY = 0.15
"""Less is another person."""
_SAME_SIGHT = 0.7
"""Similarity from which two sights in one frame are one person."""
_VELOCITY_MEMORY = 0.15
"""Seconds over which the velocity is averaged."""


@dataclass(frozen=True)
class Sight:
    """Somebody seen in one frame."""

    keypoints: Float[np.ndarray, "keypoints 2"]
    """Pixels; the same set in all frames."""
    score: float
    """How clearly, in [0, 1]."""


@dataclass(frozen=True)
class _Known:
    """Somebody seen before."""

    identity: int
    keypoints: Float[np.ndarray, "keypoints 2"]
    """Pixels, when last seen."""
    velocity: Float[np.ndarray, "2"] | None
    """Pixels a second, of the whole body; None where it was seen once."""
    time: float
    """Seconds, when last seen."""

    def expected(self, time: float) -> Float[np.ndarray, "keypoints 2"]:
        moved = 0.0 if self.velocity is None else self.velocity * (time - self.time)
        return self.keypoints + moved

    def seen_again(self, time: float, keypoints: Float[np.ndarray, "keypoints 2"]) -> "_Known":
        seconds = time - self.time
        velocity = (keypoints - self.keypoints).mean(0) / seconds
        if self.velocity is not None:
            velocity += np.exp(-seconds / _VELOCITY_MEMORY) * (self.velocity - velocity)
        return _Known(self.identity, keypoints, velocity, time)


class Tracker:
    """Gives identities 1, 2, ... to the people seen, frame by frame."""

    def __init__(self, longest_gap: float = LONGEST_GAP) -> None:
        """Begin with nobody known.

        Args:
            longest_gap: seconds that a person may be out of sight and still be the same.
        """
        self.longest_gap = longest_gap
        self._known: list[_Known] = []
        self._time = -math.inf
        self._next = 1

    def expected(self, time: float) -> dict[int, Float[np.ndarray, "keypoints 2"]]:
        """Where each person who may still be seen should be at `time` (pixels), by identity."""
        return {person.identity: person.expected(time) for person in self._near(time)}

    def update(self, time: float, sights: Sequence[Sight]) -> list[int]:
        """The identity of each sight of one frame; `time` in seconds, later than the last frame's."""
        known = self._near(time)
        away = np.array([min(time - person.time, self.longest_gap) for person in known])
        spreads = _SPREAD + _SPREAD_PER_SECOND * away
        similarities = np.array([
            [similarity(person.expected(time), sight.keypoints, spread) for sight in sights]
            for person, spread in zip(known, spreads, strict=True)
        ]).reshape(len(known), len(sights))
        # Divided by the spread, as a density is: whoever was seen just now goes before whoever was out of sight.
        densities = similarities / spreads[:, None]
        identities = [0] * len(sights)
        for row, column in zip(*linear_sum_assignment(-densities), strict=True):
            if similarities[row, column] >= _LEAST_SIMILARITY:
                identities[column] = known[row].identity
                known[row] = known[row].seen_again(time, sights[column].keypoints)
        for column, sight in enumerate(sights):
            if not identities[column]:
                identities[column] = self._next
                known.append(_Known(self._next, sight.keypoints, None, time))
                self._next += 1
        self._known, self._time = known, time
        return identities

    def _near(self, time: float) -> list[_Known]:
        """Who was seen in the last frame, however long ago that was, or within the longest gap."""
        return [
            person
            for person in self._known
            if person.time == self._time or time - person.time <= self.longest_gap
        ]


def similarity(
    first: Float[np.ndarray, "keypoints 2"], second: Float[np.ndarray, "keypoints 2"], spread: float = _SPREAD
) -> float:
    """In [0, 1]: mean of a Gaussian of the distances of the keypoints, in units of the larger body's size.

    Args:
        first: pixels.
        second: pixels.
        spread: standard deviation in units of the diagonal of the keypoints' box.
    """
    size = max(_diagonal(first), _diagonal(second), 1e-6)
    distances = np.linalg.norm(first - second, axis=1) / (spread * size)
    return float(np.exp(-np.square(distances) / 2).mean())


def _diagonal(keypoints: Float[np.ndarray, "keypoints 2"]) -> float:
    return float(np.linalg.norm(keypoints.max(0) - keypoints.min(0)))


def distinct(sights: Sequence[Sight]) -> list[int]:
    """Rows of the sights that are different people, the clearest of each, in their order."""
    kept: list[int] = []
    for row in sorted(range(len(sights)), key=lambda row: -sights[row].score):
        if all(similarity(sights[row].keypoints, sights[other].keypoints) < _SAME_SIGHT for other in kept):
            kept.append(row)
    return sorted(kept)


def count_switches(frames: Sequence[Mapping[int, int]]) -> int:
    """How often a person's identity differs from the one they had when last seen (the IDSW of MOTA).

    Args:
        frames: for each frame, true person -> identity that the tracker gave.
    """
    last: dict[int, int] = {}
    switches = 0
    for frame in frames:
        switches += sum(last.get(person, identity) != identity for person, identity in frame.items())
        last.update(frame)
    return switches
