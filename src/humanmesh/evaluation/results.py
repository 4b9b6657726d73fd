"""Figures from rows: means, shares and their intervals, with the protocol that they belong to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from humanmesh.evaluation import metrics
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.measuring import Rows
from humanmesh.evaluation.plausibility import DEEP, end_spreads
from humanmesh.evaluation.protocols import Protocol, Task
from humanmesh.files.joint_limits import bundled_joint_limits

_SEED = 0
"""Of the bootstrap, so that the same predictions give the same intervals."""


@dataclass(frozen=True)
class Figure:
    """One number of a table."""

    name: str
    value: float
    unit: str
    """"mm", "%" or "" (F1)."""
    interval: metrics.Interval | None = None
    """95 % by bootstrap."""


@dataclass(frozen=True)
class Result:
    """Figures with the protocol that they belong to."""

    protocol: Protocol
    system: str
    figures: tuple[Figure, ...]
    people: int
    """Who were measured."""
    missing: int
    """Of them without a (finite) prediction: wrong in every share, outside every mean."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Records that the reader could not use, by reason."""
    plausibility: tuple[Figure, ...] = ()
    """Whether the bodies could be people (`evaluation.plausibility`); empty for a system that tells points alone."""
    by_action: dict[str, dict[str, float]] = field(default_factory=dict)
    """Figure -> action -> mean."""
    by_joint: dict[str, dict[str, float]] = field(default_factory=dict)
    """Figure -> joint -> mean."""
    rows: Rows = field(default_factory=dict, repr=False, compare=False)
    """What the figures were made from."""
    cases: tuple[Case, ...] = field(default=(), repr=False, compare=False)
    """Who stand in the rows."""

    def value(self, name: str) -> float:
        """A figure by name."""
        figures = (*self.figures, *self.plausibility)
        return next(figure.value for figure in figures if figure.name == name)

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        return {
            "protocol": self.protocol.name,
            "sentence": self.protocol.sentence,
            "system": self.system,
            "people": self.people,
            "missing_predictions": self.missing,
            "left_out": self.left_out,
            "figures": [_figure_json(figure) for figure in self.figures],
            "plausibility": [_figure_json(figure) for figure in self.plausibility],
            "by_action": _rounded_all(self.by_action),
            "by_joint": _rounded_all(self.by_joint),
            "by_quantity": _quantities_json(self),
        }


def _figure_json(figure: Figure) -> dict[str, Any]:
    plain = {"name": figure.name, "value": _rounded(figure.value), "unit": figure.unit}
    return plain if figure.interval is None else plain | {"interval_95": _interval_json(figure.interval)}


def _quantities_json(result: Result) -> dict[str, Any]:
    """What stands in the report's plots, as numbers."""
    error = person_errors(result).label
    return {
        name: [
            {"mean": _rounded(mean), error: _rounded(value), "people": count} for mean, value, count in bins
        ]
        for name, bins in by_quantity(result).items()
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)


def _interval_json(interval: metrics.Interval) -> list[float | None]:
    return [_rounded(interval.low), _rounded(interval.high)]


def _rounded_all(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: {key: _rounded(value) for key, value in row.items()} for name, row in table.items()}


@dataclass(frozen=True)
class _Summary:
    """Figures of one task."""

    figures: list[Figure]
    by_action: dict[str, dict[str, float]] = field(default_factory=dict)
    by_joint: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """All that was measured, ready to be summed up."""

    rows: Rows
    protocol: Protocol
    sequences: Int64[Tensor, "people"]
    """Number of each person's sequence; each person's own where there are none."""
    sequence_names: list[str]
    actions: list[str]
    """Each person's action; empty where the protocol has none."""

    def interval(
        self,
        sums: Float64[Tensor, "people columns"],
        statistic: Callable[[Float64[Tensor, "draws columns"]], Float64[Tensor, "draws"]],
    ) -> metrics.Interval:
        count = int(self.sequences.max()) + 1
        by_sequence = torch.zeros(count, sums.shape[1], dtype=torch.float64)
        by_sequence.index_add_(0, self.sequences, sums)
        return metrics.bootstrap_interval(by_sequence, statistic, torch.Generator().manual_seed(_SEED))

    def mean(self, name: str, values: Float64[Tensor, "people"], unit: str, scale: float) -> Figure:
        """Mean over people with a value."""
        known = ~values.isnan()
        sums = torch.stack([torch.where(known, values, 0), known.double()], 1)
        total = sums.sum(0)
        return Figure(
            name,
            scale * float(total[0] / total[1]),
            unit,
            _scaled(self.interval(sums, _ratio_of_sums), scale),
        )

    def share(self, name: str, hits: Float64[Tensor, "people"], trials: Float64[Tensor, "people"]) -> Figure:
        """Percent of hits among trials, over all people alike."""
        sums = torch.stack([hits, trials], 1)
        total = sums.sum(0)
        return Figure(
            name, 100 * float(total[0] / total[1]), "%", _scaled(self.interval(sums, _ratio_of_sums), 100)
        )


def _ratio_of_sums(sums: Float64[Tensor, "draws 2"]) -> Float64[Tensor, "draws"]:
    return sums[:, 0] / sums[:, 1]


def _scaled(interval: metrics.Interval, factor: float) -> metrics.Interval:
    return metrics.Interval(factor * interval.low, factor * interval.high)


def _sum_keypoints(table: Table) -> _Summary:
    errors, known = table.rows["keypoint_errors"], table.rows["keypoint_known"]
    trials = known.double()
    figures, by_joint = [], {}
    for threshold in table.protocol.thresholds:
        name = f"PCK@{threshold:g}"
        hits = ((errors < threshold) & known).double()
        shares = metrics.share_below_by_point(errors, threshold, trials)
        interval = table.interval(torch.cat([hits, trials], 1), _mean_of_ratios)
        figures.append(Figure(name, 100 * float(shares.nanmean()), "%", _scaled(interval, 100)))
        by_joint[name] = dict(zip(table.protocol.joints, (100 * shares).tolist(), strict=True))
    return _Summary(figures, by_joint=by_joint)


def _mean_of_ratios(sums: Float64[Tensor, "draws columns"]) -> Float64[Tensor, "draws"]:
    hits, trials = sums.chunk(2, 1)
    return (hits / trials).nanmean(1)


_POSE_NAMES = {"joint_errors": "MPJPE", "aligned_joint_errors": "reconstruction error"}


def _sum_pose(table: Table) -> _Summary:
    figures, by_action, by_joint = [], {}, {}
    known = table.rows["joint_known"].double()
    for key, name in _POSE_NAMES.items():
        errors = table.rows[key]
        values = metrics.mean_over_points(errors, known)
        figures += [
            table.mean(name, values, "mm", 1000),
            Figure(f"{name}, median", 1000 * _median(values), "mm"),
        ]
        if any(table.actions):
            means = action_means(values, table)
            by_action[name] = {action: 1000 * value for action, value in means.items()}
            figures.append(
                Figure(f"{name}, mean over actions", 1000 * float(np.mean(list(means.values()))), "mm")
            )
        columns = torch.where(known > 0, errors, torch.nan).nanmean(0)
        by_joint[name] = dict(zip(table.protocol.joints, (1000 * columns).tolist(), strict=True))
    return _Summary(figures, by_action, by_joint)


def _median(values: Float64[Tensor, "people"]) -> float:
    """The middle value, or the mean of the two in the middle, as numpy's."""
    return float(torch.nanquantile(values, 0.5))


def action_means(values: Float64[Tensor, "people"], table: Table) -> dict[str, float]:
    """Mean over frames, then over the sequences of each action, every sequence alike (HMR's second aggregate).

    Where a sequence holds several actions, as in MPI-INF-3DHP, the mean over all frames of each (the official code's).
    """
    actions = table.actions
    if table.protocol.action not in table.protocol.sequence:
        return metrics.mean_of_groups(values, actions)
    names: list[str] = [table.sequence_names[int(number)] for number in table.sequences]
    of_sequence = metrics.mean_of_groups(values, names)
    action_of: dict[str, str] = dict(zip(names, actions, strict=True))
    sequence_values = torch.tensor(list(of_sequence.values()), dtype=torch.float64)
    return metrics.mean_of_groups(sequence_values, [action_of[name] for name in of_sequence])


def _sum_volume(table: Table) -> _Summary:
    figures = []
    joints = table.protocol.joints
    counted = [joints.index(joint) for joint in table.protocol.volume_joints or joints]
    known = table.rows["joint_known"][:, counted]
    trials = known.double().sum(1)
    for key, suffix in (("joint_errors", ""), ("aligned_joint_errors", ", after alignment")):
        errors = table.rows[key][:, counted]
        below = [((errors < threshold) & known).double().sum(1) for threshold in metrics.AUC_THRESHOLDS]
        figures += [
            table.share(
                f"PCK{suffix}", ((errors < metrics.PCK_3D_THRESHOLD) & known).double().sum(1), trials
            ),
            table.share(f"AUC{suffix}", torch.stack(below).mean(0), trials),
        ]
    return _Summary(figures)


def _sum_mesh(table: Table) -> _Summary:
    values = table.rows["vertex_error"]
    median = Figure("PVE, median", 1000 * _median(values), "mm")
    figures = [table.mean("PVE", values, "mm", 1000), median]
    if "rest_vertex_error" in table.rows:
        figures.append(table.mean("PVE-T-SC", table.rows["rest_vertex_error"], "mm", 1000))
    return _Summary(figures)


def _sum_silhouette(table: Table) -> _Summary:
    counts = table.rows["mask_counts"]
    total = _unflat(counts.sum(0), 2)
    return _Summary([
        _of_counts(table, counts, 2, "accuracy"),
        _of_counts(table, counts, 2, "F1"),
        Figure("person IoU", 100 * float(total.overlap_by_class[1]), "%"),
    ])


def _sum_parts(table: Table) -> _Summary:
    counts = table.rows["part_counts"]
    figures = [_of_counts(table, counts, 7, name) for name in ("accuracy", "F1")]
    return _Summary([Figure(f"parts {f.name}", f.value, f.unit, f.interval) for f in figures])


def _unflat(counts: Float64[Tensor, "counts"], classes: int) -> metrics.Confusion:
    whole = counts.round().long()
    return metrics.Confusion(whole[:-2].view(classes, classes), int(whole[-2]), int(whole[-1]))


def _of_counts(table: Table, counts: Float64[Tensor, "people counts"], classes: int, name: str) -> Figure:
    def statistic(sums: Float64[Tensor, "draws counts"]) -> Float64[Tensor, "draws"]:
        each = [_unflat(row, classes) for row in sums]
        return torch.tensor([100 * one.accuracy if name == "accuracy" else one.f1 for one in each]).double()

    value = float(statistic(counts.sum(0, keepdim=True)))
    return Figure(name, value, "%" if name == "accuracy" else "", table.interval(counts, statistic))


def _sum_plausibility(table: Table) -> list[Figure]:
    """Figures of `evaluation.plausibility`, those that the system says enough for."""
    rows = table.rows
    shares = {"left and right swapped": rows["swapped"]}
    if "broken_joints" in rows:
        depth = rows["part_depth"]
        deep = torch.where(depth.isnan(), torch.nan, (depth > DEEP).float())
        broken = rows["broken_joints"].mean(1)
        shares = {"joints beyond their limits": broken, "parts inside each other": deep} | shares
    figures = [
        table.mean(name, values.double(), "%", 100)
        for name, values in shares.items()
        if not values.isnan().all()
    ]
    if "end_turns" in rows:
        spreads = end_spreads(rows["end_turns"], bundled_joint_limits())
        figures += [
            Figure(f"spread of {end} in units of the recordings'", value, "")
            for end, value in spreads.items()
        ]
    return figures


_SUMMARIES: dict[Task, Callable[[Table], _Summary]] = {
    "keypoints": _sum_keypoints,
    "pose": _sum_pose,
    "volume": _sum_volume,
    "mesh": _sum_mesh,
    "silhouette": _sum_silhouette,
    "parts": _sum_parts,
}


def summarise(
    rows: Rows,
    cases: Sequence[Case],
    protocol: Protocol,
    system: str,
    left_out: dict[str, int] | None = None,
) -> Result:
    """Figures from what was measured person by person."""
    table = _table(rows, cases, protocol)
    figures: list[Figure] = []
    by_action: dict[str, dict[str, float]] = {}
    by_joint: dict[str, dict[str, float]] = {}
    for task in protocol.tasks:
        summary = _SUMMARIES[task](table)
        figures += summary.figures
        by_action |= summary.by_action
        by_joint |= summary.by_joint
    return Result(
        protocol, system, tuple(figures), len(cases), int(missing_rows(rows).sum()), left_out or {},
        tuple(_sum_plausibility(table)), by_action, by_joint, rows, tuple(cases),
    )  # fmt: skip


def _table(rows: Rows, cases: Sequence[Case], protocol: Protocol) -> Table:
    if protocol.sequence:
        keys = ["/".join(case.tags.get(tag, "") for tag in protocol.sequence) for case in cases]
    else:
        keys = [str(row) for row in range(len(cases))]
    names = list(dict.fromkeys(keys))
    number = {name: row for row, name in enumerate(names)}
    actions = [case.tags.get(protocol.action, "") for case in cases] if protocol.action else []
    return Table(rows, protocol, torch.tensor([number[key] for key in keys]), names, actions)


_ERRORS_OF_KNOWN = {
    "keypoint_errors": "keypoint_known",
    "joint_errors": "joint_known",
    "aligned_joint_errors": "joint_known",
}


def missing_rows(rows: Rows) -> Bool[Tensor, "people"]:
    """Whether some of a person's known points, or the body to draw, have no finite prediction."""
    missing = torch.zeros(len(rows["score"]), dtype=torch.bool)
    for errors, known in _ERRORS_OF_KNOWN.items():
        if errors in rows:
            missing |= (rows[known] & ~rows[errors].isfinite()).any(1)
    if "is_drawn" in rows:
        missing |= ~rows["is_drawn"]
    if "vertex_error" in rows:
        missing |= ~rows["vertex_error"].isfinite()
    return missing


@dataclass(frozen=True)
class PersonErrors:
    """One error a person, by which people are ranked."""

    name: str
    unit: str
    values: Float64[Tensor, "people"]
    """NaN where there is no prediction."""

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} [{self.unit}]"


def person_errors(result: Result) -> PersonErrors:
    """What the protocol's first task measures, person by person."""
    rows = result.rows
    if "joint_errors" in rows:
        values = metrics.mean_over_points(rows["joint_errors"], rows["joint_known"].double())
        return PersonErrors("MPJPE", "mm", 1000 * values)
    if "keypoint_errors" in rows:
        values = metrics.mean_over_points(rows["keypoint_errors"], rows["keypoint_known"].double())
        return PersonErrors("mean 2D error", "% of the person's size", 100 * values)
    counts = rows["mask_counts"]
    hit, union = counts[:, 3], counts[:, 1:4].sum(1)
    return PersonErrors("1 - IoU of the silhouette", "%", 100 * (1 - hit / union))


QUANTITIES = {
    "distance": "distance from the camera [m]",
    "size": "longer side of the box of the keypoints [pixels]: the nearer, the larger",
    "hidden": "share of joints without annotation",
    "score": "score that the system gives itself",
}
"""Rows by which errors are told apart -> what they say."""


def by_quantity(result: Result) -> dict[str, list[tuple[float, float, int]]]:
    """`by_share` for each of `QUANTITIES` that differs between people."""
    errors = person_errors(result).values
    bins = {name: by_share(errors, result.rows[name]) for name in QUANTITIES}
    return {name: shares for name, shares in bins.items() if len({amount for amount, _, _ in shares}) > 1}


def by_share(
    errors: Float64[Tensor, "people"], quantity: Float[Tensor, "people"], bins: int = 5
) -> list[tuple[float, float, int]]:
    """People sorted by a quantity into bins of equal number: its mean, the mean error, how many."""
    known = ~(errors.isnan() | quantity.isnan())
    order = quantity[known].argsort(stable=True)
    parts = order.tensor_split(min(bins, max(len(order), 1)))
    values, amounts = errors[known], quantity[known].double()
    return [
        (float(amounts[part].mean()), float(values[part].mean()), len(part)) for part in parts if len(part)
    ]
