"""The measures of the published tables, as pure functions in double precision.

3D points are metres in and errors are metres out; 2D points are pixels. A point of weight 0 is not known and does not
count. An error that is NaN belongs to a prediction that is missing: it is wrong for every share below a threshold,
and makes the mean of its frame NaN, so that whoever averages must say what became of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from humanmesh.geometry.alignment import rigid_between, similarity_between

PCK_3D_THRESHOLD = 0.150
"""Metres (Mehta et al. 2017)."""
AUC_THRESHOLDS: tuple[float, ...] = tuple(millimetres / 1000 for millimetres in range(0, 151, 5))
"""Metres: 31 steps of 5 mm from 0 to 150 mm."""
IGNORED_LABEL = 255
"""Class of pixels that the annotators left open."""
HEAD_SHARE_OF_BOX = 0.6
"""MPII's head size is this share of the diagonal of the head's box (Andriluka et al. 2014)."""


def point_errors(
    predicted: Float[Tensor, "frames points axes"], target: Float[Tensor, "frames points axes"]
) -> Float64[Tensor, "frames points"]:
    """Euclidean distance of each point from where it should be."""
    return (predicted.double() - target.double()).norm(dim=-1)


def about(
    points: Float[Tensor, "frames points 3"], rows: Sequence[int]
) -> Float64[Tensor, "frames points 3"]:
    """The points with the mean of some of them at the origin: one row for a pelvis, two for the middle of the hips."""
    points = points.double()
    return points - points[:, list(rows)].mean(1, keepdim=True)


def aligned(
    predicted: Float[Tensor, "frames points 3"],
    target: Float[Tensor, "frames points 3"],
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, "frames points 3"]:
    """Each frame's prediction under the similarity that brings it nearest to the target (reconstruction error).

    A frame with a value that is not finite comes back as NaN.
    """
    return _moved(similarity_between, predicted, target, weights)


def same_size_and_place(
    predicted: Float[Tensor, "frames points 3"], target: Float[Tensor, "frames points 3"]
) -> Float64[Tensor, "frames points 3"]:
    """Each frame's prediction with the target's mean, and its root mean square distance from it; not turned.

    What a picture cannot tell of a body in its rest pose, as the figure PVE-T-SC leaves it out (Sengupta et al. 2020).
    """
    guess, truth = predicted.double(), target.double()
    guess, middle = guess - guess.mean(1, keepdim=True), truth.mean(1, keepdim=True)
    return guess * (_spread(truth - middle) / _spread(guess)) + middle


def _spread(centred: Float64[Tensor, "frames points 3"]) -> Float64[Tensor, "frames 1 1"]:
    """Root mean square distance from the origin."""
    return centred.square().sum(2).mean(1).sqrt()[:, None, None]


def rigidly_aligned(
    predicted: Float[Tensor, "frames points 3"],
    target: Float[Tensor, "frames points 3"],
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, "frames points 3"]:
    """The same with rotation and translation only: the size stays as it was predicted."""
    return _moved(rigid_between, predicted, target, weights)


def _moved(
    find: Callable[..., object],
    predicted: Float[Tensor, "frames points 3"],
    target: Float[Tensor, "frames points 3"],
    weights: Float[Tensor, "frames points"] | None,
) -> Float64[Tensor, "frames points 3"]:
    source, goal = predicted.double(), target.double()
    weights = torch.ones_like(source[..., 0]) if weights is None else weights.double()
    known = (weights > 0)[..., None]
    source, goal = torch.where(known, source, 0), torch.where(known, goal, 0)  # 0 * NaN is NaN
    is_finite = (source.isfinite() & goal.isfinite()).all((1, 2))
    result = torch.full_like(source, torch.nan)
    if is_finite.any():
        motion = find(source[is_finite], goal[is_finite], weights[is_finite])
        result[is_finite] = motion.apply(predicted.double()[is_finite])  # pyright: ignore[reportAttributeAccessIssue]
    return result


def mean_over_points(
    errors: Float64[Tensor, "frames points"], weights: Float[Tensor, "frames points"] | None = None
) -> Float64[Tensor, "frames"]:
    """Mean error of each frame's known points; NaN where none is known or one is not predicted."""
    if weights is None:
        return errors.mean(1)
    known = weights > 0
    return torch.where(known, errors, 0).sum(1) / known.sum(1)


def share_below(
    errors: Float64[Tensor, "frames points"],
    threshold: float,
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, ""]:
    """Share of all known points whose error is smaller (strictly) than the threshold; NaN where none is known."""
    known = _known(errors, weights)
    return ((errors < threshold) & known).sum().double() / known.sum()


def share_below_by_point(
    errors: Float64[Tensor, "frames points"],
    threshold: float,
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, "points"]:
    """The same for each point of the skeleton; NaN for a point that is known in no frame."""
    known = _known(errors, weights)
    return ((errors < threshold) & known).sum(0).double() / known.sum(0)


def mean_share_below(
    errors: Float64[Tensor, "frames points"],
    threshold: float,
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, ""]:
    """Share below a threshold by point, then its mean over the points that are known in some frame (2D PCK)."""
    return share_below_by_point(errors, threshold, weights).nanmean()


def area_under_curve(
    errors: Float64[Tensor, "frames points"],
    thresholds: Sequence[float] = AUC_THRESHOLDS,
    weights: Float[Tensor, "frames points"] | None = None,
) -> Float64[Tensor, ""]:
    """Mean over the thresholds of the share of known points below each."""
    return torch.stack([share_below(errors, threshold, weights) for threshold in thresholds]).mean()


def _known(
    errors: Float64[Tensor, "frames points"], weights: Float[Tensor, "frames points"] | None
) -> Bool[Tensor, "frames points"]:
    return torch.ones_like(errors, dtype=torch.bool) if weights is None else weights > 0


def box_side(boxes: Float[Tensor, "frames 4"]) -> Float64[Tensor, "frames"]:
    """Longer side of boxes x0, y0, x1, y1."""
    return (boxes[:, 2:].double() - boxes[:, :2].double()).amax(1)


def span(points: Float[Tensor, "frames points axes"], first: int, second: int) -> Float64[Tensor, "frames"]:
    """Distance between two points: left shoulder and right hip for the torso, neck and head top for the head."""
    return (points[:, first].double() - points[:, second].double()).norm(dim=-1)


def head_size(head_boxes: Float[Tensor, "frames 4"]) -> Float64[Tensor, "frames"]:
    """MPII's unit of PCKh, from the box of the head."""
    return HEAD_SHARE_OF_BOX * (head_boxes[:, 2:].double() - head_boxes[:, :2].double()).norm(dim=-1)


def in_units_of(
    errors: Float64[Tensor, "frames points"], sizes: Float64[Tensor, "frames"]
) -> Float64[Tensor, "frames points"]:
    """Errors as fractions of each person's size; NaN where the size is not positive."""
    usable = torch.where(sizes > 0, sizes, torch.nan)
    return errors / usable[:, None]


def acceleration_errors(
    predicted: Float[Tensor, "frames points 3"], target: Float[Tensor, "frames points 3"]
) -> Float64[Tensor, "inner points"]:
    """Distance between second differences over time, for every frame but the first and the last of one sequence.

    Metres per frame squared; no frame rate enters, as in the published tables.
    """
    difference = predicted.double() - target.double()
    return (difference[:-2] - 2 * difference[1:-1] + difference[2:]).norm(dim=-1)


@dataclass(frozen=True)
class Confusion:
    """Pixels counted over a whole set of pictures; counts of several pictures add up."""

    counts: Int64[Tensor, "classes classes"]
    """Pixels by true class (row) and predicted class (column), without those that the annotators left open."""
    ignored: int = 0
    """Pixels left open."""
    ignored_background: int = 0
    """Those of them that are predicted as background, class 0."""

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(
            self.counts + other.counts,
            self.ignored + other.ignored,
            self.ignored_background + other.ignored_background,
        )

    @property
    def accuracy(self) -> float:
        """Share of right pixels. Pixels left open count as background, as in the code behind the published tables."""
        right = int(self.counts.diagonal().sum()) + self.ignored_background
        return _ratio(right, int(self.counts.sum()) + self.ignored)

    @property
    def accuracy_without_ignored(self) -> float:
        """Share of right pixels among those that have a label."""
        return _ratio(int(self.counts.diagonal().sum()), int(self.counts.sum()))

    @property
    def f1_by_class(self) -> Float64[Tensor, "classes"]:
        """2 TP / (2 TP + FP + FN), over labelled pixels; NaN for a class that is neither there nor predicted."""
        both = 2 * self.counts.diagonal().double()
        return both / (self.counts.sum(0) + self.counts.sum(1)).double()

    @property
    def f1(self) -> float:
        """Mean over the classes, background included, that are there or predicted."""
        return float(self.f1_by_class.nanmean())

    @property
    def overlap_by_class(self) -> Float64[Tensor, "classes"]:
        """Intersection over union of each class; NaN for a class that is neither there nor predicted."""
        hit = self.counts.diagonal().double()
        return hit / (self.counts.sum(0) + self.counts.sum(1) - self.counts.diagonal()).double()


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def confusion(
    predicted: Int[Tensor, "*pixels"] | Bool[Tensor, "*pixels"],
    target: Int[Tensor, "*pixels"] | Bool[Tensor, "*pixels"],
    classes: int,
) -> Confusion:
    """Count the pixels of one picture. Class 0 is the background; `IGNORED_LABEL` in the target is left open.

    Raises:
        ValueError: where a class is out of range.
    """
    guess, truth = predicted.flatten().long(), target.flatten().long()
    is_open = truth == IGNORED_LABEL
    for name, labels in (("predicted", guess), ("true", truth[~is_open])):
        if ((labels < 0) | (labels >= classes)).any():
            raise ValueError(f"a {name} label lies outside 0 to {classes - 1}")
    labelled = ~is_open
    flat = torch.bincount(truth[labelled] * classes + guess[labelled], minlength=classes * classes)
    background = int((is_open & (guess == 0)).sum())
    return Confusion(flat.view(classes, classes), int(is_open.sum()), background)


def mean_of_groups(values: Float64[Tensor, "frames"], groups: Sequence[str]) -> dict[str, float]:
    """Mean of each group, in the order in which the groups first appear; frames that are NaN do not count."""
    names = list(dict.fromkeys(groups))
    number = {name: row for row, name in enumerate(names)}
    rows = torch.tensor([number[group] for group in groups], dtype=torch.long)
    known = ~values.isnan()
    total = torch.zeros(len(names), dtype=torch.float64).index_add_(0, rows[known], values[known])
    count = torch.zeros(len(names), dtype=torch.float64).index_add_(
        0, rows[known], torch.ones_like(values[known])
    )
    return dict(zip(names, (total / count).tolist(), strict=True))


@dataclass(frozen=True)
class Interval:
    """Where a figure would fall for other samples of the same kind."""

    low: float
    high: float


def bootstrap_interval(
    sums: Float64[Tensor, "samples columns"],
    statistic: Callable[[Float64[Tensor, "resamples columns"]], Float64[Tensor, "resamples"]],
    generator: torch.Generator,
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap (Efron 1979) of a statistic of sums over samples, which are drawn with replacement.

    Frames of one video are not independent: sum them first and let sequences be the samples.

    Args:
        sums: What each sample adds: an error and a 1, hits and trials of each joint, pixels of each kind.
        statistic: From sums over samples to the figure.
        generator: Where chance comes from.
        resamples: How often to draw.
        level: Share of the draws that lie within the interval.
    """
    count = len(sums)
    if count == 0:
        return Interval(float("nan"), float("nan"))
    totals = []
    for _ in range(resamples):
        drawn = torch.randint(count, (count,), generator=generator)
        totals.append(torch.bincount(drawn, minlength=count).double() @ sums)
    values = statistic(torch.stack(totals))
    tail = (1 - level) / 2
    low, high = torch.nanquantile(values, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(low, high)


def rank_correlation(first: Float[Tensor, "samples"], second: Float[Tensor, "samples"]) -> float:
    """Spearman's: 1 where both put the samples in the same order, -1 in the opposite; ties share their rank."""
    ranks = torch.stack([_ranks(first.double()), _ranks(second.double())])
    centred = ranks - ranks.mean(1, keepdim=True)
    length = centred.norm(dim=1).prod()
    return float((centred[0] @ centred[1]) / length) if length > 0 else float("nan")


def _ranks(values: Float64[Tensor, "samples"]) -> Float64[Tensor, "samples"]:
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[place]
