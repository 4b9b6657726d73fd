"""Weak-perspective cameras of a crop, perspective cameras of a photo, and the way from one to the other."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.errors import BadInputError
from humanmesh.geometry.rotations import axis_angle_to_matrix


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
        return self.linearised(points_camera).points_2d

    def linearised(self, points_camera: Float[Tensor, "batch points 3"]) -> "Linearised":
        """The same with its derivatives by the points."""
        scale = self.scale[:, None]
        projected = scale[..., None] * (points_camera[..., :2] + self.translation[:, None])
        nothing = torch.zeros_like(projected)
        return Linearised(projected, scale.expand(projected.shape[:2]), nothing, nothing)

    @property
    def lens_deviation(self) -> Float[Tensor, "batch"]:
        """Standard deviation of the logarithm of the lens's slope; 0 where the lens is known, or there is none."""
        return torch.zeros_like(self.scale)

    def changed(
        self,
        log_scale: Float[Tensor, "batch"],
        offset: Float[Tensor, "batch 2"],
        log_slope: Float[Tensor, "batch"],
    ) -> "WeakPerspectiveCamera":
        """The camera with its scale's logarithm and its offset (metres) changed, and the logarithm of the slope of its lens."""
        return replace(self, scale=self.scale * log_scale.exp(), translation=self.translation + offset)


@dataclass(frozen=True)
class Linearised:
    """Projected points, and how they move with the points in space."""

    points_2d: Float[Tensor, "batch points 2"]
    """Crop coordinates."""
    by_xy: Float[Tensor, "batch points"]
    """Crop half-widths per metre in the picture's plane: of x by X and of y by Y."""
    by_depth: Float[Tensor, "batch points 2"]
    """Crop half-widths per metre of Z."""
    by_lens: Float[Tensor, "batch points 2"]
    """Crop half-widths per logarithm of the lens's slope."""


@dataclass(frozen=True)
class CropLens:
    """How near a camera took the photos of some crops, which decides how much smaller what is farther looks."""

    slope: Float[Tensor, "batch"]
    """Half the crop's side over the photo's focal length: 0 for a camera infinitely far."""
    principal_point: Float[Tensor, "batch 2"]
    """The photo's, in crop coordinates."""
    deviation: Float[Tensor, "batch"]
    """Standard deviation of the slope's logarithm: 0 where the photo's camera is known."""

    def to(self, like: Tensor) -> "CropLens":
        """The same lenses in the type and on the device of a tensor."""
        return CropLens(self.slope.to(like), self.principal_point.to(like), self.deviation.to(like))


UNKNOWN_LENS_DEVIATION = 0.7
"""Of a photo's whose camera nobody knows: half of them between 0.62 and 1.6 times the guess."""


def centred_lens(
    slope: float, like: Float[Tensor, "batch *rest"], deviation: float = UNKNOWN_LENS_DEVIATION
) -> CropLens:
    """The same lens for every crop of a batch, its axis through the crop's middle."""
    crops = len(like)
    return CropLens(
        like.new_full((crops,), slope), like.new_zeros(crops, 2), like.new_full((crops,), deviation)
    )


@dataclass(frozen=True)
class CropPerspectiveCamera(WeakPerspectiveCamera):
    """The weak-perspective camera with the perspective of its lens: they agree in the plane through the body's origin.

    The body's origin stands 1 / (scale * slope) metres before it, as `translation_camera_from_body` places it.
    """

    lens: CropLens

    def linearised(self, points_camera: Float[Tensor, "batch points 3"]) -> Linearised:
        """Crop coordinates of points with the axes of the camera and the body's origin, and their derivatives."""
        flat = super().linearised(points_camera)
        axis = self.lens.principal_point[:, None]
        change = (self.scale.abs() * self.lens.slope)[:, None]
        shrinkage = (1 + change * points_camera[..., 2]).clamp_min(_LEAST_SHRINKAGE)
        from_axis = (flat.points_2d - axis) / shrinkage[..., None]
        by_depth = -from_axis * (change / shrinkage)[..., None]
        by_lens = by_depth * points_camera[..., 2:]
        return Linearised(axis + from_axis, flat.by_xy / shrinkage, by_depth, by_lens)

    @property
    def lens_deviation(self) -> Float[Tensor, "batch"]:
        """That of the lens."""
        return self.lens.deviation

    def changed(
        self,
        log_scale: Float[Tensor, "batch"],
        offset: Float[Tensor, "batch 2"],
        log_slope: Float[Tensor, "batch"],
    ) -> WeakPerspectiveCamera:
        """The same with the lens's slope changed, too."""
        lens = replace(self.lens, slope=self.lens.slope * log_slope.exp())
        return WeakPerspectiveCamera.changed(replace(self, lens=lens), log_scale, offset, log_slope)


_LEAST_SHRINKAGE = 0.2
"""Points nearer than this share of the body's distance are seen as if they stood there."""


@dataclass(frozen=True)
class PerspectiveCamera:
    """Pinhole camera of a whole photo, without distortion."""

    focal_length: Float[Tensor, "batch"] | Float[Tensor, "batch 2"]
    """Pixels; two where they differ in x and y."""
    principal_point: Float[Tensor, "batch 2"]
    """Pixels from the photo's upper left corner."""

    @property
    def focal_xy(self) -> Float[Tensor, "batch 2"]:
        """Focal length in x and in y, pixels."""
        return self.focal_length.view(len(self.focal_length), -1).expand(-1, 2)

    def project(self, points_camera: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points 2"]:
        """Photo pixels; meaningful for points in front of the camera (z > 0)."""
        scaled = points_camera[..., :2] / points_camera[..., 2:]
        return self.focal_xy[:, None] * scaled + self.principal_point[:, None]


@dataclass(frozen=True)
class PhotoCamera:
    """The pinhole camera that a photo is taken to have, in plain numbers.

    Raises:
        BadInputError: where a number is none, or a focal length is not positive.
    """

    focal_length: float
    """Pixels; in x, where the pixels are not square."""
    principal_point: tuple[float, float]
    """x, y in pixels from the photo's upper left corner."""
    pixel_aspect: float = 1.0
    """Focal length in y over that in x; 1 for square pixels, which nearly all cameras have."""

    def __post_init__(self) -> None:
        if not all(0 < focal < math.inf for focal in self.focal_xy):
            found = " and ".join(dict.fromkeys(f"{focal:g} pixels" for focal in self.focal_xy))
            raise BadInputError("Focal length", found, "Give a positive number of pixels.")
        if not all(map(math.isfinite, self.principal_point)):
            x, y = self.principal_point
            raise BadInputError("Principal point", f"({x:g}, {y:g})", "Give two numbers, in pixels.")

    @property
    def focal_xy(self) -> tuple[float, float]:
        """Focal length in x and in y, pixels."""
        return self.focal_length, self.focal_length * self.pixel_aspect

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """The matrix of intrinsics: photo pixels (times z) from metres in the camera frame."""
        (fx, fy), (cx, cy) = self.focal_xy, self.principal_point
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])

    def project(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 2"]:
        """Photo pixels of points in the camera frame (metres)."""
        focal, principal = np.array(self.focal_xy, np.float32), np.array(self.principal_point, np.float32)
        return focal * points[:, :2] / points[:, 2:] + principal

    def enlarged(self, x: float, y: float) -> "PhotoCamera":
        """The camera of the same photo with so many times as many pixels in x and in y."""
        cx, cy = self.principal_point
        return PhotoCamera(x * self.focal_length, (x * cx, y * cy), self.pixel_aspect * y / x)


def centred_camera(width: float, height: float, focal_length: float | None = None) -> PhotoCamera:
    """Square pixels and the principal point in the photo's middle; `default_focal_length` where none is given (pixels)."""
    focal = default_focal_length(width, height) if focal_length is None else focal_length
    return PhotoCamera(focal, (width / 2, height / 2))


def default_focal_length(width: float, height: float) -> float:
    """A plausible focal length in pixels for a photo of unknown camera: its diagonal, a 53 degree field across it."""
    return math.hypot(width, height)


def translation_camera_from_body(
    weak: WeakPerspectiveCamera,
    photo_from_crop: Float[Tensor, "batch 3 3"],
    camera: PerspectiveCamera,
) -> Float[Tensor, "batch 3"]:
    """Metres to add to a body so that the photo's camera sees it where the crop's camera does.

    The two projections agree for points in the plane through the body's origin, if the pixels are square. Depth
    follows from equal magnification, z = focal / (scale * half crop side): the known closed form 2 f / (s * side).
    """
    depth = 1 / (weak.scale * _half_crop(photo_from_crop, camera))
    origin_crop = weak.scale[:, None] * weak.translation
    origin_photo = (photo_from_crop[:, :2, :2] @ origin_crop[..., None]).squeeze(-1) + photo_from_crop[
        :, :2, 2
    ]
    offset = (origin_photo - camera.principal_point) / camera.focal_xy * depth[:, None]
    return torch.cat([offset, depth[:, None]], -1)


def _half_crop(
    photo_from_crop: Float[Tensor, "batch 3 3"], camera: PerspectiveCamera
) -> Float[Tensor, "batch"]:
    """Half the side of a crop at a depth of one metre, in metres; the quadratic mean of both sides where they differ."""
    slopes_from_crop = photo_from_crop[:, :2, :2] / camera.focal_xy[..., None]
    return (slopes_from_crop.square().sum((1, 2)) / 2).sqrt()


def lens_of(photo_from_crop: Float[Tensor, "batch 3 3"], camera: PerspectiveCamera) -> CropLens:
    """The lens through which crops of photos are seen. Crops are taken to be upright, and pixels to be square."""
    from_middle = (camera.principal_point - photo_from_crop[:, :2, 2])[..., None]
    axis = torch.linalg.solve(photo_from_crop[:, :2, :2], from_middle).squeeze(-1)
    slope = _half_crop(photo_from_crop, camera)
    return CropLens(slope, axis, torch.zeros_like(slope))


def weak_perspective_of(
    translation: Float[Tensor, "batch 3"],
    photo_from_crop: Float[Tensor, "batch 3 3"],
    camera: PerspectiveCamera,
) -> WeakPerspectiveCamera:
    """The crop's camera that sees a body where the photo's does: the inverse of `translation_camera_from_body`."""
    scale = 1 / (translation[:, 2] * _half_crop(photo_from_crop, camera))
    slopes = translation[:, :2] / translation[:, 2:]
    origin_photo = camera.focal_xy * slopes + camera.principal_point
    from_middle = (origin_photo - photo_from_crop[:, :2, 2])[..., None]
    origin_crop = torch.linalg.solve(photo_from_crop[:, :2, :2], from_middle).squeeze(-1)
    return WeakPerspectiveCamera(scale, origin_crop / scale[:, None])


def level_from_camera(pitch: float) -> Float[Tensor, "3 3"]:
    """From the frame of a camera that looks down by `pitch` (radians) to one with the same x whose y points down."""
    return axis_angle_to_matrix(torch.tensor([-pitch, 0.0, 0.0]))
