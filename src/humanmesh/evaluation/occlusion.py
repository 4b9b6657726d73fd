"""How errors grow as a person is covered or cut off: the same people, with less of each to be seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.evaluation.benchmark import evaluate
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.predictors import (
    NetworkPrediction,
    NetworkPredictor,
    Predictor,
    crop_boxes,
    crop_margin,
)
from humanmesh.evaluation.protocols import Protocol
from humanmesh.evaluation.results import person_errors

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Of the person's box that is hidden."""
_COVER = 0.5
"""Grey of what covers, in [0, 1]."""

Way = Literal["covered", "cut off"]
Side = Literal["left", "right", "top", "bottom"]
_SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class HidingPredictor(Predictor):
    """A network that sees less of each person: a strip of the box is grey, or the photo ends there.

    Where the photo ends, the box ends as well, as a detector's would, and the photo's edge goes on behind it. The side
    is drawn anew for each person, from the person's record alone.
    """

    name: str
    network: NetworkPredictor
    way: Way
    share: float

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> NetworkPrediction:
        """Look at what is left."""
        boxes = crop_boxes(cases, protocol)
        sides: list[Side] = [side_of(case.record) for case in cases]
        rests = torch.stack([
            remaining(box, self.share, side) for box, side in zip(boxes, sides, strict=True)
        ])
        photos = (
            hidden(case.load_pixels(), box, rest, side, self.way)
            for case, box, rest, side in zip(cases, boxes, rests, sides, strict=True)
        )
        shown = rests if self.way == "cut off" else boxes
        return self.network.look(photos, shown, crop_margin(protocol))


def side_of(record: str) -> Side:
    """From which side a person is hidden."""
    draw = np.random.default_rng(list(record.encode()))
    return _SIDES[int(draw.integers(len(_SIDES)))]


def remaining(box: Float[Tensor, "4"], share: float, side: Side) -> Float[Tensor, "4"]:
    """What is left of a box when a share of it is gone from one side."""
    x0, y0, x1, y1 = box.tolist()
    dx, dy = share * (x1 - x0), share * (y1 - y0)
    rest = {
        "left": (x0 + dx, y0, x1, y1),
        "right": (x0, y0, x1 - dx, y1),
        "top": (x0, y0 + dy, x1, y1),
        "bottom": (x0, y0, x1, y1 - dy),
    }[side]
    return torch.tensor(rest)


def hidden(
    photo: Float[Tensor, "3 height width"],
    box: Float[Tensor, "4"],
    rest: Float[Tensor, "4"],
    side: Side,
    way: Way,
) -> Float[Tensor, "3 height width"]:
    """The photo without what lies in the box beyond `rest`, or without all that lies beyond it.

    Args:
        photo: RGB in [0, 1].
        box: Of the person.
        rest: Of the box.
        side: Where it ends.
        way: Grey over the strip, or the last row or column repeated to the photo's end.
    """
    if torch.equal(box, rest):
        return photo
    photo = photo.clone()
    height, width = photo.shape[1:]
    limits = (width, height, width, height)
    x0, y0, x1, y1 = (
        min(max(round(value), 0), limit) for value, limit in zip(box.tolist(), limits, strict=True)
    )
    edge = {"left": rest[0], "right": rest[2], "top": rest[1], "bottom": rest[3]}[side]
    limit = width if side in {"left", "right"} else height
    end = min(max(round(float(edge)), 1), limit - 1)
    if way == "covered":
        strip = {
            "left": (y0, y1, x0, end),
            "right": (y0, y1, end, x1),
            "top": (y0, end, x0, x1),
            "bottom": (end, y1, x0, x1),
        }
        top, bottom, left, right = strip[side]
        photo[:, top:bottom, left:right] = _COVER
    elif side == "left":
        photo[:, :, :end] = photo[:, :, end : end + 1]
    elif side == "right":
        photo[:, :, end:] = photo[:, :, end - 1 : end]
    elif side == "top":
        photo[:, :end] = photo[:, end : end + 1]
    else:
        photo[:, end:] = photo[:, end - 1 : end]
    return photo


@dataclass(frozen=True)
class Curve:
    """Error by the share that is hidden."""

    way: Way
    name: str
    unit: str
    points: tuple[tuple[float, float], ...]
    """(share, mean error over people)."""


def error_by_hidden_share(
    cases: Sequence[Case],
    network: NetworkPredictor,
    protocol: Protocol,
    bodies: TruthBodies,
    shares: Sequence[float] = SHARES,
) -> list[Curve]:
    """Measure the same people again and again, with more and more of each hidden; all joints count, seen or not."""
    tasks = tuple(task for task in protocol.tasks if task in {"pose", "keypoints"}) or protocol.tasks[:1]
    quick = replace(protocol, tasks=tasks[:1])
    curves = []
    ways: tuple[Way, ...] = ("covered", "cut off")
    for way in ways:
        points = []
        for share in shares:
            predictor = HidingPredictor(f"{network.name}, {share:.0%} {way}", network, way, share)
            errors = person_errors(evaluate(cases, predictor, quick, bodies))
            points.append((share, float(errors.values.nanmean())))
        curves.append(Curve(way, errors.name, errors.unit, tuple(points)))
    return curves
