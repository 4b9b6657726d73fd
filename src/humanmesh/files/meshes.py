"""One recovered person as a file: the suffix says which. Fields, units and frames stand in docs/outputs.md."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SKELETONS, SMPL_24
from humanmesh.errors import UnknownNameError
from humanmesh.files.bvh import write_bvh
from humanmesh.files.glb import photo_camera, write_glb
from humanmesh.files.rigs import Rig, rig_of_body, y_up_from_camera
from humanmesh.files.writing import whole_file

PERSON_FORMAT = "humanmesh-person-1"
"""Version of the fields of JSON and NPZ files; it changes when a field changes its meaning or goes away."""


@dataclass(frozen=True)
class PersonRecord:
    """All that a file can hold about one person. Frame: the photo's camera (x right, y down, z forward)."""

    body: BodyModelData
    """The body that pose and shape belong to."""
    theta: Float[np.ndarray, "85"]
    """The paper's state: camera of the crop (s, tx, ty), pose (72 numbers, axis-angle), shape (10)."""
    rotations: Float[np.ndarray, "24 3 3"]
    """Each joint in its parent's frame; the first takes the body to the camera frame."""
    translation: Float[np.ndarray, "3"]
    """Metres, added to the posed body: vertices = body(pose, shape) + translation."""
    vertices: Float[np.ndarray, "vertices 3"]
    """Metres, camera frame."""
    joints: Float[np.ndarray, "24 3"]
    """Metres, camera frame, SMPL's 24."""
    keypoints_2d: dict[str, np.ndarray]
    """Name of the set -> (K, 2) photo pixels."""
    keypoints_3d: dict[str, np.ndarray]
    """Name of the set -> (K, 3) metres, camera frame."""
    focal_length: float
    """Pixels."""
    principal_point: tuple[float, float]
    """Pixels from the upper left corner."""
    photo_size: tuple[int, int]
    """Width and height in pixels."""
    photo_from_crop: Float[np.ndarray, "3 3"]
    """From crop coordinates, [-1, 1] from edge to edge, to photo pixels."""
    box: Float[np.ndarray, "4"]
    """x0, y0, x1, y1 in photo pixels."""
    score: float
    """In [0, 1]; NaN (null in JSON) where nothing measured it."""
    pixel_aspect: float = 1.0
    """Focal length in y over that in x."""
    body_scale: float = 1.0
    """Size of `body` in units of the body of that name."""
    camera_pitch: float = 0.0
    """Radians by which the camera looks down; mesh files are turned by it, so that people who stand are upright."""
    bones: tuple[str, ...] = SMPL_24.joints
    """Names of the 24 joints in GLB and BVH files (`files.rig_names`)."""
    has_part_colors: bool = False
    """Whether a GLB shows each of the 24 parts in a colour of its own."""

    @property
    def pose(self) -> Float[np.ndarray, "72"]:
        """Axis-angle of the 24 joints, radians."""
        return self.theta[3:75]

    @property
    def shape(self) -> Float[np.ndarray, "10"]:
        """Standard deviations."""
        return self.theta[75:]

    def rig(self) -> Rig:
        """The person as animation programs see one, y up."""
        rig = rig_of_body(
            self.body,
            self.rotations[None],
            self.shape,
            self.translation[None],
            camera_pitch=self.camera_pitch,
        )
        return replace(rig, names=self.bones, has_part_colors=self.has_part_colors)


def save_person(path: Path | str, person: PersonRecord) -> None:
    """Write the person in the format of the suffix, whole or not at all.

    Raises:
        UnknownNameError: where nobody knows the suffix, listing those that exist.
        BadInputError: where the file cannot be written.
    """
    writer_of(Path(path).suffix)(path, person)


def writer_of(suffix: str) -> Callable[[Path | str, PersonRecord], None]:
    """The function that writes files of that suffix, with or without its dot.

    Raises:
        UnknownNameError: listing the suffixes that exist.
    """
    name = suffix.lower().removeprefix(".")
    if name not in WRITERS:
        raise UnknownNameError("output format", name, list(WRITERS))
    return WRITERS[name]


def _save_glb(path: Path | str, person: PersonRecord) -> None:
    camera = photo_camera(person.focal_length, *person.photo_size, person.pixel_aspect)
    write_glb(path, [person.rig()], camera, person.camera_pitch)


def _save_bvh(path: Path | str, person: PersonRecord) -> None:
    write_bvh(path, person.rig())


def _save_triangles(path: Path | str, person: PersonRecord) -> None:
    import trimesh

    vertices = person.vertices @ y_up_from_camera(person.camera_pitch).T
    mesh = trimesh.Trimesh(vertices, person.body.faces.cpu().numpy(), process=False)
    stream = io.BytesIO()
    mesh.export(stream, file_type=Path(path).suffix.lower().removeprefix("."))
    with whole_file(path) as beside:
        beside.write_bytes(stream.getvalue())


def _save_npz(path: Path | str, person: PersonRecord) -> None:
    with whole_file(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **arrays_of(person))  # pyright: ignore[reportArgumentType]


def _save_json(path: Path | str, person: PersonRecord) -> None:
    text = json.dumps(fields_of(person), indent=1, allow_nan=False)
    with whole_file(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


WRITERS: dict[str, Callable[[Path | str, PersonRecord], None]] = {
    "glb": _save_glb,
    "npz": _save_npz,
    "json": _save_json,
    "obj": _save_triangles,
    "ply": _save_triangles,
    "bvh": _save_bvh,
}


def arrays_of(person: PersonRecord) -> dict[str, np.ndarray]:
    """The fields of an NPZ file: everything as float32 arrays, with the names that SMPL users know among them."""
    sets = {f"keypoints_2d_{name}": value for name, value in person.keypoints_2d.items()}
    sets |= {f"keypoints_3d_{name}": value for name, value in person.keypoints_3d.items()}
    return {
        "format": np.array(PERSON_FORMAT),
        "body": np.array(person.body.name),
        "poses": person.pose[None],
        "betas": person.shape,
        "trans": person.translation[None],
        "theta": person.theta,
        "rotations": person.rotations,
        "vertices": person.vertices,
        "faces": person.body.faces.cpu().numpy().astype(np.int32),
        "joints": person.joints,
        "joint_names": np.array(SMPL_24.joints),
        "joint_parents": np.array(person.body.parents, dtype=np.int32),
        "focal_length": np.array(person.focal_length, np.float32),
        "principal_point": np.array(person.principal_point, np.float32),
        "pixel_aspect": np.array(person.pixel_aspect, np.float32),
        "camera_pitch": np.array(person.camera_pitch, np.float32),
        "body_scale": np.array(person.body_scale, np.float32),
        "photo_size": np.array(person.photo_size, np.int32),
        "photo_from_crop": person.photo_from_crop,
        "box": person.box,
        "score": np.array(person.score, np.float32),
        **sets,
    }


def fields_of(person: PersonRecord) -> dict[str, Any]:
    """The content of a JSON file: all but the mesh, with names, units and frames beside the numbers."""
    scale, tx, ty = person.theta[:3].tolist()
    return {
        "format": PERSON_FORMAT,
        "units": {"length": "metre", "angle": "radian", "photo": "pixel", "shape": "standard deviation"},
        "frame": "photo camera: x right, y down, z forward; body: y up, x to the person's left, z forward",
        "body": person.body.name,
        "body_scale": person.body_scale,
        "score": None if math.isnan(person.score) else person.score,
        "box": person.box.tolist(),
        "photo": {"width": person.photo_size[0], "height": person.photo_size[1]},
        "camera": {
            "focal_length": person.focal_length,
            "principal_point": list(person.principal_point),
            "pixel_aspect": person.pixel_aspect,
            "pitch": person.camera_pitch,
        },
        "weak_camera": {
            "scale": scale,
            "translation": [tx, ty],
            "photo_from_crop": person.photo_from_crop.tolist(),
        },
        "theta": person.theta.tolist(),
        "pose": dict(zip(SMPL_24.joints, person.pose.reshape(24, 3).tolist(), strict=True)),
        "shape": person.shape.tolist(),
        "translation": person.translation.tolist(),
        "joints": dict(zip(SMPL_24.joints, person.joints.tolist(), strict=True)),
        "keypoints_2d": _by_joint(person.keypoints_2d),
        "keypoints_3d": _by_joint(person.keypoints_3d),
    }


def _by_joint(sets: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    return {
        name: dict(zip(SKELETONS[name].joints, values.tolist(), strict=True)) for name, values in sets.items()
    }
