"""Systems that are measured, and what they say about people."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData, BodyOutput
from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.protocols import Protocol
from humanmesh.geometry import crops
from humanmesh.geometry.cameras import (
    CropPerspectiveCamera,
    PerspectiveCamera,
    WeakPerspectiveCamera,
    translation_camera_from_body,
)
from humanmesh.network.encoder import KEYPOINTS
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.render.rasterizer import Fragments, rasterize

BODY_MARGIN = 1.15
"""`crops.KEYPOINTS_MARGIN` for a box round the whole body, which is larger than that of its keypoints."""

_FAR = 20_000.0
"""Focal length in pixels that makes a camera nearly parallel."""


@dataclass(frozen=True)
class View:
    """A body before a camera."""

    vertices: Float[Tensor, "vertices 3"]
    """Metres, camera frame."""
    focal_length: float
    """Pixels."""
    principal_point: tuple[float, float]
    """Pixels."""


@dataclass(frozen=True)
class PredictedPose:
    """Joint rotations that a system says, and the body that they turn."""

    rotations: Float[Tensor, "people 24 3 3"]
    """Relative to the parents, the first in the camera frame; NaN for people whom the system lacks."""
    shape: Float[Tensor, "people shapes"] | None
    """None where the system does not tell."""
    body: BodyModelData | None
    """The body that the shape belongs to; None where it is not known."""


class Prediction(ABC):
    """What a system says about some people. NaN stands for what it does not say."""

    @property
    @abstractmethod
    def scores(self) -> Float[Tensor, "people"]:
        """How sure the system is; NaN where it does not tell."""

    @abstractmethod
    def points_3d(self, name: str) -> Float[Tensor, "people points 3"]:
        """A keypoint set by name (`body.skeletons`), metres, axes of the camera frame, any origin."""

    @abstractmethod
    def points_2d(self, name: str) -> Float[Tensor, "people points 2"]:
        """The same in photo pixels."""

    @property
    @abstractmethod
    def vertices(self) -> Float[Tensor, "people vertices 3"]:
        """Metres, axes of the camera frame, the origin of `points_3d`."""

    @property
    def pose(self) -> PredictedPose | None:
        """Joint rotations; None for a system that tells points alone."""
        return None

    @abstractmethod
    def draw(self, row: int, height: int, width: int) -> Fragments:
        """One person's body in the photo."""

    @abstractmethod
    def view(self, row: int) -> "View":
        """One person's body before the photo's camera, for pictures."""

    @property
    @abstractmethod
    def faces(self) -> Int[Tensor, "faces 3"] | None:
        """Rows of `vertices`; None where they are not known."""

    @property
    @abstractmethod
    def face_parts(self) -> Int64[Tensor, "faces"]:
        """The SMPL joint that each face follows."""


class Predictor(ABC):
    """A system that is measured."""

    name: str
    """What it is called in tables; changes with its weights or its file."""

    @abstractmethod
    def predict(self, cases: Sequence[Case], protocol: Protocol) -> Prediction:
        """Its prediction of some people."""


@dataclass(frozen=True)
class NetworkPrediction(Prediction):
    """What a network of this project says about some crops."""

    output: RecoveryOutput
    body: BodyModel
    photo_from_crop: Float[Tensor, "people 3 3"]

    @cached_property
    def scores(self) -> Float[Tensor, "people"]:
        """Mean height of the peaks of the heat maps; NaN for a network without."""
        seen = self.output.seen
        if seen is None:
            return torch.full_like(self.output.last.camera.scale, torch.nan)
        return seen.confidences.mean(1)

    @cached_property
    def posed(self) -> BodyOutput:
        """The whole body, posed when it is asked for."""
        return self.body(self.output.last.rotations, self.output.last.shape)

    @property
    def vertices(self) -> Float[Tensor, "people vertices 3"]:
        """Metres, axes of the camera frame."""
        return self.posed.vertices

    @property
    def pose(self) -> PredictedPose:
        """Rotations and shape of the last round."""
        return PredictedPose(self.output.last.rotations, self.output.last.shape, self.body.data)

    @property
    def faces(self) -> Int[Tensor, "faces 3"]:
        """Rows of `vertices`."""
        return self.body.data.faces

    @property
    def face_parts(self) -> Int64[Tensor, "faces"]:
        """The SMPL joint that each face follows."""
        parts = self.body.data.face_parts
        if parts is None:
            raise BadInputError(
                f"Body {self.body.data.name}", "it has no body parts", "Use the bundled body."
            )
        return parts.long()

    def points_3d(self, name: str) -> Float[Tensor, "people points 3"]:
        """A keypoint set of the body."""
        if name == KEYPOINTS.name:
            return self.output.last.keypoints_3d
        return self.body.keypoints(self.vertices, name)

    def points_2d(self, name: str) -> Float[Tensor, "people points 2"]:
        """A keypoint set in photo pixels."""
        return self._in_photo(self.points_3d(name))

    def _in_photo(self, points: Float[Tensor, "people points 3"]) -> Float[Tensor, "people points 2"]:
        return crops.apply(self.photo_from_crop, self.output.last.camera.project(points))

    @cached_property
    def _screen(self) -> Float[Tensor, "people vertices 3"]:
        depth = self.vertices[..., 2:]
        return torch.cat([self._in_photo(self.vertices), depth - depth.amin(1, keepdim=True) + 1], 2)

    def draw(self, row: int, height: int, width: int) -> Fragments:
        """One person's body in the photo, by the crop's camera."""
        return rasterize(self._screen[row : row + 1], self.body.data.faces, height, width)

    def view(self, row: int) -> View:
        """One person's body as the crop's camera has it; so far off that perspective vanishes, where that is weak."""
        camera, photo_from_crop = self.output.last.camera, self.photo_from_crop[row : row + 1]
        weak = WeakPerspectiveCamera(camera.scale[row : row + 1], camera.translation[row : row + 1])
        focal, axis = torch.full_like(weak.scale, _FAR), torch.zeros_like(weak.translation)
        if isinstance(camera, CropPerspectiveCamera):
            focal = photo_from_crop[:, 0, 0] / camera.lens.slope[row]
            axis = crops.apply(photo_from_crop, camera.lens.principal_point[row, None, None])[:, 0]
        offset = translation_camera_from_body(weak, photo_from_crop, PerspectiveCamera(focal, axis))
        x, y = axis[0].tolist()
        return View((self.vertices[row] + offset).cpu(), float(focal), (x, y))


@dataclass(frozen=True)
class NetworkPredictor(Predictor):
    """A network of this project: crop, look, answer."""

    name: str
    network: Recovery
    """In eval mode."""
    body: BodyModel
    crop_size: int
    """Pixels."""

    @torch.no_grad()
    def look(
        self,
        photos: Iterable[Tensor],
        boxes: Float[Tensor, "people 4"],
        margin: float = crops.KEYPOINTS_MARGIN,
    ) -> NetworkPrediction:
        """The network's answers to crops of photos round the boxes, one photo a box; of the photos the crops alone are kept."""
        device = next(self.network.parameters()).device
        side = crops.margin_crop_side(boxes, margin)
        crop_from_photo = crops.crop_from_photo(crops.box_center(boxes), side)
        pixels = [
            crops.sample_crop(photo, matrix, self.crop_size)
            for photo, matrix in zip(photos, crop_from_photo, strict=True)
        ]
        output = self.network(torch.stack(pixels).to(device))
        return NetworkPrediction(output, self.body, torch.linalg.inv(crop_from_photo).to(device))

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> NetworkPrediction:
        """Look at the crops that the protocol shows."""
        photos = (case.load_pixels() for case in cases)
        return self.look(photos, crop_boxes(cases, protocol), crop_margin(protocol))


def crop_margin(protocol: Protocol) -> float:
    """Side of a protocol's crops in units of the longer side of its boxes."""
    return crops.KEYPOINTS_MARGIN if protocol.crop == "keypoints box" else BODY_MARGIN


def crop_boxes(cases: Sequence[Case], protocol: Protocol) -> Float[Tensor, "people 4"]:
    """The boxes that a protocol crops by.

    Raises:
        BadInputError: where the data set gives no box.
    """
    return keypoint_boxes(cases, protocol) if protocol.crop == "keypoints box" else given_boxes(cases)


def given_boxes(cases: Sequence[Case]) -> Float[Tensor, "people 4"]:
    """The data set's own boxes.

    Raises:
        BadInputError: where there is none, naming the record.
    """
    for case in cases:
        if case.box is None:
            remedy = "Pack the people with `humanmesh data pack` and take the protocol shards-pck, which needs no boxes."
            raise BadInputError(f"Record {case.record}", "the data set gives no box", remedy)
    return torch.from_numpy(np.stack([case.box for case in cases])).float()  # pyright: ignore[reportArgumentType, reportCallIssue]


def keypoint_boxes(cases: Sequence[Case], protocol: Protocol) -> Float[Tensor, "people 4"]:
    """Boxes round the 2D joints that count."""
    points = torch.from_numpy(np.stack([case.keypoints_2d for case in cases])).float()
    weights = torch.from_numpy(np.stack([case.weights_2d for case in cases])).float()
    return crops.box_of_keypoints(points, (weights > protocol.minimum_weight).float())
