"""Predictions read from files, matched to the people of a protocol. People without a row are missing, and are counted."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import Skeleton, skeleton_by_name
from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.prediction_files import PLAIN_ARRAYS, PredictionFile
from humanmesh.evaluation.predictors import PredictedPose, Prediction, Predictor, View
from humanmesh.evaluation.protocols import Protocol
from humanmesh.files.body_models import BUNDLED_BODIES
from humanmesh.render.rasterizer import Fragments, rasterize

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilePrediction(Prediction):
    """Some rows of a file; NaN for people whom it lacks."""

    file: PredictionFile
    body: BodyModel | None
    """Turns pose and shape into vertices, and vertices into keypoints."""
    chosen: tuple[int | None, ...]

    @cached_property
    def scores(self) -> Float[Tensor, "people"]:
        """The file's, or NaN."""
        if self.file.score is None:
            return torch.full((len(self.chosen),), torch.nan)
        return self._rows(self.file.score)

    def _rows(self, values: Float[np.ndarray, "rows ..."]) -> Float[Tensor, "people ..."]:
        result = np.full((len(self.chosen), *values.shape[1:]), np.nan, np.float32)
        for place, row in enumerate(self.chosen):
            if row is not None:
                result[place] = values[row]
        return torch.from_numpy(result)

    def points_3d(self, name: str) -> Float[Tensor, "people points 3"]:
        """The file's joints where it has any, NaN for those of the set that it lacks; else those of its mesh."""
        if self.file.joints_3d is not None and self.file.skeleton is not None:
            return _by_name(self._rows(self.file.joints_3d), self.file.skeleton, skeleton_by_name(name))
        return self._body().keypoints(self.vertices, name)

    def points_2d(self, name: str) -> Float[Tensor, "people points 2"]:
        """The file's, else joints seen by its camera."""
        if self.file.keypoints_2d is not None and self.file.skeleton is not None:
            return _by_name(self._rows(self.file.keypoints_2d), self.file.skeleton, skeleton_by_name(name))
        return self._in_photo(self.points_3d(name))[..., :2]

    @cached_property
    def vertices(self) -> Float[Tensor, "people vertices 3"]:
        """The file's, else those of its pose and shape."""
        if self.file.vertices is not None:
            return self._rows(self.file.vertices)
        if self.file.rotations is None or self.file.shape is None:
            raise BadInputError("Predictions", "neither vertices nor pose and shape", PLAIN_ARRAYS)
        return self._body()(self._rows(self.file.rotations), self._rows(self.file.shape)).vertices

    @property
    def pose(self) -> PredictedPose | None:
        """The file's rotations; the body is left open where they are SMPL's and there is no SMPL."""
        if self.file.rotations is None:
            return None
        shape = None if self.file.shape is None else self._rows(self.file.shape)
        is_bundled = self.body is not None and self.body.data.name in BUNDLED_BODIES
        body = None if self.body is None or (self.file.of_smpl and is_bundled) else self.body.data
        return PredictedPose(self._rows(self.file.rotations), shape, body)

    def _body(self) -> BodyModel:
        name = None if self.body is None else self.body.data.name
        if self.body is None or (self.file.of_smpl and name in BUNDLED_BODIES):
            remedy = "Give --body SMPL_FILE, the body that the predictions belong to."
            raise BadInputError(
                "Predictions", f"pose, shape or vertices of SMPL, and the body {name}", remedy
            )
        return self.body

    def view(self, row: int) -> View:
        """One person's mesh before its camera."""
        file, place = self.file, self.chosen[row]
        if (
            place is None
            or file.translation is None
            or file.focal_length is None
            or file.principal_point is None
        ):
            raise BadInputError("Predictions", "no camera to draw a person with", PLAIN_ARRAYS)
        x, y = file.principal_point[place].tolist()
        moved = self.vertices[row] + torch.from_numpy(file.translation[place])
        return View(moved, float(file.focal_length[place]), (x, y))

    @property
    def faces(self) -> Int[Tensor, "faces 3"] | None:
        """Rows of `vertices`; None where the body is not known."""
        return None if self.body is None else self.body.data.faces

    @property
    def face_parts(self) -> Int64[Tensor, "faces"]:
        """The SMPL joint that each face follows."""
        parts = self._body().data.face_parts
        if parts is None:
            raise BadInputError(f"Body {self._body().data.name}", "it has no body parts", "Use another body.")
        return parts.long()

    def _in_photo(self, points: Float[Tensor, "people points 3"]) -> Float[Tensor, "people points 3"]:
        """Photo pixels, and depth."""
        file = self.file
        if file.translation is None or file.focal_length is None or file.principal_point is None:
            found = "no keypoints_2d, and no camera (translation, focal_length, principal_point)"
            raise BadInputError("Predictions", found, PLAIN_ARRAYS)
        moved = points + self._rows(file.translation)[:, None]
        focal = self._rows(file.focal_length)[:, None, None]
        pixels = focal * moved[..., :2] / moved[..., 2:] + self._rows(file.principal_point)[:, None]
        return torch.cat([pixels, moved[..., 2:]], -1)

    def draw(self, row: int, height: int, width: int) -> Fragments:
        """One person's mesh in the photo."""
        screen = self._in_photo(self.vertices)[row : row + 1]
        return rasterize(screen, self._body().data.faces, height, width)


def _by_name(
    points: Float[Tensor, "people joints axes"], skeleton: Skeleton, wanted: Skeleton
) -> Float[Tensor, "people points axes"]:
    """Points of one skeleton in the order of another; NaN for those that the first lacks."""
    result = points.new_full((len(points), len(wanted), points.shape[2]), torch.nan)
    shared = [joint for joint in wanted.joints if joint in skeleton.index]
    result[:, [wanted.index[joint] for joint in shared]] = points[
        :, [skeleton.index[joint] for joint in shared]
    ]
    return result


class FilePredictor(Predictor):
    """A system whose predictions stand in a file."""

    def __init__(
        self, name: str, file: PredictionFile, people: Sequence[Case], body: BodyModel | None = None
    ) -> None:
        """Match the file's rows to all people of the protocol.

        Raises:
            BadInputError: where nobody is matched, or the numbers differ and no names are given.
        """
        self.name = name
        self.file = file
        self.body = body
        self.row_of = _matched(name, file, people)

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        """The rows of these people.

        Raises:
            BadInputError: where the file lacks joints that the protocol measures.
        """
        skeleton = self.file.skeleton
        if skeleton is not None:
            lacking = [joint for joint in (*protocol.joints, *protocol.root) if joint not in skeleton.index]
            if lacking:
                found = f"its joints ({skeleton.name}) lack {', '.join(dict.fromkeys(lacking))}"
                raise BadInputError(
                    f"Predictions {self.name}", found, f"The protocol {protocol.name} measures them."
                )
        return FilePrediction(self.file, self.body, tuple(self.row_of.get(case.record) for case in cases))


def _matched(name: str, file: PredictionFile, people: Sequence[Case]) -> dict[str, int]:
    """Row of each person by record."""
    if file.record is not None:
        known = {record: row for row, record in enumerate(file.record)}
        matched = {case.record: known[case.record] for case in people if case.record in known}
    elif file.imgname is not None:
        matched = _matched_by_photo(name, file.imgname, people)
    elif file.rows == len(people):
        _LOG.warning(
            "%s names nobody: its rows are taken in the order of the data set; a prediction far off may be another's",
            name,
        )
        return {case.record: row for row, case in enumerate(people)}
    else:
        found = f"{file.rows} rows without record or imgname, for {len(people)} people"
        raise BadInputError(f"Predictions {name}", found, "Store record or imgname in the file.")
    if not matched:
        stored = (file.record or file.imgname or ("",))[0]
        found = f"none of {file.rows} rows is of the {len(people)} people; a row is {stored!r}, a person {people[0].record!r}"
        raise BadInputError(f"Predictions {name}", found, "Store the names that the data set uses.")
    return matched


def _matched_by_photo(name: str, photos: Sequence[str], people: Sequence[Case]) -> dict[str, int]:
    """By the last parts of the photos' paths, as many as the file gives."""
    row_of: dict[tuple[str, ...], int] = {}
    lengths = {len(PurePosixPath(photo).parts) for photo in photos}
    for row, photo in enumerate(photos):
        parts = PurePosixPath(photo).parts
        if parts in row_of:
            found = f"photo {photo!r} twice, so that its people cannot be told apart"
            raise BadInputError(f"Predictions {name}", found, "Store record instead of imgname.")
        row_of[parts] = row
    matched = {}
    for case in people:
        parts = PurePosixPath(Path(case.image).as_posix()).parts
        hits = [row_of[parts[-length:]] for length in lengths if parts[-length:] in row_of]
        if hits:
            matched[case.record] = hits[0]
    return matched
