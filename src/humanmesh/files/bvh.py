"""Biovision hierarchy (BVH): a skeleton with this person's bone lengths and a motion; metres, y up.

The rest pose is the body's T. The root carries position and rotation, every other joint a rotation; angles in
degrees, in the order z, y, x: a joint's turn is Rz Ry Rx.
"""

import itertools
from pathlib import Path

import numpy as np

from humanmesh.files.rigs import FRAME_TIME, Rig, evenly_timed
from humanmesh.files.writing import whole_file

_ROTATION_CHANNELS = "Zrotation Yrotation Xrotation"


def write_bvh(path: Path | str, rig: Rig) -> None:
    """Skeleton and motion of the rig, in even steps of time.

    Raises:
        BadInputError: where the file cannot be written.
    """
    rig = evenly_timed(rig)
    frame_time = np.diff(rig.times).mean() if len(rig.times) > 1 else FRAME_TIME
    lines = ["HIERARCHY", *_joint_lines(rig, 0, 0), "MOTION"]
    lines += [f"Frames: {len(rig.rotations)}", f"Frame Time: {frame_time:.8f}"]
    angles = _without_jumps(zyx_angles(rig.rotations.astype(np.float64)))
    degrees = np.degrees(angles)[:, _file_order(rig.parents)]
    rows = np.concatenate([rig.root_positions, degrees.reshape(len(degrees), -1)], 1)
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    with whole_file(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="ascii")


def zyx_angles(rotations: np.ndarray) -> np.ndarray:
    """Angles (z, y, x) in radians with R = Rz Ry Rx, y between -pi / 2 and pi / 2.

    y and x are those of Rz^T R, so that they make up for what of z is uncertain where y is nearly a right angle.
    """
    z = np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0])
    cosine, sine = np.cos(z), np.sin(z)
    y = np.arctan2(-rotations[..., 2, 0], cosine * rotations[..., 0, 0] + sine * rotations[..., 1, 0])
    x = np.arctan2(
        sine * rotations[..., 0, 2] - cosine * rotations[..., 1, 2],
        cosine * rotations[..., 1, 1] - sine * rotations[..., 0, 1],
    )
    return np.stack([z, y, x], -1)


def _without_jumps(angles: np.ndarray) -> np.ndarray:
    """(frames, joints, 3) of the same turns, each as near as can be to the frame before.

    Programs interpolate every angle by itself: between 179 and -179 degrees they would turn the body once round.
    """
    steady = angles.copy()
    for before, now in itertools.pairwise(steady):
        ways = np.stack([now, now * [1, -1, 1] + np.pi])  # Rz Ry Rx is the same for z + pi, pi - y, x + pi
        ways += 2 * np.pi * np.round((before - ways) / (2 * np.pi))
        distances = abs(ways - before).sum(-1, keepdims=True)
        now[:] = np.where(distances[0] <= distances[1], ways[0], ways[1])
    return steady


def _children(parents: tuple[int, ...], row: int) -> list[int]:
    return [child for child, parent in enumerate(parents) if parent == row]


def _file_order(parents: tuple[int, ...], row: int = 0) -> list[int]:
    """Joints as a BVH file lists them: each joint's whole branch before the next joint."""
    return [row] + [below for child in _children(parents, row) for below in _file_order(parents, child)]


def _joint_lines(rig: Rig, row: int, depth: int) -> list[str]:
    indent = "  " * depth
    parent = rig.parents[row]
    offset = np.zeros(3) if parent < 0 else rig.rest_joints[row] - rig.rest_joints[parent]
    channels = f"3 {_ROTATION_CHANNELS}"
    if parent < 0:
        channels = f"6 Xposition Yposition Zposition {_ROTATION_CHANNELS}"
    lines = [
        f"{indent}{'ROOT' if parent < 0 else 'JOINT'} {rig.names[row]}",
        f"{indent}{{",
        f"{indent}  OFFSET {_numbers(offset)}",
        f"{indent}  CHANNELS {channels}",
    ]
    children = _children(rig.parents, row)
    for child in children:
        lines += _joint_lines(rig, child, depth + 1)
    if not children:
        end = _tip(rig, row) - rig.rest_joints[row]
        lines += [
            f"{indent}  End Site",
            f"{indent}  {{",
            f"{indent}    OFFSET {_numbers(end)}",
            f"{indent}  }}",
        ]
    return [*lines, f"{indent}}}"]


def _tip(rig: Rig, row: int) -> np.ndarray:
    """Where the last bone of a limb ends: the farthest vertex that follows it (finger tips, toes, crown)."""
    own = rig.rest_vertices[rig.skinning_weights.argmax(1) == row]
    if len(own) == 0:
        return rig.rest_joints[row] + np.array([0, 0.1, 0])
    distances = np.linalg.norm(own - rig.rest_joints[row], axis=1)
    return own[distances.argmax()]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
