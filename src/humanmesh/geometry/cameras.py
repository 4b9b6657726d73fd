"""Weak-perspective cameras of a crop, perspective cameras of a photo, and the way from one to the other."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class WeakPerspectiveCamera:
    """Scaled orthographic projection into a square crop (Kanazawa et al. 2018, eq. 1).

    The offset is added before scaling, as in the authors' code; the paper writes it after.
    """

    scale: Float[Tensor, "batch"]
    """Crop half-widths per metre."""
    translation: Float[Tensor, "batch 2"]
    """Metres in the camera's x and y, added to the body before scaling."""

    def project(self, points_camera: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points 2"]:
        """Crop coordinates, [-1, 1] from edge to edge, x right and y down."""
        return self.scale[:, None, None] * (points_camera[..., :2] + self.translation[:, None])


@dataclass(frozen=True)
class PerspectiveCamera:
    """Pinhole camera of a whole photo, without distortion."""

    focal_length: Float[Tensor, "batch"]
    """Pixels, the same in x and y."""
    principal_point: Float[Tensor, "batch 2"]
    """Pixels from the photo's upper left corner."""

    def project(self, points_camera: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points 2"]:
        """Photo pixels; meaningful for points in front of the camera (z > 0)."""
        scaled = points_camera[..., :2] / points_camera[..., 2:]
        return self.focal_length[:, None, None] * scaled + self.principal_point[:, None]


def default_focal_length(width: float, height: float) -> float:
    """A plausible focal length in pixels for a photo of unknown camera: its diagonal, a 53 degree field across it."""
    return math.hypot(width, height)


def translation_camera_from_body(
    weak: WeakPerspectiveCamera,
    photo_from_crop: Float[Tensor, "batch 3 3"],
    camera: PerspectiveCamera,
) -> Float[Tensor, "batch 3"]:
    """Metres to add to a body so that the photo's camera sees it where the crop's camera does.

    The two projections agree for points in the plane through the body's origin. Depth follows from equal
    magnification, z = focal / (scale * half crop side): the known closed form 2 f / (s * side).
    """
    half_side = (photo_from_crop[:, :2, :2].square().sum((1, 2)) / 2).sqrt()  # pixels per crop unit
    depth = camera.focal_length / (weak.scale * half_side)
    origin_crop = weak.scale[:, None] * weak.translation
    origin_photo = (photo_from_crop[:, :2, :2] @ origin_crop[..., None]).squeeze(-1) + photo_from_crop[
        :, :2, 2
    ]
    offset = (origin_photo - camera.principal_point) * (depth / camera.focal_length)[:, None]
    return torch.cat([offset, depth[:, None]], -1)


def weak_perspective_of(
    translation: Float[Tensor, "batch 3"],
    photo_from_crop: Float[Tensor, "batch 3 3"],
    camera: PerspectiveCamera,
) -> WeakPerspectiveCamera:
    """The crop's camera that sees a body where the photo's does: the inverse of `translation_camera_from_body`."""
    half_side = (photo_from_crop[:, :2, :2].square().sum((1, 2)) / 2).sqrt()
    scale = camera.focal_length / (translation[:, 2] * half_side)
    slopes = translation[:, :2] / translation[:, 2:]
    origin_photo = camera.focal_length[:, None] * slopes + camera.principal_point
    from_middle = (origin_photo - photo_from_crop[:, :2, 2])[..., None]
    origin_crop = torch.linalg.solve(photo_from_crop[:, :2, :2], from_middle).squeeze(-1)
    return WeakPerspectiveCamera(scale, origin_crop / scale[:, None])
