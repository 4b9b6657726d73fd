"""One table of unlike methods on the same people: what each is given, how far off it is, how long it takes.

A `Method` is a name, what it is given beside the body, and a function from people to a prediction; a `Contest` is a set of
people with a protocol and what is known of them. A method enters a contest only where all that it needs is known.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import BodyModel, KeypointBody
from humanmesh.body.skeletons import SIX_PART_OF_SMPL_JOINT
from humanmesh.data.readers import ReadReport
from humanmesh.data.synthetic_scene import CropCamera
from humanmesh.errors import BadInputError
from humanmesh.evaluation.benchmark import evaluate, some_of
from humanmesh.evaluation.cases import Case, is_selected
from humanmesh.evaluation.data_sets import load_cases, read_synthetic_part, synthetic_cases
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.predictors import Prediction, Predictor
from humanmesh.evaluation.protocols import Protocol, Task, protocol_by_name
from humanmesh.evaluation.results import Figure, Result
from humanmesh.evaluation.tables import figure_text
from humanmesh.fitting.surface_points import SURFACE_91, with_surface_points

Given = Literal["photo", "2D joints", "mask", "91 points"]
"""The photo's crop; the true (or annotated) 2D joints; the true silhouette; the true 2D surface points."""

BODY_TASKS: tuple[Task, ...] = ("pose", "mesh", "keypoints", "silhouette", "parts")
"""What a method that predicts a body can be measured by."""
JOINT_TASKS: tuple[Task, ...] = ("pose",)
"""What a method that predicts 3D joints alone can be measured by."""

_COLUMNS = (
    "MPJPE", "reconstruction error", "PVE", "PCK@0.05", "accuracy", "F1", "parts accuracy", "parts F1",
)  # fmt: skip
"""Figures of the table, those that some method has."""


@dataclass(frozen=True)
class Method(Predictor):
    """One way from what is given to a body."""

    name: str
    given: tuple[Given, ...]
    """What it takes."""
    run: Callable[[Sequence[Case], Protocol], Prediction]
    tasks: tuple[Task, ...] = BODY_TASKS
    """What its predictions can be measured by."""

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> Prediction:
        """Its prediction of some people."""
        return self.run(cases, protocol)


@dataclass(frozen=True)
class Contest:
    """People on whom methods are compared."""

    protocol: Protocol
    cases: tuple[Case, ...]
    bodies: TruthBodies
    given: tuple[Given, ...]
    """What is known of them all."""


@dataclass(frozen=True)
class Entry:
    """How one method did."""

    method: Method
    result: Result
    seconds: float
    """Per person, for the method alone: without reading photos from disk (but with cropping them) and without measuring."""

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        return {**self.result.as_json(), "given": list(self.method.given), "seconds": round(self.seconds, 5)}


@dataclass(frozen=True)
class Comparison:
    """All methods in one contest."""

    contest: Contest
    entries: tuple[Entry, ...]
    absent: tuple[tuple[str, str], ...]
    """Methods that could not enter, and why."""

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        protocol = self.contest.protocol
        return {
            "protocol": protocol.name,
            "sentence": protocol.sentence,
            "people": len(self.contest.cases),
            "methods": [entry.as_json() for entry in self.entries],
            "absent": dict(self.absent),
        }


def compare(
    methods: Sequence[Method],
    contest: Contest,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Measure every method that can enter.

    Args:
        methods: In the order of the table.
        contest: On whom.
        advance: Told how many people are done, over all methods, and of how many.
    """
    absent = [(method.name, reason) for method in methods if (reason := _why_absent(method, contest))]
    able = [method for method in methods if method.name not in dict(absent)]
    people = len(contest.cases)
    entries = []
    for number, method in enumerate(able):
        tell = _Offset(advance, number * people, people * len(able))
        entries.append(_measured(method, contest, tell))
    return Comparison(contest, tuple(entries), tuple(absent))


@dataclass(frozen=True)
class _Offset:
    """Progress of one method among all."""

    advance: Callable[[int, int], None]
    before: int
    total: int

    def __call__(self, done: int) -> None:
        self.advance(self.before + done, self.total)


def _why_absent(method: Method, contest: Contest) -> str:
    missing = [given for given in method.given if given not in contest.given]
    if missing:
        return f"these people have no {' and no '.join(missing)}"
    if not set(method.tasks) & set(contest.protocol.tasks):
        return "it predicts nothing that is measured here"
    return ""


def _measured(method: Method, contest: Contest, advance: Callable[[int], None]) -> Entry:
    tasks = tuple(task for task in contest.protocol.tasks if task in method.tasks)
    protocol = replace(contest.protocol, tasks=tasks)
    watch = _Stopwatch(method)
    result = evaluate(contest.cases, watch, protocol, contest.bodies, advance=advance)
    return Entry(method, result, watch.seconds / len(contest.cases))


class _Stopwatch(Predictor):
    """A method whose time is taken, without that of reading photos: some methods need only their size."""

    def __init__(self, method: Method) -> None:
        self.name = method.name
        self.method = method
        self.seconds = 0.0

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> Prediction:
        start = time.perf_counter()
        prediction = self.method.predict([self._reading_off_the_clock(case) for case in cases], protocol)
        if "mesh" in self.method.tasks:
            _ = prediction.vertices  # posed when first asked for, and part of the method
        self.seconds += time.perf_counter() - start
        return prediction

    def _reading_off_the_clock(self, case: Case) -> Case:
        def load_pixels() -> Tensor:
            start = time.perf_counter()
            pixels = case.load_pixels()
            self.seconds -= time.perf_counter() - start
            return pixels

        return replace(case, load_pixels=load_pixels)


def markdown(comparison: Comparison) -> str:
    """The table, with what was left out and the protocol below it."""
    entries = comparison.entries
    columns = [name for name in _COLUMNS if any(_figure(entry, name) for entry in entries)]
    units = {name: figure.unit for name in columns for entry in entries if (figure := _figure(entry, name))}
    header = ["method", "is given", *(f"{name} [{units[name]}]" if units[name] else name for name in columns)]
    rows = [
        [entry.method.name, ", ".join(entry.method.given), *(_cell(entry, name) for name in columns), f"{entry.seconds:.3f}"]
        for entry in entries
    ]  # fmt: skip
    lines = [_row([*header, "s a person"]), _row(["---"] * (len(header) + 1)), *map(_row, rows), ""]
    lines += [f"Not here: {name} ({reason})." for name, reason in comparison.absent]
    missing = [f"{entry.method.name} {entry.result.missing}" for entry in entries if entry.result.missing]
    if missing:
        lines.append(
            f"People without a prediction, wrong in every share and in no mean: {', '.join(missing)}."
        )
    people = len(comparison.contest.cases)
    lines.append(
        f"{people} people, 95 % intervals in brackets. Protocol: {comparison.contest.protocol.sentence}"
    )
    return "\n".join(lines)


def _figure(entry: Entry, name: str) -> Figure | None:
    return next((figure for figure in entry.result.figures if figure.name == name), None)


def _cell(entry: Entry, name: str) -> str:
    figure = _figure(entry, name)
    return "" if figure is None else figure_text(figure)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class KnownSurface:
    """The true 2D surface points of rendered people."""

    row_of: dict[str, int]
    """Record -> row."""
    points: Float[Tensor, "people 91 2"]
    """Photo pixels; 0 outside the photo."""
    weights: Float[Tensor, "people 91"]
    """1 in the photo, hidden or not."""

    @classmethod
    def of_nobody(cls) -> "KnownSurface":
        """Where no synthetic people take part."""
        count = len(SURFACE_91)
        return cls({}, torch.zeros(0, count, 2), torch.zeros(0, count))

    def of(self, cases: Sequence[Case]) -> tuple[Float[Tensor, "cases 91 2"], Float[Tensor, "cases 91"]]:
        """Points and weights of some people.

        Raises:
            BadInputError: where they are not known.
        """
        for case in cases:
            if case.record not in self.row_of:
                remedy = "Only synthetic people have them."
                raise BadInputError(f"Record {case.record}", "its 91 surface points are not known", remedy)
        rows = [self.row_of[case.record] for case in cases]
        return self.points[rows], self.weights[rows]


@dataclass(frozen=True)
class RenderedPeople:
    """Synthetic people with all that is known of them."""

    contest: Contest
    surface: KnownSurface


def synthetic_contest(path: Path, body: BodyModel, limit: int | None) -> RenderedPeople:
    """The people of one file that `humanmesh data synthesize` wrote, with six body parts and surface points.

    Raises:
        BadInputError: where there is no such file, or it holds something else, or nobody to measure.
    """
    protocol = protocol_by_name("synthetic")
    protocol = replace(protocol, tasks=(*protocol.tasks, "parts"))
    arrays = read_synthetic_part(path)
    _check_cameras(arrays, path)
    everyone = synthetic_cases(arrays, path.stem)
    cases = [
        replace(case, load_parts=_six_parts(arrays["parts"], row))
        for row, case in enumerate(everyone)
        if is_selected(case, protocol)
    ]
    if not cases:
        raise BadInputError(f"{path}", "nobody with enough joints in the picture", "Give other people.")
    cases, protocol = some_of(cases, protocol, limit)
    given: tuple[Given, ...] = ("photo", "2D joints", "mask", "91 points")
    contest = Contest(protocol, tuple(cases), TruthBodies({"": body}), given)
    return RenderedPeople(contest, _known_surface(arrays, path.stem, body))


def _check_cameras(arrays: dict[str, Tensor], path: Path) -> None:
    missing = [name for name in ("parts", "translation", "focal", "centre") if name not in arrays]
    if missing:
        remedy = "Make it with: humanmesh data synthesize --benchmark --held-out."
        raise BadInputError(f"{path} should hold synthetic people", f"no {', '.join(missing)}", remedy)


def _six_parts(parts: Tensor, row: int) -> Callable[[], np.ndarray]:
    six = np.array([0, *(1 + part for part in SIX_PART_OF_SMPL_JOINT)], np.uint8)
    return lambda: six[parts[row].numpy()]


@torch.no_grad()
def _known_surface(arrays: dict[str, Tensor], part: str, body: BodyModel) -> KnownSurface:
    skin = KeypointBody(with_surface_points(body.data), SURFACE_91.name)
    _, points = skin(arrays["rotations"], arrays["shape"])
    camera = CropCamera(arrays["focal"], arrays["centre"])
    seen = camera.project(points + arrays["translation"][:, None])
    is_inside = (seen.abs() <= 1).all(-1)
    half = arrays["images"].shape[-1] / 2
    pixels = torch.where(is_inside[..., None], (seen + 1) * half, 0.0)
    row_of = {f"{part}/{row}": row for row in range(len(seen))}
    return KnownSurface(row_of, pixels, is_inside.float())


def photo_contest(name: str, path: Path, body: BodyModel, limit: int | None) -> Contest:
    """The people of a protocol on photos: lspet-pck or ccp-silhouette, whose 2D joints are given.

    Raises:
        HumanMeshError: where the data cannot be used.
    """
    protocol = protocol_by_name(name)
    cases, protocol = some_of(load_cases(protocol, path, ReadReport()), protocol, limit)
    given: tuple[Given, ...] = ("photo", "2D joints")
    if protocol.selection.with_mask:
        given = (*given, "mask")
    return Contest(protocol, tuple(cases), TruthBodies({"": body}), given)
