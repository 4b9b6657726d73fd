"""A person as animation programs see one: a mesh in its rest pose, bones with names, and their turns.

Mesh files have y up, x to the person's left where the person faces +z (glTF's frame): the photo's camera frame (y down, z forward) turned by
180 degrees about x. The camera sits at the origin and looks along -z, tilted down by its pitch where that is known.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.cameras import level_from_camera
from humanmesh.geometry.smoothing import interpolate_rotations, interpolate_vectors

FRAME_TIME = 1 / 30
"""Seconds from frame to frame where nothing says how many."""
_UNEVEN = 1e-3
"""Share of a frame's time by which frames may miss an even rhythm."""


def y_up_from_camera(pitch: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """From the frame of a camera (y down, z forward) that looks down by `pitch` (radians) to the frame of mesh files (y up)."""
    return np.diag([1, -1, -1]).astype(np.float32) @ level_from_camera(pitch).numpy()


@dataclass(frozen=True)
class Rig:
    """One person in the rest pose, and a motion of one or more frames."""

    names: tuple[str, ...]
    """Name of each joint."""
    parents: tuple[int, ...]
    """Parent row of each joint; -1 for the root."""
    rest_vertices: Float[np.ndarray, "vertices 3"]
    """Metres, body frame, this person's shape, without pose correctives."""
    rest_joints: Float[np.ndarray, "24 3"]
    """Metres, body frame."""
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside."""
    skinning_weights: Float[np.ndarray, "vertices 24"]
    """Rows sum to one."""
    rotations: Float[np.ndarray, "frames 24 3 3"]
    """Turn of each joint relative to its parent; the root's into the y-up frame."""
    root_positions: Float[np.ndarray, "frames 3"]
    """Metres, y-up frame."""
    times: Float[np.ndarray, "frames"]
    """Seconds, increasing."""
    pose_correctives: Float[np.ndarray, "vertices 3"] | None = None
    """Metres to add to the rest vertices for the pose of the only frame; None for a motion, and where the body has none."""
    has_part_colors: bool = False
    """Whether each of the 24 parts has a colour of its own."""


def rig_of_body(
    body: BodyModelData,
    rotations: Float[np.ndarray, "frames 24 3 3"],
    shape: Float[np.ndarray, "shapes"],
    translation: Float[np.ndarray, "frames 3"],
    times: Float[np.ndarray, "frames"] | None = None,
    camera_pitch: float = 0.0,
) -> Rig:
    """The rig of a body whose global rotation and translation (metres) are given in the camera frame.

    Args:
        body: whose rest pose the bones stand in.
        rotations: of each joint in its parent's frame.
        shape: standard deviations.
        translation: metres, added to the posed body.
        times: of the frames, seconds; `FRAME_TIME` apart where None.
        camera_pitch: radians by which the camera looks down.
    """
    y_up = y_up_from_camera(camera_pitch)
    data = body.to(dtype=torch.float32, device="cpu")
    rest_vertices = data.rest_vertices(torch.as_tensor(shape)[None])[0]
    rest_joints = (data.joint_regressor @ rest_vertices).numpy()
    turned = rotations.copy()
    turned[:, 0] = y_up @ rotations[:, 0]
    return Rig(
        names=SMPL_24.joints,
        parents=data.parents,
        rest_vertices=rest_vertices.numpy(),
        rest_joints=rest_joints,
        faces=data.faces.numpy(),
        skinning_weights=data.skinning_weights.numpy(),
        rotations=turned,
        root_positions=(rest_joints[0] + translation) @ y_up.T,
        times=FRAME_TIME * np.arange(len(rotations), dtype=np.float64) if times is None else times,
        pose_correctives=_pose_correctives(data, rotations[0]) if len(rotations) == 1 else None,
    )


def evenly_timed(rig: Rig) -> Rig:
    """The same motion with as many frames, evenly spread over its time, for formats that know no other."""
    if len(rig.times) < 3:
        return rig
    even = np.linspace(rig.times[0], rig.times[-1], len(rig.times))
    if abs(rig.times - even).max() <= _UNEVEN * (even[1] - even[0]):
        return rig
    times, moments = torch.from_numpy(rig.times), torch.from_numpy(even)
    rotations = interpolate_rotations(times, torch.from_numpy(rig.rotations), moments)
    positions = interpolate_vectors(times, torch.from_numpy(rig.root_positions), moments)
    return replace(rig, rotations=rotations.numpy(), root_positions=positions.numpy(), times=even)


def _pose_correctives(
    data: BodyModelData, rotations: Float[np.ndarray, "24 3 3"]
) -> Float[np.ndarray, "vertices 3"] | None:
    if data.pose_directions is None:
        return None
    features = (rotations[1:] - np.eye(3, dtype=np.float32)).reshape(-1)
    return (data.pose_directions @ torch.as_tensor(features)).numpy()


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals, each the mean of its faces' weighted by their area; straight up where a vertex has no face."""
    corners = vertices[faces].astype(np.float64)
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros(vertices.shape)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], areas)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    return np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), up).astype(np.float32)
