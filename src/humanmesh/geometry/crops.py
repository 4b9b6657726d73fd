"""Square crops of a photo as similarities: the same matrix moves picture and keypoints.

Pixel centres stand at half integers: pixel (row i, column j) covers [j, j + 1] x [i, i + 1]. Crop coordinates
run over [-1, 1] from edge to edge.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HMR_CROP_PIXELS = 224
"""Side of the paper's crop."""
HMR_PERSON_PIXELS = 150
"""Length in the paper's crop of the diagonal of the box of the visible keypoints."""
KEYPOINTS_MARGIN = 1.25
"""Side of a crop in units of the longer side of the box of the keypoints, in training, measuring and use."""


def hmr_crop_side(box: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch"]:
    """Side in pixels of the paper's crop for a box (x0, y0, x1, y1) of the visible keypoints."""
    diagonal = (box[:, 2:] - box[:, :2]).norm(dim=-1)
    return diagonal * (HMR_CROP_PIXELS / HMR_PERSON_PIXELS)


def margin_crop_side(box: Float[Tensor, "batch 4"], margin: float) -> Float[Tensor, "batch"]:
    """Side in pixels of a crop that is `margin` times the longer side of the box."""
    return (box[:, 2:] - box[:, :2]).amax(-1) * margin


def box_center(box: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 2"]:
    """Centre of boxes (x0, y0, x1, y1)."""
    return (box[:, :2] + box[:, 2:]) / 2


def box_of_keypoints(
    keypoints: Float[Tensor, "batch keypoints 2"], weights: Float[Tensor, "batch keypoints"]
) -> Float[Tensor, "batch 4"]:
    """Smallest box (x0, y0, x1, y1) round the keypoints of positive weight; empty (inf, inf, -inf, -inf) without any."""
    hidden = (weights <= 0)[..., None]
    low = keypoints.masked_fill(hidden, math.inf).amin(1)
    high = keypoints.masked_fill(hidden, -math.inf).amax(1)
    return torch.cat([low, high], -1)


def similarity(
    scale: Float[Tensor, "batch"], angle: Float[Tensor, "batch"], translation: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch 3 3"]:
    """x -> scale * R(angle) x + translation; a positive angle (radians) turns x toward y, clockwise on a screen."""
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    rows = [cosine, -sine, translation[:, 0], sine, cosine, translation[:, 1], zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def crop_from_photo(
    center: Float[Tensor, "batch 2"],
    side: Float[Tensor, "batch"],
    angle: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, "batch 3 3"]:
    """Similarity that takes a square of the photo (pixels), turned by `angle` radians, to crop coordinates."""
    scale = 2 / side
    angle = torch.zeros_like(side) if angle is None else angle
    about_origin = similarity(scale, angle, torch.zeros_like(center))
    translation = -(about_origin[:, :2, :2] @ center[..., None]).squeeze(-1)
    return similarity(scale, angle, translation)


def mirror_crop(matrix: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3 3"]:
    """The same crop, seen in a mirror (x -> -x in crop coordinates)."""
    sign = torch.tensor([-1.0, 1.0, 1.0], dtype=matrix.dtype, device=matrix.device)
    return sign[:, None] * matrix


def apply(
    matrix: Float[Tensor, "batch 3 3"], points: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch points 2"]:
    """An affine map of the plane, applied to points."""
    return points @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 2]


def sample_crops(
    photos: Float[Tensor, "batch channels height width"],
    matrix: Float[Tensor, "batch 3 3"],
    size: int,
) -> Float[Tensor, "batch channels size size"]:
    """Bilinear crops of photos of one size; `matrix` is crop_from_photo. Outside, the photo's edge goes on.

    Without a low-pass filter: shrink by at most about 1.5 this way, or call `sample_crop`.
    """
    height, width = photos.shape[-2:]
    half = torch.tensor([width / 2, height / 2], dtype=matrix.dtype, device=matrix.device)
    photo_from_crop = torch.linalg.inv(matrix)
    grid_from_crop = photo_from_crop[:, :2] / half[:, None]
    grid_from_crop[..., 2] -= 1
    grid = F.affine_grid(grid_from_crop, [len(photos), photos.shape[1], size, size], align_corners=False)
    return F.grid_sample(photos, grid.to(photos.dtype), padding_mode="border", align_corners=False)


def sample_crop(
    photo: Float[Tensor, "channels height width"], matrix: Float[Tensor, "3 3"], size: int
) -> Float[Tensor, "channels size size"]:
    """One crop of a photo of any size, low-pass filtered where it shrinks; `matrix` is crop_from_photo."""
    photo, matrix = _shrink_region(photo, matrix, size)
    return sample_crops(photo[None], matrix[None], size)[0]


def _shrink_region(
    photo: Float[Tensor, "channels height width"], matrix: Float[Tensor, "3 3"], size: int
) -> tuple[Float[Tensor, "channels h w"], Float[Tensor, "3 3"]]:
    """The part of the photo under the crop, resized to about one pixel of it a pixel of the crop, and its crop matrix."""
    height, width = photo.shape[-2:]
    photo_from_crop = torch.linalg.inv(matrix)
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=matrix.dtype, device=matrix.device)
    corners = apply(photo_from_crop[None], corners[None])[0]
    shrink = float(photo_from_crop[:2, 0].norm()) * 2 / size
    if shrink <= 1:
        return photo, matrix
    edge = math.ceil(2 * shrink)
    x0, y0 = (int(v) for v in (corners.amin(0).floor() - edge).tolist())
    x1, y1 = (int(v) for v in (corners.amax(0).ceil() + edge).tolist())
    x0, x1 = min(max(x0, 0), width - 1), max(min(x1, width), 1)
    y0, y1 = min(max(y0, 0), height - 1), max(min(y1, height), 1)
    region = photo[:, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    rows, columns = region.shape[-2:]
    new_size = (max(round(rows / shrink), 1), max(round(columns / shrink), 1))
    small = F.interpolate(region[None], new_size, mode="bilinear", antialias=True, align_corners=False)[0]
    region_from_small = torch.tensor(
        [[columns / new_size[1], 0, x0], [0, rows / new_size[0], y0], [0, 0, 1]],
        dtype=matrix.dtype,
        device=matrix.device,
    )
    return small, matrix @ region_from_small
