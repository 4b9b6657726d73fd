"""Pictures of the people at given percentiles of error, as in figure 3 of the paper: photo, overlay, front, side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.predictors import Prediction, Predictor, keypoint_boxes
from humanmesh.evaluation.protocols import Protocol
from humanmesh.evaluation.results import Result, person_errors
from humanmesh.geometry import crops
from humanmesh.geometry.cameras import level_from_camera
from humanmesh.render.overlay import contact_sheet, draw_body, front_view, side_view

PERCENTILES = (15, 30, 60, 90, 95)
_MARGIN = 1.6
"""Side of a picture in units of the longer side of the box of the keypoints."""
PICTURE = 256
"""Side in pixels."""


@dataclass(frozen=True)
class Exhibit:
    """One person at a percentile of error."""

    percentile: int
    record: str
    error: float
    """In the unit of `results.person_errors`."""
    pictures: tuple[Float[Tensor, "3 size size"], ...]
    """Photo, overlay, front, side."""


def rows_at(errors: Float[Tensor, "people"], percentiles: Sequence[int] = PERCENTILES) -> list[int]:
    """The people nearest to percentiles of error, those without a prediction aside."""
    known = (~errors.isnan()).nonzero().squeeze(1)
    order = known[errors[known].argsort(stable=True)]
    if not len(order):
        return []
    return [int(order[round(percentile / 100 * (len(order) - 1))]) for percentile in percentiles]


def gallery(result: Result, predictor: Predictor, protocol: Protocol) -> list[Exhibit]:
    """Draw the people at the percentiles; empty where the system tells no mesh or no camera."""
    errors = person_errors(result)
    exhibits = []
    for percentile, row in zip(PERCENTILES, rows_at(errors.values), strict=False):
        case = result.cases[row]
        try:
            pictures = pictures_of(case, predictor.predict([case], protocol), protocol)
        except BadInputError:
            return []
        exhibits.append(Exhibit(percentile, case.record, float(errors.values[row]), pictures))
    return exhibits


@torch.no_grad()
def pictures_of(
    case: Case, prediction: Prediction, protocol: Protocol, pitch: float = 0.0
) -> tuple[Float32[Tensor, "3 size size"], ...]:
    """Photo, overlay, front and side of one person; the last two level for a camera that looks down by `pitch` (radians).

    Raises:
        BadInputError: where the prediction has no mesh or no camera.
    """
    view, faces = prediction.view(0), prediction.faces
    if faces is None:
        raise BadInputError("Predictions", "a mesh without faces", "Give --body.")
    faces = faces.cpu()
    photo = case.load_pixels()
    overlay = draw_body(photo, view.vertices, faces, view.focal_length, view.principal_point)
    box = keypoint_boxes([case], protocol)
    matrix = crops.crop_from_photo(crops.box_center(box), crops.margin_crop_side(box, _MARGIN))[0]
    level = view.vertices @ level_from_camera(pitch).mT
    return (
        crops.sample_crop(photo, matrix, PICTURE).clamp(0, 1),
        crops.sample_crop(overlay, matrix, PICTURE).clamp(0, 1),
        front_view(level, faces, PICTURE, PICTURE),
        side_view(level, faces, PICTURE, PICTURE),
    )


def sheet(exhibits: Sequence[Exhibit]) -> Float32[Tensor, "3 height width"]:
    """A row a person."""
    pictures = [picture for exhibit in exhibits for picture in exhibit.pictures]
    return contact_sheet(pictures, columns=4)
