"""What a user gives: photos, boxes, keypoints and cameras, checked before anything is computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19, Skeleton
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.errors import BadInputError
from humanmesh.files import images
from humanmesh.geometry.cameras import PhotoCamera, centred_camera, default_focal_length

SMALLEST_BOX = 4
"""Pixels on each side of a box."""
SHORTEST_FOCAL = 0.1
"""Focal length in units of the photo's diagonal: a view of 157 degrees across it."""

Photo: TypeAlias = str | Path | Image.Image | np.ndarray
Boxes: TypeAlias = Sequence[Any] | np.ndarray
"""(x0, y0, x1, y1) each; `checked_boxes` has words for what is no box."""


Keypoints: TypeAlias = Sequence[Any] | np.ndarray
"""(people, K, 2 or 3); `checked_keypoints` has words for what is none."""


def pixels_of(photo: Photo) -> Float[Tensor, "3 height width"]:
    """RGB in [0, 1] of a path, a Pillow image or an (H, W, 3) uint8 array.

    Raises:
        HumanMeshError: where it is none of these, or a picture that cannot be used.
    """
    if isinstance(photo, str | Path):
        return images.read_photo(photo)
    if isinstance(photo, Image.Image):
        return images.pixels_of_image(photo)
    if not isinstance(photo, np.ndarray):
        remedy = "Give a path, a Pillow image or an (H, W, 3) uint8 array."
        raise BadInputError("Photo", f"a {type(photo).__name__}", remedy)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        found = f"an array of shape {photo.shape} and type {photo.dtype}"
        raise BadInputError("Photo", found, "Give an (H, W, 3) uint8 array, RGB.")
    return images.pixels_of_array(photo)


def tagged_camera(photo: Photo, width: int, height: int) -> PhotoCamera | None:
    """The camera that the EXIF tags of a path's or a Pillow image's photo tell of; None where they do not."""
    if isinstance(photo, str | Path):
        focal = images.read_focal_length(photo)
    else:
        focal = images.focal_length_of_image(photo) if isinstance(photo, Image.Image) else None
    return None if focal is None else centred_camera(width, height, focal)


def checked_camera(camera: PhotoCamera, width: int, height: int) -> PhotoCamera:
    """The camera of a photo of that many pixels.

    Raises:
        BadInputError: where it would see nearly everything before it, as with millimetres for pixels.
    """
    shortest = SHORTEST_FOCAL * default_focal_length(width, height)
    if min(camera.focal_xy) < shortest:
        found = f"{min(camera.focal_xy):g} pixels in a photo of {width} x {height}"
        raise BadInputError("Focal length", found, f"Give pixels, not millimetres: {shortest:.0f} at least.")
    return camera


def checked_boxes(boxes: Boxes, width: int, height: int, photo: str = "Photo") -> Float[Tensor, "boxes 4"]:
    """The boxes as a tensor.

    Raises:
        BadInputError: where a box is no four numbers, has no size, or lies outside the photo.
    """
    wanted = "Give x0, y0, x1, y1 in photo pixels, x0 < x1 and y0 < y1."
    if len(boxes) == 0:
        return torch.zeros(0, 4)
    try:
        values = torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(len(boxes), -1))
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{photo}, boxes", "something else than lists of four numbers", wanted) from error
    if values.shape[1] != 4:
        raise BadInputError(f"{photo}, boxes", f"{values.shape[1]} numbers in a box", wanted)
    for box in values:
        x0, y0, x1, y1 = box.tolist()
        name = f"{photo}, box ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
        if not bool(box.isfinite().all()):
            raise BadInputError(name, "not all of it is a number", wanted)
        if x1 - x0 < SMALLEST_BOX or y1 - y0 < SMALLEST_BOX:
            raise BadInputError(name, f"it has less than {SMALLEST_BOX} pixels on a side", wanted)
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            remedy = f"Give a box within the photo's {width} x {height} pixels."
            raise BadInputError(name, "it lies outside the photo", remedy)
    return values


def checked_keypoints(
    keypoints: Keypoints, skeleton: Skeleton, width: int, height: int
) -> Float[Tensor, "people 19 3"]:
    """COCOPLUS_19 of people as photo pixels and confidences up to 1; all 0 where a keypoint is not known.

    Raises:
        BadInputError: naming the person who has too few keypoints, or one that is no number, or none in the photo.
    """
    wanted = f"Give an array of (people, {len(skeleton)}, 2 or 3) for {skeleton.name}."
    try:
        given = np.array(keypoints, np.float32)
    except (TypeError, ValueError) as error:
        raise BadInputError("Keypoints", "something else than lists of numbers", wanted) from error
    if not given.size:
        return torch.zeros(0, len(COCOPLUS_19), 3)
    if given.ndim != 3 or given.shape[1] != len(skeleton) or given.shape[2] not in (2, 3):
        raise BadInputError("Keypoints", f"an array of {given.shape}", wanted)
    told = np.ones((*given.shape[:2], 3), np.float32)
    told[..., : given.shape[2]] = given
    people = [
        _checked_person(told[row], skeleton, (width, height), f"Keypoints of person {row + 1}")
        for row in range(len(told))
    ]
    return torch.from_numpy(np.stack(people))


def _checked_person(person: np.ndarray, skeleton: Skeleton, size: tuple[int, int], name: str) -> np.ndarray:
    from humanmesh.fitting.smplify import check_keypoints  # with scipy, which is slow to import

    moved = to_skeleton(Annotation(Path(), skeleton, person[:, :2], person[:, 2]), COCOPLUS_19)
    positions, confidences = moved.keypoints_2d, moved.weights_2d
    check_keypoints(torch.from_numpy(positions)[None], torch.from_numpy(confidences)[None], name)
    known = positions[confidences > 0]
    if not ((known >= 0) & (known < size)).all(1).any():
        raise BadInputError(name, "none of them in the photo", f"Give pixels of its {size[0]} x {size[1]}.")
    if np.ptp(known, 0).max() < SMALLEST_BOX:
        raise BadInputError(name, f"all of them within {SMALLEST_BOX} pixels", "Give photo pixels.")
    return np.c_[np.where(confidences[:, None] > 0, positions, 0), confidences.clip(max=1)].astype(np.float32)
