"""What bodies do: how likely a pose is, which way elbows and knees bend, and that limbs do not pass through each other.

Energies are twice a negative logarithm of a likelihood, so that a term of one standard deviation is 1.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24


@dataclass(frozen=True)
class PosePrior:
    """Gaussian mixture over the axis-angle of joints 1 to 23 (69 numbers, radians), in min-max form.

    The sum over components is replaced by its largest term (Olson and Agarwal 2013, as in SMPLify, eq. 5):
    -log max_j c w_j N(pose; mean_j, covariance_j), with c such that the least possible energy is 0.
    """

    means: Float[Tensor, "components 69"]
    """Radians."""
    factors: Float[Tensor, "components 69 69"]
    """Lower triangular: the inverse of a covariance is factor factor^T."""
    weights: Float[Tensor, "components"]
    """Shares; they sum to 1."""

    def to(self, like: Tensor) -> "PosePrior":
        """The same prior in the type and on the device of a tensor."""
        return PosePrior(self.means.to(like), self.factors.to(like), self.weights.to(like))

    @cached_property
    def offsets(self) -> Float[Tensor, "components"]:
        """Energy of each component at its mean; 0 for the lowest."""
        log_density = self.weights.log() + self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        return 2 * (log_density.max() - log_density)

    def nearest(
        self, pose: Float[Tensor, "batch 69"]
    ) -> tuple[Int64[Tensor, "batch"], Float[Tensor, "batch 69"], Float[Tensor, "batch"]]:
        """The component with the least energy, the residual to it in standard deviations, and that energy."""
        differences = pose[:, None] - self.means
        residuals = (differences.transpose(0, 1) @ self.factors).transpose(0, 1)
        energy, component = (residuals.square().sum(2) + self.offsets).min(1)
        return component, residuals[torch.arange(len(pose)), component], energy

    def energy(self, pose: Float[Tensor, "batch 69"]) -> Float[Tensor, "batch"]:
        """Twice the negative logarithm of the largest term of the mixture; 0 at the likeliest pose."""
        return self.nearest(pose)[2]


@dataclass(frozen=True)
class HingePrior:
    """Elbows and knees bend one way: the angle about the hinge must not go below a limit."""

    columns: Int64[Tensor, "hinges"]
    """Of the 69 pose numbers."""
    signs: Float[Tensor, "hinges"]
    """1 where bending is a positive angle."""

    def violations(self, pose: Float[Tensor, "batch 69"]) -> Float[Tensor, "batch hinges"]:
        """Radians by which each hinge is bent the wrong way; 0 where it is not."""
        return (-self.signs * pose[:, self.columns]).clamp_min(0)


_HINGES = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}
"""Axis about which each hinge bends, and in which sense: knees about x, elbows about y."""


def hinge_prior() -> HingePrior:
    """The hinges of SMPL's skeleton, whose rest pose is a T."""
    columns = [3 * (SMPL_24.index[joint] - 1) + axis for joint, (axis, _) in _HINGES.items()]
    return HingePrior(torch.tensor(columns), torch.tensor([float(sign) for _, sign in _HINGES.values()]))


_CAPSULES: tuple[tuple[str, str], ...] = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("left_wrist", "left_hand"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("right_wrist", "right_hand"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("pelvis", "spine2"), ("spine3", "neck"), ("neck", "head"),
)  # fmt: skip
"""First and second end; a capsule covers what follows its first end (pelvis and spine3: the next joint, too)."""
_COVERED = {"pelvis": ("pelvis", "spine1"), "spine3": ("spine2", "spine3"), "neck": ("neck", "head")}
_RADIUS_QUANTILE = 0.5
"""Share of a part's vertices that lie inside its capsule: capsules of half the flesh touch late, and never by themselves."""


def _pairs() -> list[tuple[int, int]]:
    """Capsules that can meet: of two limbs, or of a limb beyond its first segment and the trunk."""
    names = [start for start, _ in _CAPSULES]
    near_trunk = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    trunk = ("pelvis", "spine3", "neck")

    def limb(name: str) -> str:
        side, _, joint = name.partition("_")
        return side + ("_leg" if joint in {"hip", "knee"} else "_arm")

    found = []
    for first, one in enumerate(names):
        for second, other in enumerate(names[:first]):
            if one in trunk and other in trunk:
                continue
            if one in trunk or other in trunk:
                meets = not {one, other} & set(near_trunk)
            else:
                meets = limb(one) != limb(other) and {one, other} != {"left_hip", "right_hip"}
            if meets:
                found.append((first, second))
    return found


@dataclass(frozen=True)
class Capsules:
    """Thick line segments in place of the parts of a body, for telling whether one passes through another."""

    starts: Int64[Tensor, "capsules"]
    """Rows of SMPL's joints."""
    ends: Int64[Tensor, "capsules"]
    radii: Float[Tensor, "capsules"]
    """Metres, of the mean shape."""
    first: Int64[Tensor, "pairs"]
    """Capsules that must not meet ..."""
    second: Int64[Tensor, "pairs"]
    """... these."""


def fit_capsules(data: BodyModelData) -> Capsules:
    """Capsules along the bones of a body, as thick as the middle half of the flesh round them."""
    joints = data.joint_regressor @ data.template
    part = data.skinning_weights.argmax(1)
    starts = torch.tensor([SMPL_24.index[start] for start, _ in _CAPSULES])
    ends = torch.tensor([SMPL_24.index[end] for _, end in _CAPSULES])
    radii = []
    for start, end in _CAPSULES:
        rows = torch.tensor([SMPL_24.index[name] for name in _COVERED.get(start, (start,))])
        points = data.template[torch.isin(part, rows.to(part))]
        distances = _distance_to_segment(points, joints[SMPL_24.index[start]], joints[SMPL_24.index[end]])
        radii.append(distances.quantile(_RADIUS_QUANTILE) if len(points) else distances.new_tensor(0.0))
    pairs = torch.tensor(_pairs())
    return Capsules(starts, ends, torch.stack(radii), pairs[:, 0], pairs[:, 1])


def _distance_to_segment(
    points: Float[Tensor, "points 3"], start: Float[Tensor, "3"], end: Float[Tensor, "3"]
) -> Float[Tensor, "points"]:
    axis = end - start
    share = ((points - start) @ axis / axis.square().sum()).clamp(0, 1)
    return (points - start - share[:, None] * axis).norm(dim=1)
