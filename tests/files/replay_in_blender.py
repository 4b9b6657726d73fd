"""Runs in a Python that has `bpy`, without humanmesh: opens files in Blender and writes down what Blender shows.

python replay_in_blender.py FOLDER FRAMES: for each .glb and .bvh in FOLDER a NAME.SUFFIX.npz, where for each armature
ARMATURE/names, ARMATURE/rest (bones, 3), ARMATURE/heads (frames, bones, 3) and, for its mesh, ARMATURE/vertices.
Metres, Blender's frame (z up).
"""

import sys
from pathlib import Path

import bpy
import numpy as np

FRAME_RATE = 25


def opened(path: Path) -> int:
    """Number of the frame that shows the file's first."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = FRAME_RATE
    if path.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(path))
        return 1
    bpy.ops.import_scene.gltf(filepath=str(path))
    return 0


def positions(matrix, points) -> np.ndarray:
    return np.array([(matrix @ point)[:] for point in points])


def vertices_of(mesh) -> np.ndarray:
    """As Blender deforms them now."""
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return positions(shown.matrix_world, [vertex.co for vertex in shown.to_mesh().vertices])


def replayed(path: Path, frames: int) -> dict[str, np.ndarray]:
    start = opened(path)
    found: dict[str, np.ndarray] = {}
    for rig in (entry for entry in bpy.data.objects if entry.type == "ARMATURE"):
        meshes = [entry for entry in bpy.data.objects if entry.type == "MESH" and entry.parent == rig]
        heads, vertices = [], []
        for frame in range(start, start + frames):
            bpy.context.scene.frame_set(frame)
            heads.append(positions(rig.matrix_world, [bone.head for bone in rig.pose.bones]))
            vertices += [vertices_of(mesh) for mesh in meshes]
        found |= {
            f"{rig.name}/names": np.array([bone.name for bone in rig.pose.bones]),
            f"{rig.name}/rest": positions(rig.matrix_world, [bone.head_local for bone in rig.data.bones]),
            f"{rig.name}/heads": np.stack(heads),
            f"{rig.name}/vertices": np.array(vertices),
        }
    return found


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).iterdir()):
        if file.suffix in {".glb", ".bvh"}:
            np.savez(f"{file}.npz", **replayed(file, int(sys.argv[2])))
