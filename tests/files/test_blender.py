"""Blender itself opens what we write: bones, mesh and motion stand where the body has them."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from test_meshes import make_person

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.bvh import write_bvh
from humanmesh.files.glb import write_glb
from humanmesh.files.meshes import save_person
from humanmesh.files.rig_names import bone_names
from humanmesh.files.rigs import rig_of_body

BLENDER_FROM_CAMERA = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Blender's frame is z up: its y runs as the camera looks."""
FRAMES = 4
FRAME_RATE = 25
MILLIMETRE = 1e-3


def blender_python() -> str:
    """A Python that can `import bpy`; skips where there is none."""
    given = os.environ.get("BLENDER_PYTHON")
    if given:
        return given
    if importlib.util.find_spec("bpy") is None:
        wanted = "pip install bpy, or BLENDER_PYTHON=the interpreter of an environment that has it"
        pytest.skip(f"needs Blender: {wanted}", allow_module_level=True)
    return sys.executable


PYTHON = blender_python()


@dataclass(frozen=True)
class Motion:
    """A clip, and where its joints and vertices are; metres, camera frame."""

    rig: object
    rest_joints: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray


def make_motion(seed: int, place: tuple[float, float, float]) -> Motion:
    person = make_person()
    chance = np.random.default_rng(seed)
    turns = np.cumsum(chance.normal(size=(FRAMES, 24, 3)) * 0.15, 0) + person.pose.reshape(24, 3)
    rotations = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(FRAMES, 24, 3, 3)
    rotations = rotations.astype(np.float32)
    translation = (np.cumsum(chance.normal(size=(FRAMES, 3)) * 0.05, 0) + place).astype(np.float32)
    model, shape = BodyModel(person.body), torch.from_numpy(person.shape)[None]
    posed = model(torch.from_numpy(rotations), shape.expand(FRAMES, -1))
    times = np.arange(FRAMES) / FRAME_RATE
    return Motion(
        rig_of_body(person.body, rotations, person.shape, translation, times),
        model.rest_joints(shape)[0].numpy(),
        posed.joints.numpy() + translation[:, None],
        posed.vertices.numpy() + translation[:, None],
    )


@pytest.fixture(scope="module")
def motions():
    return make_motion(1, (-0.5, 0.0, 3.0)), make_motion(2, (0.6, -0.1, 3.5))


@pytest.fixture(scope="module")
def corrected():
    return make_person(has_correctives=True)


@pytest.fixture(scope="module")
def shown(motions, corrected, tmp_path_factory):
    """Blender's own account of each file."""
    folder = tmp_path_factory.mktemp("blender")
    save_person(folder / "photo.glb", corrected)
    save_person(folder / "photo.bvh", corrected)
    write_glb(folder / "people.glb", [motion.rig for motion in motions])
    write_bvh(folder / "motion.bvh", motions[0].rig)
    script = Path(__file__).with_name("replay_in_blender.py")
    subprocess.run([PYTHON, str(script), str(folder), str(FRAMES)], check=True, capture_output=True)
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


def joints_in(account: dict[str, np.ndarray], armature: str, what: str) -> np.ndarray:
    """Heads of the bones in the order of the joints."""
    names = account[f"{armature}/names"].tolist()
    return account[f"{armature}/{what}"][..., [names.index(joint) for joint in SMPL_24.joints], :]


def in_blender(points: np.ndarray) -> np.ndarray:
    return points @ BLENDER_FROM_CAMERA.T


@pytest.mark.parametrize("file", ["photo.glb", "photo.bvh"])
def test_photos_bones_stand_where_the_joints_are(file, shown, corrected):
    armature = "rig" if file.endswith("glb") else "photo"
    found = joints_in(shown[file], armature, "heads")[0]
    np.testing.assert_allclose(found, in_blender(corrected.joints), atol=MILLIMETRE)


def test_photos_mesh_is_deformed_into_our_vertices_with_correctives(shown, corrected):
    found = shown["photo.glb"]["rig/vertices"][0]
    np.testing.assert_allclose(found, in_blender(corrected.vertices), atol=MILLIMETRE)


@pytest.mark.parametrize("number", [0, 1])
def test_each_of_two_people_is_an_armature_that_moves_its_own_mesh(number, shown, motions):
    armature = ("rig", "rig_2")[number]
    found = joints_in(shown["people.glb"], armature, "heads")
    np.testing.assert_allclose(found, in_blender(motions[number].joints), atol=MILLIMETRE)
    vertices = shown["people.glb"][f"{armature}/vertices"]
    np.testing.assert_allclose(vertices, in_blender(motions[number].vertices), atol=MILLIMETRE)


def test_bvh_replays_our_joints_frame_by_frame(shown, motions):
    found = joints_in(shown["motion.bvh"], "motion", "heads")
    np.testing.assert_allclose(found, in_blender(motions[0].joints), atol=MILLIMETRE)


@pytest.mark.parametrize(("file", "armature"), [("people.glb", "rig"), ("motion.bvh", "motion")])
def test_bones_rest_where_the_bodys_joints_rest(file, armature, shown, motions):
    """Up to the place of the root, which a BVH leaves to its channels."""
    found = joints_in(shown[file], armature, "rest")
    rest = motions[0].rest_joints * [1, -1, -1]  # the body frame is y up, as mesh files are
    np.testing.assert_allclose(found - found[0], in_blender(rest - rest[0]), atol=MILLIMETRE)


def test_blender_counts_24_bones_a_person_by_their_names(shown):
    account = shown["people.glb"]
    for armature in ("rig", "rig_2"):
        assert sorted(account[f"{armature}/names"].tolist()) == sorted(bone_names("smpl"))
