"""Readers of GLB and BVH by their specifications alone, and Khronos' validator: what the files we write are held against."""

import copy
import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp


class Glb:
    """A reader of its own, by the specification alone."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        text_length, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        self.document = json.loads(content[20 : 20 + text_length])
        self.binary = content[28 + text_length :]

    def array(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5121: "u1", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        count = accessor["count"] * width
        return np.frombuffer(self.binary, kind, count, view["byteOffset"]).reshape(-1, width)

    def at(self, time: float) -> "Glb":
        """The same file with the nodes where the animation has them at a time: linear and slerp, or in steps."""
        moved = copy.deepcopy(self)
        animation = self.document["animations"][0]
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self.array(sampler["input"])[:, 0], self.array(sampler["output"])
            before = max(int(np.searchsorted(times, time + 1e-6, side="right")) - 1, 0)
            after = min(before + 1, len(times) - 1)
            share = np.clip((time - times[before]) / max(times[after] - times[before], 1e-9), 0, 1)
            if sampler.get("interpolation", "LINEAR") == "STEP":
                share = 0
            path = channel["target"]["path"]
            if path == "rotation":
                ends = Rotation.from_quat(values[[before, after]])
                value = Slerp([0, 1], ends)(share).as_quat()
            else:
                value = values[before] + share * (values[after] - values[before])
            moved.document["nodes"][channel["target"]["node"]][path] = value.tolist()
        return moved

    def world(self, skin: int = 0) -> list[np.ndarray]:
        """The matrix of every joint's node."""
        nodes = self.document["nodes"]
        worlds: dict[int, np.ndarray] = {}

        def walk(number: int, parent: np.ndarray) -> None:
            node = nodes[number]
            own = np.eye(4)
            if "translation" in node:
                own[:3, 3] = node["translation"]
                own[:3, :3] = Rotation.from_quat(node["rotation"]).as_matrix() * node.get("scale", [1, 1, 1])
            worlds[number] = parent @ own
            for child in node.get("children", []):
                walk(child, worlds[number])

        for root in self.document["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        return [worlds[joint] for joint in self.document["skins"][skin]["joints"]]

    def skinned_vertices(self) -> np.ndarray:
        primitive = self.document["meshes"][0]["primitives"][0]
        attributes = primitive["attributes"]
        rest = self.array(attributes["POSITION"]).astype(np.float64)
        for target in primitive.get("targets", []):
            rest = rest + self.array(target["POSITION"])
        inverse_bind = self.array(self.document["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4)
        matrices = np.stack(self.world()) @ inverse_bind.transpose(0, 2, 1)
        joints, shares = self.array(attributes["JOINTS_0"]), self.array(attributes["WEIGHTS_0"])
        blended = (matrices[joints] * shares[..., None, None]).sum(1)
        return (blended[:, :3, :3] @ rest[..., None])[..., 0] + blended[:, :3, 3]


def khronos_report(path: Path) -> dict:
    """What Khronos' gltf-validator (npm, found through NODE_PATH) says; skips where it is not installed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    script = """
        let validator;
        try { validator = require('gltf-validator'); } catch { process.exit(77); }
        const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
        validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report)));
    """
    result = subprocess.run([node, "-e", script, str(path)], capture_output=True, text=True, check=False)
    if result.returncode == 77:
        pytest.skip(
            "needs the npm package gltf-validator (npm install gltf-validator; NODE_PATH=node_modules)"
        )
    return json.loads(result.stdout)


def read_bvh(path: Path) -> tuple[list[str], np.ndarray, float]:
    """Names, (frames, joints, 3) positions and frame time, by a reader of its own: a stack of matrices."""
    words = iter(path.read_text().split())
    names: list[str] = []
    parents: list[int | None] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    for word in words:
        if word in {"ROOT", "JOINT", "End"}:
            names.append(next(words) if word != "End" else f"end of {names[stack[-1]]}")
            parents.append(stack[-1] if stack else None)
            channels.append([])
            stack.append(len(names) - 1)
        elif word == "OFFSET":
            offsets.append([float(next(words)) for _ in range(3)])
        elif word == "CHANNELS":
            channels[-1] = [next(words) for _ in range(int(next(words)))]
        elif word == "}":
            stack.pop()
        elif word == "MOTION":
            break
    rest = list(words)
    values = np.array(rest[5:], dtype=float).reshape(int(rest[1]), -1)
    return names, replay(values, parents, np.array(offsets), channels), float(rest[4])


def replay(values: np.ndarray, parents: list, offsets: np.ndarray, channels: list[list[str]]) -> np.ndarray:
    """(frames, joints, 3) positions, of a row of channels a frame."""
    columns = iter(values.T)
    worlds: list[np.ndarray] = []
    for row, parent in enumerate(parents):
        own = np.tile(np.eye(4), (len(values), 1, 1))
        own[:, :3, 3] = offsets[row]
        for channel in channels[row]:
            axis, amounts = channel[0].lower(), next(columns)
            if channel.endswith("position"):
                own[:, "xyz".index(axis), 3] += amounts
            else:
                own[:, :3, :3] @= Rotation.from_euler(axis, amounts[:, None], degrees=True).as_matrix()
        worlds.append(own if parent is None else worlds[parent] @ own)
    return np.stack(worlds, 1)[..., :3, 3]
