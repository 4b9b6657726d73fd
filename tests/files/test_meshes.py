import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.bvh import write_bvh, zyx_angles
from humanmesh.files.glb import write_glb
from humanmesh.files.meshes import PERSON_FORMAT, WRITERS, PersonRecord, save_person
from humanmesh.files.rigs import rig_of_body, vertex_normals
from made_bodies import at_most_four
from mesh_files import Glb, khronos_report, read_bvh

Y_UP = np.array([1, -1, -1])


def make_person(*, has_correctives: bool = False) -> PersonRecord:
    """A twisted person three metres before the camera."""
    data = load_body_data("anny")
    chance = np.random.default_rng(3)
    if has_correctives:
        # The body's own vertices follow some five joints; four must do for this comparison to be exact.
        directions = chance.normal(size=(len(data.template), 3, 207)) * 1e-3
        data = replace(data, pose_directions=torch.from_numpy(directions.astype(np.float32)))
    data = at_most_four(data)
    turns = chance.normal(size=(24, 3)) * 0.4
    turns[0] = [2.9, 0.3, -0.2]
    theta = np.concatenate([[0.9, 0.1, -0.2], turns.ravel(), chance.normal(size=10)]).astype(np.float32)
    rotations = Rotation.from_rotvec(turns).as_matrix().astype(np.float32)
    posed = BodyModel(data)(torch.from_numpy(rotations)[None], torch.from_numpy(theta[None, 75:]))
    translation = np.array([0.3, -0.2, 3.0], np.float32)
    joints = posed.joints[0].numpy() + translation
    return PersonRecord(
        body=data,
        theta=theta,
        rotations=rotations,
        translation=translation,
        vertices=posed.vertices[0].numpy() + translation,
        joints=joints,
        keypoints_2d={"smpl24": 500 * joints[:, :2] / joints[:, 2:] + np.float32([160, 120])},
        keypoints_3d={"smpl24": joints},
        focal_length=500.0,
        principal_point=(160.0, 120.0),
        photo_size=(320, 240),
        photo_from_crop=np.diag([80, 80, 1]).astype(np.float32),
        box=np.array([10, 20, 200, 230], np.float32),
        score=0.75,
    )


@pytest.fixture(scope="module")
def person() -> PersonRecord:
    return make_person()


@pytest.mark.parametrize("has_correctives", [False, True])
def test_glb_skinned_by_the_specification_gives_the_vertices(has_correctives, tmp_path):
    person = make_person(has_correctives=has_correctives)
    save_person(tmp_path / "p.glb", person)
    np.testing.assert_allclose(Glb(tmp_path / "p.glb").skinned_vertices(), person.vertices * Y_UP, atol=2e-5)


def test_glb_bones_stand_where_the_joints_are_and_have_their_names(person, tmp_path):
    save_person(tmp_path / "p.glb", person)
    glb = Glb(tmp_path / "p.glb")
    positions = [matrix[:3, 3] for matrix in glb.world()]
    np.testing.assert_allclose(positions, person.joints * Y_UP, atol=2e-5)
    names = [glb.document["nodes"][joint]["name"] for joint in glb.document["skins"][0]["joints"]]
    assert names == list(SMPL_24.joints)


def test_glb_camera_sees_joints_where_the_photo_shows_them(person, tmp_path):
    save_person(tmp_path / "p.glb", person)
    lens = Glb(tmp_path / "p.glb").document["cameras"][0]["perspective"]
    x, y, z = (person.joints * Y_UP).T  # glTF's camera looks along -z; its image runs over [-1, 1], y up
    half_height = np.tan(lens["yfov"] / 2)
    across, up = x / -z / (half_height * lens["aspectRatio"]), y / -z / half_height
    pixels = np.stack([(across + 1) * 160, (1 - up) * 120], 1)
    np.testing.assert_allclose(pixels, person.keypoints_2d["smpl24"], atol=1e-2)


def test_with_a_camera_that_looks_down_mesh_files_are_turned_and_the_camera_sees_the_same(person, tmp_path):
    pitched = replace(person, camera_pitch=0.3)
    for suffix in ("glb", "obj", "ply", "bvh"):
        save_person(tmp_path / f"p.{suffix}", pitched)
    glb = Glb(tmp_path / "p.glb")
    level = Rotation.from_euler("x", -0.3)  # looking down is a turn of the whole against it
    expected = level.apply(person.vertices) * Y_UP
    np.testing.assert_allclose(glb.skinned_vertices(), expected, atol=2e-5)
    for suffix in ("obj", "ply"):
        mesh = trimesh.load(tmp_path / f"p.{suffix}", process=False, maintain_order=True)
        np.testing.assert_allclose(mesh.vertices, expected, atol=2e-5)
    names, positions, _ = read_bvh(tmp_path / "p.bvh")
    rows = [names.index(name) for name in SMPL_24.joints]
    np.testing.assert_allclose(positions[0, rows], level.apply(person.joints) * Y_UP, atol=1e-4)
    camera = next(node for node in glb.document["nodes"] if "camera" in node)
    camera_turn = Rotation.from_quat(camera["rotation"])
    seen = camera_turn.inv().apply([matrix[:3, 3] for matrix in glb.world()])
    np.testing.assert_allclose(seen, person.joints * Y_UP, atol=2e-5)
    assert camera_turn.apply([0, 0, -1])[1] < 0  # glTF's camera looks along its -z


def test_glb_weights_sum_to_one_and_idle_places_name_joint_zero(person, tmp_path):
    save_person(tmp_path / "p.glb", person)
    glb = Glb(tmp_path / "p.glb")
    attributes = glb.document["meshes"][0]["primitives"][0]["attributes"]
    joints, shares = glb.array(attributes["JOINTS_0"]), glb.array(attributes["WEIGHTS_0"])
    np.testing.assert_allclose(shares.sum(1), 1, atol=3e-7)
    assert not joints[shares == 0].any()


def test_parts_have_colours_of_their_own_on_request(person, tmp_path):
    save_person(tmp_path / "plain.glb", person)
    save_person(tmp_path / "parts.glb", replace(person, has_part_colors=True))
    part = person.body.skinning_weights.argmax(1).numpy()
    plain, colored = (
        next(iter(trimesh.load(tmp_path / name, process=False).geometry.values())).visual
        for name in ("plain.glb", "parts.glb")
    )
    assert not hasattr(plain, "vertex_colors") or len(np.unique(plain.vertex_colors, axis=0)) == 1
    colors = np.asarray(
        colored.vertex_attributes["color"] if hasattr(colored, "vertex_attributes") else colored.vertex_colors
    )
    assert len(np.unique(colors, axis=0)) == len(np.unique(part))
    assert all(len(np.unique(colors[part == number], axis=0)) == 1 for number in np.unique(part))


def test_trimesh_reads_the_glb(person, tmp_path):
    save_person(tmp_path / "p.glb", person)
    scene = trimesh.load(tmp_path / "p.glb")
    mesh = next(iter(scene.geometry.values()))
    assert mesh.faces.shape == tuple(person.body.faces.shape)
    assert mesh.is_winding_consistent


def clip_of(person: PersonRecord):
    """Half a turn of the body about the vertical in five frames, walking to the side."""
    rotations = np.tile(person.rotations, (5, 1, 1, 1))
    turns = Rotation.from_rotvec(np.outer(np.linspace(0, np.pi, 5), [0, 1, 0])).as_matrix().astype(np.float32)
    rotations[:, 0] = turns @ rotations[:, 0]
    translation = person.translation + np.outer(np.arange(5), [0.1, 0, 0]).astype(np.float32)
    return rig_of_body(person.body, rotations, person.shape, translation, times=0.04 * np.arange(5))


def test_animated_glb_ends_in_the_last_frame(person, tmp_path):
    rig = clip_of(person)
    write_glb(tmp_path / "clip.glb", [rig])
    glb = Glb(tmp_path / "clip.glb")
    animation = glb.document["animations"][0]
    times = glb.array(animation["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, 0.16], atol=1e-6)
    assert len(animation["channels"]) == 25
    last_turn = glb.array(animation["samplers"][1]["output"])[-1]
    np.testing.assert_allclose(Rotation.from_quat(last_turn).as_matrix(), rig.rotations[-1, 0], atol=1e-5)
    turns = glb.array(animation["samplers"][1]["output"])
    assert ((turns[1:] * turns[:-1]).sum(1) > 0).all()


@pytest.mark.parametrize("kind", ["person", "correctives", "clip"])
def test_khronos_validator_has_nothing_to_say(kind, person, tmp_path):
    path = tmp_path / "p.glb"
    if kind == "clip":
        write_glb(path, [clip_of(person)])
    else:
        save_person(path, make_person(has_correctives=kind == "correctives"))
    issues = khronos_report(path)["issues"]
    assert not issues["numErrors"], issues["messages"]
    assert not issues["numWarnings"], issues["messages"]


def test_bvh_replayed_by_another_reader_gives_our_joints_to_a_tenth_of_a_millimetre(person, tmp_path):
    save_person(tmp_path / "p.bvh", person)
    names, positions, _ = read_bvh(tmp_path / "p.bvh")
    rows = [names.index(name) for name in SMPL_24.joints]
    np.testing.assert_allclose(positions[0, rows], person.joints * Y_UP, atol=1e-4)


def test_bvh_of_a_clip_holds_every_frame_and_its_time(person, tmp_path):
    rig = clip_of(person)
    write_bvh(tmp_path / "clip.bvh", rig)
    names, positions, frame_time = read_bvh(tmp_path / "clip.bvh")
    assert frame_time == pytest.approx(0.04)
    np.testing.assert_allclose(positions[:, names.index("pelvis")], rig.root_positions, atol=1e-5)


def test_bvh_bones_end_at_the_body(person, tmp_path):
    save_person(tmp_path / "p.bvh", person)
    names, positions, _ = read_bvh(tmp_path / "p.bvh")
    for end in ("end of left_foot", "end of right_hand", "end of head"):
        distances = np.linalg.norm(person.vertices * Y_UP - positions[0, names.index(end)], axis=1)
        assert distances.min() < 0.03


@pytest.mark.parametrize("y", [-np.pi / 2, -1.2, 0, 0.7, np.pi / 2])
def test_zyx_angles_give_the_rotation_back_also_in_gimbal_lock(y):
    expected = Rotation.from_euler("ZYX", [0.4, y, -1.1]).as_matrix()
    again = Rotation.from_euler("ZYX", zyx_angles(expected)).as_matrix()
    np.testing.assert_allclose(again, expected, atol=1e-6)


@pytest.mark.parametrize("away", [0, 1e-6, 1e-5, 1e-4, 1e-3, 0.1])
def test_zyx_angles_of_single_precision_are_as_good_near_a_right_angle_as_elsewhere(away):
    chance = np.random.default_rng(0)
    angles = [chance.uniform(-3, 3, 1000), np.pi / 2 - away * chance.uniform(-1, 1, 1000), np.full(1000, 0.3)]
    rotations = Rotation.from_euler("ZYX", np.stack(angles, 1)).as_matrix().astype(np.float32)
    again = Rotation.from_euler("ZYX", zyx_angles(rotations.astype(np.float64))).as_matrix()
    np.testing.assert_allclose(again, rotations, atol=2e-7)


@pytest.mark.parametrize("lean", [0.05, 0.5])
def test_between_two_frames_of_a_bvh_the_body_stands_between_theirs(lean, person, tmp_path):
    """Also for programs that interpolate every angle by itself, once round, past the back and both sides."""
    turns = Rotation.from_euler("YX", [[angle, lean] for angle in np.linspace(0, 2 * np.pi, 73)])
    rotations = np.tile(person.rotations, (73, 1, 1, 1))
    rotations[:, 0] = turns.as_matrix().astype(np.float32) @ np.diag(Y_UP.astype(np.float32))
    translation = np.tile(person.translation, (73, 1))
    write_bvh(tmp_path / "frames.bvh", rig_of_body(person.body, rotations, person.shape, translation))
    _, frames, _ = read_bvh(tmp_path / "frames.bvh")
    head, _, motion = (tmp_path / "frames.bvh").read_text().partition("Frames: 73\n")
    first, *rows = motion.splitlines()
    values = np.array([row.split() for row in rows], float)
    halves = "\n".join(" ".join(map(str, row)) for row in (values[1:] + values[:-1]) / 2)
    (tmp_path / "halves.bvh").write_text(f"{head}Frames: 72\n{first}\n{halves}\n")
    _, between, _ = read_bvh(tmp_path / "halves.bvh")
    assert np.linalg.norm(between - (frames[1:] + frames[:-1]) / 2, axis=-1).max() < 0.01


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_triangles_come_back_upright(suffix, person, tmp_path):
    save_person(tmp_path / f"p.{suffix}", person)
    mesh = trimesh.load(tmp_path / f"p.{suffix}", process=False, maintain_order=True)
    np.testing.assert_allclose(mesh.vertices, person.vertices * Y_UP, atol=1e-5)
    assert np.array_equal(mesh.faces, person.body.faces.numpy())


def test_obj_has_no_material_beside_it(person, tmp_path):
    save_person(tmp_path / "p.obj", person)
    assert os.listdir(tmp_path) == ["p.obj"]
    assert "mtllib" not in (tmp_path / "p.obj").read_text()


def test_npz_with_smpls_names_poses_the_body_again(person, tmp_path):
    save_person(tmp_path / "p.npz", person)
    with np.load(tmp_path / "p.npz") as arrays:
        poses, betas, trans = (torch.from_numpy(arrays[name]) for name in ("poses", "betas", "trans"))
        vertices, format_name = arrays["vertices"], str(arrays["format"])
        names = arrays["joint_names"].tolist()
    posed = BodyModel(person.body)(poses, betas[None])
    np.testing.assert_allclose(posed.vertices[0].numpy() + trans.numpy(), vertices, atol=1e-5)
    assert poses.shape == (1, 72)
    assert trans.shape == (1, 3)
    assert format_name == PERSON_FORMAT
    assert names == list(SMPL_24.joints)


def test_json_names_every_joint_and_says_its_units(person, tmp_path):
    save_person(tmp_path / "p.json", person)
    fields = json.loads((tmp_path / "p.json").read_text())
    assert fields["format"] == PERSON_FORMAT
    assert fields["units"]["length"] == "metre"
    assert list(fields["joints"]) == list(SMPL_24.joints)
    np.testing.assert_allclose(fields["joints"]["left_knee"], person.joints[4], atol=1e-6)
    np.testing.assert_allclose(fields["theta"], person.theta, atol=1e-6)
    assert fields["camera"] == {
        "focal_length": 500.0,
        "principal_point": [160.0, 120.0],
        "pixel_aspect": 1.0,
        "pitch": 0.0,
    }


def test_unknown_score_is_null_in_json(person, tmp_path):
    save_person(tmp_path / "p.json", replace(person, score=float("nan")))
    assert json.loads((tmp_path / "p.json").read_text())["score"] is None


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_format_is_written_whole_or_not_at_all(suffix, person, tmp_path):
    with pytest.raises(BadInputError, match="Cannot write"):
        save_person(tmp_path / "none" / f"p.{suffix}", person)
    save_person(tmp_path / f"P.{suffix.upper()}", person)
    assert os.listdir(tmp_path) == [f"P.{suffix.upper()}"]


def test_unknown_suffix_is_answered_with_those_that_exist(person, tmp_path):
    with pytest.raises(UnknownNameError, match="bvh, glb, json, npz, obj, ply"):
        save_person(tmp_path / "p.fbx", person)


def test_normals_of_a_cube_point_outward_and_are_of_unit_length():
    cube = trimesh.creation.box()
    normals = vertex_normals(np.asarray(cube.vertices), np.asarray(cube.faces))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert ((normals * cube.vertices).sum(1) > 0.5).all()
