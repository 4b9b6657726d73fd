"""Rotations and vectors over time, at uneven times: smoothing without lag for films, with little lag for live views.

Without lag: at each moment a polynomial is fitted to the samples around it, weighted by a Gaussian of their distance
in time (Savitzky and Golay 1964; Cleveland 1979); rotations are fitted in the tangent space of the estimate, again
about the new estimate. Live: the One-Euro filter (Casiez, Roussel and Vogel 2012).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_REACH = 3.0
"""Bandwidths on each side beyond which a sample does not count."""
_ROUNDS = 2
"""Fits of a rotation, each in the tangent space of the last."""
_CHUNK = 256
"""Moments that are fitted at once, which bounds the memory."""


@dataclass(frozen=True)
class LocalFit:
    """A local polynomial fit at the time of each sample, as a linear map of the samples near it."""

    rows: Int[Tensor, "samples near"]
    """Samples that count at each moment; some row with coefficient 0 where there are fewer."""
    coefficients: Float[Tensor, "samples near"]
    """The fitted value is the sum of coefficient times sample; they sum to 1."""


def local_fit(
    times: Float[Tensor, "samples"],
    weights: Float[Tensor, "samples"],
    bandwidth: float,
    degree: int = 2,
) -> LocalFit:
    """The fit of polynomials of a degree to weighted samples.

    Args:
        times: seconds, increasing.
        weights: positive trust in each sample.
        bandwidth: standard deviation of the Gaussian over time, seconds; positive.
        degree: of the polynomial: 2 keeps the height of peaks, 1 is calmer.
    """
    times, weights = times.double().contiguous(), weights.double()
    low = torch.searchsorted(times, times - _REACH * bandwidth)
    high = torch.searchsorted(times, times + _REACH * bandwidth, right=True)
    rows = low[:, None] + torch.arange(int((high - low).max()), device=times.device)
    is_near = rows < high[:, None]
    rows = rows.clamp_max(len(times) - 1)
    distance = (times[rows] - times[:, None]) / bandwidth
    root = (weights[rows] * (-distance.square() / 2).exp() * is_near).sqrt()
    powers = torch.stack([distance**power for power in range(degree + 1)], -1)
    constant = torch.linalg.pinv(root[..., None] * powers)[:, 0]
    return LocalFit(rows, constant * root)


def smooth_vectors(values: Float[Tensor, "samples axes"], fit: LocalFit) -> Float[Tensor, "samples axes"]:
    """The fitted vector at the time of each sample."""
    return torch.einsum("sn,sna->sa", fit.coefficients.to(values), values[fit.rows])


def smooth_rotations(
    rotations: Float[Tensor, "samples joints 3 3"], fit: LocalFit
) -> Float[Tensor, "samples joints 3 3"]:
    """The fitted rotation of each joint at the time of each sample."""
    parts = []
    for start in range(0, len(rotations), _CHUNK):
        rows = fit.rows[start : start + _CHUNK]
        coefficients = fit.coefficients[start : start + _CHUNK].to(rotations)
        estimate, near = rotations[start : start + _CHUNK], rotations[rows]
        for _ in range(_ROUNDS):
            offsets = matrix_to_axis_angle(estimate[:, None].transpose(-1, -2) @ near)
            step = torch.einsum("sn,snja->sja", coefficients, offsets)
            estimate = estimate @ axis_angle_to_matrix(step)
        parts.append(estimate)
    return torch.cat(parts)


def interpolate_vectors(
    times: Float[Tensor, "samples"], values: Float[Tensor, "samples axes"], moments: Float[Tensor, "moments"]
) -> Float[Tensor, "moments axes"]:
    """Vectors on the straight line between neighbours in time; the first or the last sample outside their range."""
    before, share = _neighbours(times, moments)
    after = (before + 1).clamp_max(len(times) - 1)
    return values[before].lerp(values[after], share[:, None].to(values))


def interpolate_rotations(
    times: Float[Tensor, "samples"],
    rotations: Float[Tensor, "samples joints 3 3"],
    moments: Float[Tensor, "moments"],
) -> Float[Tensor, "moments joints 3 3"]:
    """Rotations on the shortest turn between neighbours in time; the first or the last sample outside their range."""
    before, share = _neighbours(times, moments)
    after = (before + 1).clamp_max(len(times) - 1)
    turn = matrix_to_axis_angle(rotations[before].transpose(-1, -2) @ rotations[after])
    return rotations[before] @ axis_angle_to_matrix(share[:, None, None].to(turn) * turn)


def _neighbours(
    times: Float[Tensor, "samples"], moments: Float[Tensor, "moments"]
) -> tuple[Int[Tensor, "moments"], Float[Tensor, "moments"]]:
    """The sample before each moment, and the share of the way from it to the next."""
    after = torch.searchsorted(times.contiguous(), moments.contiguous(), right=True)
    before = (after - 1).clamp_min(0)
    after = after.clamp_max(len(times) - 1)
    span = times[after] - times[before]
    share = (moments - times[before]) / torch.where(span > 0, span, 1)
    return before, share.clamp(0, 1)


def weighted_median(
    values: Float[Tensor, "samples axes"], weights: Float[Tensor, "samples"]
) -> Float[Tensor, "axes"]:
    """In each axis the smallest sample up to which lies half of the weight."""
    ordered, order = values.sort(dim=0)
    reached = weights[order].cumsum(0) >= weights.sum() / 2 * (1 - 1e-6)
    return ordered.gather(0, reached.int().argmax(0, keepdim=True))[0]


@dataclass(frozen=True)
class OneEuro:
    """Constants of the One-Euro filter: the cutoff is `minimum_cutoff + speed_gain * speed`."""

    minimum_cutoff: float = 1.0
    """Hz, for what stands still: lower is calmer."""
    speed_gain: float = 1.0
    """Hz per unit of speed: higher lags less behind what moves."""
    speed_cutoff: float = 1.0
    """Hz, of the speed's own low-pass filter."""

    def __post_init__(self) -> None:
        if min(self.minimum_cutoff, self.speed_cutoff) <= 0 or self.speed_gain < 0:
            raise ValueError(f"cutoffs must be positive and the gain not negative, got {self}")

    def share(self, speed: Float[Tensor, "*axes"], seconds: float) -> Float[Tensor, "*axes"]:
        """How much of the way to a new sample the filter goes."""
        return _share(self.minimum_cutoff + self.speed_gain * speed, seconds)


def _share(cutoff: Float[Tensor, "*axes"] | float, seconds: float) -> Float[Tensor, "*axes"]:
    """Of an exponential filter with that cutoff (Hz) after so many seconds."""
    return 1 / (1 + 1 / (2 * math.pi * torch.as_tensor(cutoff) * seconds))


class VectorFilter:
    """One-Euro filter of vectors, each axis by its own speed."""

    def __init__(self, constants: OneEuro) -> None:
        self.constants = constants
        self.time = -math.inf
        self.value: Tensor | None = None
        self.speed: Tensor | None = None

    def __call__(self, time: float, value: Float[Tensor, "axes"]) -> Float[Tensor, "axes"]:
        """The filtered vector after one more sample; `time` in seconds, later than the last."""
        if self.value is None or self.speed is None:
            self.time, self.value, self.speed = time, value, torch.zeros_like(value)
            return value
        seconds, self.time = time - self.time, time
        speed = (value - self.value) / seconds
        self.speed = self.speed.lerp(speed, float(_share(self.constants.speed_cutoff, seconds)))
        self.value = self.value.lerp(value, self.constants.share(self.speed.abs(), seconds))
        return self.value


class RotationFilter:
    """One-Euro filter of rotations, along the shortest turn; each joint by its own angular speed (radians a second)."""

    def __init__(self, constants: OneEuro) -> None:
        self.constants = constants
        self.time = -math.inf
        self.value: Tensor | None = None
        self.speed: Tensor | None = None

    def __call__(self, time: float, value: Float[Tensor, "joints 3 3"]) -> Float[Tensor, "joints 3 3"]:
        """The filtered rotations after one more sample; `time` in seconds, later than the last."""
        if self.value is None or self.speed is None:
            self.time, self.value, self.speed = time, value, torch.zeros_like(value[..., 0])
            return value
        seconds, self.time = time - self.time, time
        turn = matrix_to_axis_angle(self.value.transpose(-1, -2) @ value)
        self.speed = self.speed.lerp(turn / seconds, float(_share(self.constants.speed_cutoff, seconds)))
        share = self.constants.share(self.speed.norm(dim=-1, keepdim=True), seconds)
        self.value = self.value @ axis_angle_to_matrix(share * turn)
        return self.value
