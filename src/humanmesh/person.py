"""A person as the facade gives them: pose, shape and place in the photo's camera, and the files of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humanmesh.body.measurements import Measurements, measure
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SKELETONS
from humanmesh.body.standing import pitch_from_standing
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files import meshes
from humanmesh.files.rig_names import bone_names
from humanmesh.geometry.cameras import PhotoCamera, level_from_camera

BODY_HEIGHTS = (0.3, 2.8)
"""Metres that a given height may have."""


@dataclass(frozen=True)
class CropCamera:
    """The network's own weak-perspective camera: crop = scale * (xy + translation)."""

    scale: float
    """Crop half-widths per metre."""
    translation: tuple[float, float]
    """Metres, added to the body's x and y before scaling."""
    photo_from_crop: Float[np.ndarray, "3 3"]
    """From crop coordinates, [-1, 1] from edge to edge, to photo pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class Person:
    """One person in a photo. Camera frame: x right, y down, z forward; metres."""

    body: BodyModelData
    """The body that pose and shape belong to."""
    theta: Float[np.ndarray, "85"]
    """The paper's state: camera of the crop (s, tx, ty), pose 24 x 3 axis-angle (radians), shape 10."""
    rotations: Float[np.ndarray, "24 3 3"]
    """Each joint in its parent's frame; the first takes the body to the camera frame."""
    translation: Float[np.ndarray, "3"]
    """Metres: vertices = body(pose, shape).vertices + translation."""
    vertices: Float[np.ndarray, "vertices 3"]
    """Metres, camera frame of the photo."""
    joints: Float[np.ndarray, "24 3"]
    """SMPL's 24 joints; metres, camera frame of the photo."""
    box: Float[np.ndarray, "4"]
    """x0, y0, x1, y1 in photo pixels: the box that was given, or one round the recovered body."""
    score: float
    """In [0, 1]: mean height of the peaks of the network's keypoint heat maps (hidden keypoints lower it);
    the person finder's score where the network has no heat maps."""
    camera: PhotoCamera
    """The photo's camera."""
    weak_camera: CropCamera
    """The crop's camera."""
    photo_size: tuple[int, int]
    """Width and height in pixels."""
    body_scale: float = 1.0
    """Size of `body` in units of the body of that name; not 1 where a height was given."""
    camera_pitch: float = 0.0
    """Radians by which the photo's camera looks down if people who stand are upright; found by `upright`, else 0. GLB, BVH, OBJ and PLY
    files are turned by it. It is the camera's own pitch only as far as they are in the middle of the photo."""

    def __repr__(self) -> str:
        x0, y0, x1, y1 = self.box.tolist()
        return f"Person(box=({x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f}), score={self.score:.2f}, body={self.body.name!r})"

    @cached_property
    def faces(self) -> np.ndarray:
        """(F, 3) rows of `vertices`, counter-clockwise seen from outside."""
        return self.body.faces.cpu().numpy()

    @property
    def pose(self) -> Float[np.ndarray, "72"]:
        """Axis-angle of the 24 joints, radians; the first is the global rotation."""
        return self.theta[3:75]

    @property
    def shape(self) -> Float[np.ndarray, "10"]:
        """Standard deviations."""
        return self.theta[75:]

    @property
    def trust(self) -> float:
        """The score; 1 where nothing measured it."""
        return 1.0 if math.isnan(self.score) else self.score

    @property
    def level_vertices(self) -> Float[np.ndarray, "vertices 3"]:
        """The vertices turned by `camera_pitch`: metres, y down."""
        return self.vertices @ level_from_camera(self.camera_pitch).numpy().T

    @cached_property
    def measurements(self) -> Measurements:
        """Height, girths and the like of this person's body in its rest pose (metres)."""
        return measure(self.body, torch.from_numpy(self.shape))

    def scaled_to_height(self, height: float) -> "Person":
        """The same picture of a body that is `height` metres tall.

        Everything grows alike about the camera's centre, the body and its distance; pose and shape stay.

        Raises:
            BadInputError: where nobody is that tall.
        """
        least, most = BODY_HEIGHTS
        if not least <= height <= most:
            found = f"{height:g} metres"
            raise BadInputError("Height", found, f"Give metres between {least} and {most}, such as 1.75.")
        return self.scaled(height / self.measurements.height)

    def scaled(self, factor: float) -> "Person":
        """The same picture of a body `factor` times as large, that many times as far away; pose and shape stay."""
        scale, translation = self.weak_camera.scale / factor, self.weak_camera.translation
        moved = (translation[0] * factor, translation[1] * factor)
        return replace(
            self,
            body=self.body.scaled(factor),
            body_scale=self.body_scale * factor,
            theta=np.concatenate([[scale, *moved], self.theta[3:]]).astype(np.float32),
            translation=factor * self.translation,
            vertices=factor * self.vertices,
            joints=factor * self.joints,
            weak_camera=replace(self.weak_camera, scale=scale, translation=moved),
        )

    def keypoints_3d(self, name: str) -> Float[np.ndarray, "keypoints 3"]:
        """A keypoint set by name ("lsp14", "coco17", "h36m17", "smpl24", ...); metres, camera frame.

        Raises:
            UnknownNameError: listing the sets that exist.
        """
        if name == "smpl24":
            return self.joints
        if name not in self.body.keypoint_regressors:
            raise UnknownNameError("keypoint set", name, self.keypoint_sets)
        return self.body.keypoint_regressors[name].cpu().numpy() @ self.vertices

    def keypoints_2d(self, name: str) -> Float[np.ndarray, "keypoints 2"]:
        """The same keypoints in photo pixels.

        Raises:
            UnknownNameError: listing the sets that exist.
        """
        return self.camera.project(self.keypoints_3d(name))

    @property
    def keypoint_sets(self) -> list[str]:
        """Names that `keypoints_2d` and `keypoints_3d` know for this body."""
        return [name for name in SKELETONS if name == "smpl24" or name in self.body.keypoint_regressors]

    def save(self, path: str | Path, rig: str = "smpl", *, part_colors: bool = False) -> None:
        """Write a file in the format of its suffix: .glb .obj .ply .npz .json .bvh; whole or not at all.

        Args:
            path: the file.
            rig: whose names the bones of GLB and BVH carry: "smpl", "mixamo", "unity", "ue4" or "ue5".
            part_colors: whether a GLB shows each of the 24 parts in a colour of its own.

        Raises:
            UnknownNameError: where nobody knows the suffix or the rig.
            BadInputError: where the file cannot be written.
        """
        record = replace(self.record(), bones=bone_names(rig), has_part_colors=part_colors)
        meshes.save_person(path, record)

    def record(self) -> meshes.PersonRecord:
        """All that files hold about the person."""
        return meshes.PersonRecord(
            body=self.body,
            theta=self.theta,
            rotations=self.rotations,
            translation=self.translation,
            vertices=self.vertices,
            joints=self.joints,
            keypoints_2d={name: self.keypoints_2d(name) for name in self.keypoint_sets},
            keypoints_3d={name: self.keypoints_3d(name) for name in self.keypoint_sets},
            focal_length=self.camera.focal_length,
            principal_point=self.camera.principal_point,
            pixel_aspect=self.camera.pixel_aspect,
            body_scale=self.body_scale,
            camera_pitch=self.camera_pitch,
            photo_size=self.photo_size,
            photo_from_crop=self.weak_camera.photo_from_crop,
            box=self.box,
            score=self.score,
        )


def upright(people: Sequence[Person]) -> list[Person]:
    """The people of one photo, whose mesh files are to stand in the room instead of before the camera.

    They are turned so that who stands in the photo is upright (`body.standing.pitch_from_standing`). Where nobody does, nothing changes.
    """
    if not people:
        return []
    joints = np.stack([person.joints / person.body_scale for person in people])
    pitch = pitch_from_standing(torch.from_numpy(joints), torch.tensor([person.trust for person in people]))
    return list(people) if pitch is None else [replace(person, camera_pitch=pitch) for person in people]


def box_of_points(points: Float[np.ndarray, "points 2"], size: tuple[int, int]) -> Float[np.ndarray, "4"]:
    """Smallest box round the points, cut at the photo's edges."""
    corners = np.concatenate([points.min(0), points.max(0)])
    return corners.clip(0, np.array([*size, *size], np.float32)).astype(np.float32)
