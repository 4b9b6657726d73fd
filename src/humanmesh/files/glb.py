"""glTF 2.0 in one binary file (GLB), with a skeleton that programs can pose.

Written out by hand from the Khronos specification: trimesh writes no skins.
"""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humanmesh.files.rigs import FRAME_TIME, Rig, vertex_normals
from humanmesh.files.writing import whole_file
from humanmesh.geometry.rotations import matrix_to_quaternion
from humanmesh.render.shading import part_colors

_FLOAT, _BYTE, _SHORT, _INT = 5126, 5121, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_COMPONENTS = {"f4": _FLOAT, "u1": _BYTE, "u2": _SHORT, "u4": _INT}
_MATERIAL = {
    "name": "body",
    "pbrMetallicRoughness": {
        "baseColorFactor": [0.62, 0.68, 0.76, 1.0],
        "metallicFactor": 0.0,
        "roughnessFactor": 0.75,
    },
}
_WHITE = [1.0, 1.0, 1.0, 1.0]
"""What the colours of the parts are multiplied by."""
_SKIN_JOINTS = 4
"""Joints that one vertex may follow: what every engine can play."""


class _Buffer:
    """The binary half of the file, with the accessors that describe it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, kind: str, target: int | None = None) -> int:
        """Append an array of elements of a glTF type and return the number of its accessor."""
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": little.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        self.data += little.tobytes()
        self.data += bytes(-len(self.data) % 4)
        self.accessors.append({
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENTS[little.dtype.str[1:]],
            "count": len(little),
            "type": kind,
        })
        return len(self.accessors) - 1

    def add_bounded(self, array: np.ndarray, kind: str, target: int | None = None) -> int:
        """The same, with the smallest and the largest values, which positions and times must have."""
        number = self.add(array, kind, target)
        rows = array.reshape(len(array), -1)
        self.accessors[number] |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        return number


def write_glb(
    path: Path | str, rigs: Sequence[Rig], camera: dict[str, Any] | None = None, camera_pitch: float = 0.0
) -> None:
    """Skinned meshes of 24 named joints in their poses, or in motion where a rig has several frames; metres, y up.

    Whoever is not there all the time is scaled to nothing before and after.

    Args:
        path: the file, whole or not at all.
        rigs: the people, at least one.
        camera: a glTF camera to put at the origin, as `photo_camera` makes it.
        camera_pitch: radians by which it looks down.

    Raises:
        BadInputError: where the file cannot be written.
    """
    buffer = _Buffer()
    nodes: list[dict[str, Any]] = []
    roots = []
    for number, rig in enumerate(rigs):
        first = len(nodes)
        nodes += _joint_nodes(rig, first)
        roots += [len(nodes), len(nodes) + 1]
        nodes.append({"name": _name("person", number), "mesh": number, "skin": number})
        # A parent of its own for each skeleton: Blender makes one armature of all that share theirs.
        nodes.append({"name": _name("rig", number), "children": [first]})
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "humanmesh"},
        "scene": 0,
        "meshes": [_mesh(rig, _name("person", number), buffer) for number, rig in enumerate(rigs)],
        "materials": [_material(rigs)],
        "skins": [_skin(rig, number, buffer) for number, rig in enumerate(rigs)],
    }
    if camera is not None:
        document["cameras"] = [camera]
        roots.append(len(nodes))
        turn = [-math.sin(camera_pitch / 2), 0.0, 0.0, math.cos(camera_pitch / 2)]
        node: dict[str, Any] = {"name": "photo_camera", "camera": 0}
        nodes.append(node | {"rotation": turn} if camera_pitch else node)
    if any(len(rig.times) > 1 for rig in rigs):
        document["animations"] = [_animation(rigs, buffer)]
    document |= {
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "buffers": [{"byteLength": len(buffer.data)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    with whole_file(path) as beside:
        beside.write_bytes(_container(document, bytes(buffer.data)))


def _material(rigs: Sequence[Rig]) -> dict[str, Any]:
    if not any(rig.has_part_colors for rig in rigs):
        return _MATERIAL
    return _MATERIAL | {
        "pbrMetallicRoughness": _MATERIAL["pbrMetallicRoughness"] | {"baseColorFactor": _WHITE}
    }


def _name(what: str, number: int) -> str:
    return what if number == 0 else f"{what}_{number + 1}"


def _first_node(rig: Rig, number: int) -> int:
    """The root joint of the person of that number; everybody has the same joints, then a mesh and a parent."""
    return number * (len(rig.names) + 2)


def photo_camera(focal_length: float, width: int, height: int, pixel_aspect: float = 1.0) -> dict[str, Any]:
    """The glTF camera that sees what the photo's did, where the principal point is the middle of the photo.

    Args:
        focal_length: pixels in x.
        width: pixels.
        height: pixels.
        pixel_aspect: focal length in y over that in x.
    """
    return {
        "type": "perspective",
        "perspective": {
            "yfov": 2 * math.atan2(height / 2, focal_length * pixel_aspect),
            "aspectRatio": pixel_aspect * width / height,
            "znear": 0.01,
            "zfar": 1000.0,
        },
    }


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Header and two chunks, each filled up to a multiple of four bytes (glTF 2.0, section 4.4)."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<4sII", b"glTF", 2, total)
    return (
        head
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(binary), b"BIN\0")
        + binary
    )


def _mesh(rig: Rig, name: str, buffer: _Buffer) -> dict[str, Any]:
    joints, weights = _four_weights(rig.skinning_weights)
    index_type = np.uint16 if len(rig.rest_vertices) < 65535 else np.uint32
    vertices = rig.rest_vertices.astype(np.float32)
    attributes = {
        "POSITION": buffer.add_bounded(vertices, "VEC3", _VERTICES),
        "NORMAL": buffer.add(vertex_normals(vertices, rig.faces), "VEC3", _VERTICES),
        "JOINTS_0": buffer.add(joints, "VEC4", _VERTICES),
        "WEIGHTS_0": buffer.add(weights, "VEC4", _VERTICES),
    }
    if rig.has_part_colors:
        attributes["COLOR_0"] = buffer.add(_colors_of_parts(rig.skinning_weights), "VEC3", _VERTICES)
    indices = buffer.add(rig.faces.reshape(-1).astype(index_type), "SCALAR", _INDICES)
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": 0}
    if rig.pose_correctives is None:
        return {"name": name, "primitives": [primitive]}
    offsets = rig.pose_correctives.astype(np.float32)
    primitive["targets"] = [{"POSITION": buffer.add_bounded(offsets, "VEC3", _VERTICES)}]
    names = {"targetNames": ["pose_correctives"]}
    return {"name": name, "primitives": [primitive], "weights": [1.0], "extras": names}


def _colors_of_parts(weights: np.ndarray) -> np.ndarray:
    """(vertices, 3) linear RGB, as glTF wants it, of the part that each vertex follows most."""
    colors = part_colors(weights.shape[1]).numpy()[weights.argmax(1)]
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _four_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The heaviest joints of each vertex and their shares, which sum to one; unused places are joint 0 with share 0."""
    rows = np.arange(len(weights))[:, None]
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :_SKIN_JOINTS]
    shares = weights[rows, joints].astype(np.float64).clip(0)
    shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return np.where(shares > 0, joints, 0).astype(np.uint8), shares


def _skin(rig: Rig, number: int, buffer: _Buffer) -> dict[str, Any]:
    """The skin of the person of that number."""
    count = len(rig.names)
    first = _first_node(rig, number)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    inverse_bind[:, :3, 3] = -rig.rest_joints
    columns = inverse_bind.transpose(0, 2, 1).reshape(count, 16)  # glTF stores matrices column by column
    return {
        "name": _name("smpl24", number),
        "inverseBindMatrices": buffer.add(columns, "MAT4"),
        "skeleton": first,
        "joints": list(range(first, first + count)),
    }


def _joint_nodes(rig: Rig, first: int) -> list[dict[str, Any]]:
    """One node a joint, in the order of the joints, in the pose of the first frame; `first` is the root's number."""
    quaternions = _quaternions(rig.rotations)[0]
    nodes: list[dict[str, Any]] = []
    for row, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        offset = rig.root_positions[0] if parent < 0 else rig.rest_joints[row] - rig.rest_joints[parent]
        node = {"name": name, "translation": offset.tolist(), "rotation": quaternions[row].tolist()}
        children = [first + child for child, its_parent in enumerate(rig.parents) if its_parent == row]
        nodes.append(node | {"children": children} if children else node)
    return nodes


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """(frames, joints, 4) as glTF orders them (x, y, z, w), without jumps of sign from frame to frame."""
    wxyz = matrix_to_quaternion(torch.as_tensor(rotations)).numpy()
    turns_over = (wxyz[1:] * wxyz[:-1]).sum(-1, keepdims=True) < 0
    signs = np.where(turns_over, -1, 1).cumprod(axis=0)
    wxyz[1:] *= signs.astype(wxyz.dtype)
    return wxyz[..., [1, 2, 3, 0]].astype(np.float32)


def _animation(rigs: Sequence[Rig], buffer: _Buffer) -> dict[str, Any]:
    """Everybody's motion on one time line that begins with the first frame of all."""
    start, end = min(rig.times[0] for rig in rigs), max(rig.times[-1] for rig in rigs)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def move(node: int, path: str, sampler: dict[str, Any]) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append(sampler)

    for number, rig in enumerate(rigs):
        root = _first_node(rig, number)
        times = buffer.add_bounded((rig.times - start).astype(np.float32), "SCALAR")
        quaternions = _quaternions(rig.rotations)
        positions = buffer.add(rig.root_positions.astype(np.float32), "VEC3")
        move(root, "translation", {"input": times, "output": positions})
        for row in range(len(rig.names)):
            move(root + row, "rotation", {"input": times, "output": buffer.add(quaternions[:, row], "VEC4")})
        if rig.times[0] > start or rig.times[-1] < end:
            move(root, "scale", _presence(rig, start, end, buffer))
    return {"name": "motion", "samplers": samplers, "channels": channels}


def _presence(rig: Rig, start: float, end: float, buffer: _Buffer) -> dict[str, Any]:
    """A sampler that is 1 from the first to the last frame of the rig and 0 elsewhere between start and end."""
    steps = {0.0: 0.0, rig.times[0] - start: 1.0}
    if rig.times[-1] < end:
        usual = np.diff(rig.times).mean() if len(rig.times) > 1 else FRAME_TIME
        steps[min(rig.times[-1] + usual, end) - start] = 0.0
    times = buffer.add_bounded(np.array(list(steps), np.float32), "SCALAR")
    scales = np.repeat(np.array(list(steps.values()), np.float32)[:, None], 3, axis=1)
    return {"input": times, "output": buffer.add(scales, "VEC3"), "interpolation": "STEP"}
