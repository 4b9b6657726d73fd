"""People to learn from without pictures: recorded poses, drawn shapes and cameras, and where their points are seen."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.data.synthetic_poses import PoseConfig, PoseLibrary, sample_rotations, sample_shapes
from humanmesh.data.synthetic_recipe import read_pose_library
from humanmesh.data.synthetic_scene import CameraConfig, place_before_camera
from humanmesh.errors import BadInputError
from humanmesh.geometry import crops

FEWEST_POINTS = 6
"""Points that must be known of a person, as in the protocols of `humanmesh evaluate`."""


@dataclass(frozen=True)
class ProjectionConfig:
    """How people are posed and seen: as the synthetic people that networks are trained on."""

    poses: PoseConfig = field(default_factory=PoseConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)


@dataclass(frozen=True)
class ProjectedPeople:
    """Bodies and the 2D points of one keypoint set, seen by perspective cameras."""

    rotations: Float[Tensor, "people 24 3 3"]
    """The first takes the body to the camera frame."""
    shape: Float[Tensor, "people 10"]
    """Standard deviations."""
    points_3d: Float[Tensor, "people points 3"]
    """Metres, axes of the camera frame, any origin."""
    points_2d: Float[Tensor, "people points 2"]
    """Crop coordinates; 0 where the weight is 0."""
    weights: Float[Tensor, "people points"]
    """1 in the crop, hidden or not; 0 outside."""


def read_training_poses(path: Path) -> PoseLibrary:
    """Poses of a motion file of `humanmesh data motion`, without the clips that are held out.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it holds no poses to train on.
    """
    return read_pose_library(path, held_out=False)


@torch.no_grad()
def project_people(
    count: int,
    body: KeypointBody,
    library: PoseLibrary,
    generator: torch.Generator,
    config: ProjectionConfig | None = None,
) -> ProjectedPeople:
    """`count` people, or a few less: those with fewer than `FEWEST_POINTS` points in the crop are left out."""
    config = config or ProjectionConfig()
    rotations = sample_rotations(library, count, config.poses, generator)
    shape = sample_shapes(count, config.poses, generator)
    _, points = body(rotations, shape)
    translation, camera = place_before_camera(points, config.camera, generator)
    points_2d = camera.project(points + translation[:, None])
    is_inside = (points_2d.abs() <= 1).all(-1)
    kept = is_inside.sum(1) >= FEWEST_POINTS
    return ProjectedPeople(
        rotations[kept],
        shape[kept],
        points[kept],
        torch.where(is_inside[..., None], points_2d, 0.0)[kept],
        is_inside.float()[kept],
    )


def points_in_box(
    points: Float[Tensor, "people points 2"], weights: Float[Tensor, "people points"]
) -> Float[Tensor, "people points 2"]:
    """The known points, the centre of their box at 0 and its longer side from -1 to 1; 0 where unknown.

    Raises:
        BadInputError: where of a person fewer than `FEWEST_POINTS` points are known, or they all lie in one place.
    """
    fewest = int((weights > 0).sum(1).min()) if len(weights) else FEWEST_POINTS
    if fewest < FEWEST_POINTS:
        remedy = f"Give at least {FEWEST_POINTS} of them."
        raise BadInputError("2D points of a person", f"{fewest} of {weights.shape[1]} known", remedy)
    box = crops.box_of_keypoints(points, weights)
    side = crops.margin_crop_side(box, 1.0)
    if not bool((side > 0).all() and side.isfinite().all()):
        raise BadInputError("2D points of a person", "all in one place, or NaN", "Give each its own.")
    seen = crops.apply(crops.crop_from_photo(crops.box_center(box), side), points)
    return torch.where((weights > 0)[..., None], seen, 0.0)
