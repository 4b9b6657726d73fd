"""Readers of motion capture against forward kinematics written out again here, with scipy, in each file's own terms."""

import json
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.skeletons import SMPL_24, SMPL_PARENTS
from humanmesh.data.motion import (
    CMU_CORRESPONDENCE,
    Correspondence,
    Motion,
    SourceMotion,
    accumulate_turns,
    place_joints,
    rest_alignments,
)
from humanmesh.data.readers.amass import read_amass
from humanmesh.data.readers.asf_amc import read_asf, read_asf_amc, read_asf_amc_source
from humanmesh.data.readers.bvh import (
    FAMILIES,
    correspondence_of,
    plain_name,
    plain_names,
    read_bvh,
    read_bvh_source,
)
from humanmesh.data.readers.deepmimic import DEEPMIMIC_CORRESPONDENCE, read_deepmimic, read_deepmimic_source
from humanmesh.data.readers.expmap import read_expmap, read_expmap_sources
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError

RNG = np.random.default_rng(0)
FEET_AND_WRISTS = ("left_ankle", "right_ankle", "left_wrist", "right_wrist")


def stick_positions(motion: Motion, source: SourceMotion, correspondence: Correspondence) -> torch.Tensor:
    """Joints of a stick figure with the source's bone lengths, posed by the SMPL rotations alone."""
    rest = source.skeleton.rest_positions().double()
    alignments = rest_alignments(source.skeleton, correspondence)
    at: list[torch.Tensor] = []
    offsets = []
    for joint, parent in zip(SMPL_24.joints, SMPL_PARENTS, strict=True):
        follows = correspondence.follows.get(joint)
        at.append(rest[source.skeleton.joints.index(follows.first)] if follows else at[parent])
        step = at[-1] - at[parent] if parent >= 0 else torch.zeros(3).double()
        offsets.append(alignments[SMPL_24.joints[parent]].T @ step if parent >= 0 else step)
    world = accumulate_turns(motion.rotations.double(), SMPL_PARENTS)
    return place_joints(torch.stack(offsets), SMPL_PARENTS, world) + motion.translation.double()[:, None]


def largest_distance(
    motion: Motion,
    source: SourceMotion,
    correspondence: Correspondence,
    joints: tuple[str, ...] = FEET_AND_WRISTS,
) -> float:
    """Metres between a joint of the SMPL stick figure and the source's joint, at worst."""
    mine, theirs = stick_positions(motion, source, correspondence), source.positions()
    return max(
        float(
            (
                mine[:, SMPL_24.index[joint]]
                - theirs[:, source.skeleton.joints.index(correspondence.follows[joint].first)]
            )
            .norm(dim=1)
            .max()
        )
        for joint in joints
    )


# ---- BVH

Bone = tuple[str, str, tuple[float, float, float]]


def side_bones(side: str, sign: float) -> list[Bone]:
    return [
        (f"{side}UpLeg", "Hips", (9.0 * sign, -5.0, 0.0)),
        (f"{side}Leg", f"{side}UpLeg", (3.0 * sign, -42.0, 1.0)),
        (f"{side}Foot", f"{side}Leg", (2.0 * sign, -41.0, -2.0)),
        (f"{side}ToeBase", f"{side}Foot", (0.0, -6.0, 14.0)),
        (f"{side}Shoulder", "Spine2", (6.0 * sign, 12.0, 0.0)),
        (f"{side}Arm", f"{side}Shoulder", (11.0 * sign, 1.0, 0.0)),
        (f"{side}ForeArm", f"{side}Arm", (20.0 * sign, -18.0, 0.0)),
        (f"{side}Hand", f"{side}ForeArm", (19.0 * sign, -17.0, 3.0)),
    ]


MIXAMO_BONES: list[Bone] = [
    ("Hips", "", (0.0, 0.0, 0.0)),
    ("Spine", "Hips", (0.0, 10.0, 0.0)),
    ("Spine1", "Spine", (0.0, 12.0, 0.0)),
    ("Spine2", "Spine1", (0.0, 13.0, 0.0)),
    ("Neck", "Spine2", (0.0, 15.0, 1.0)),
    ("Head", "Neck", (0.0, 9.0, 2.0)),
    *side_bones("Left", 1),
    *side_bones("Right", -1),
]


def bvh_text(
    bones: list[Bone], frames: np.ndarray, order: str, prefix: str = "", placed: Collection[str] = ()
) -> str:
    """A BVH file; frames hold each joint's angles (degrees) as the tree lists them.

    The position of the root, and of each joint in `placed`, stands before its angles.
    """

    def branch(name: str, offset: tuple[float, float, float], depth: int) -> list[str]:
        pad = "\t" * depth
        rotations = " ".join(f"{axis}rotation" for axis in order)
        is_placed = depth == 0 or name in placed
        places = "Xposition Yposition Zposition " if is_placed else ""
        children = [bone for bone in bones if bone[1] == name]
        lines = [
            f"{pad}{'JOINT' if depth else 'ROOT'} {prefix}{name}",
            f"{pad}{{",
            f"{pad}\tOFFSET {offset[0]} {offset[1]} {offset[2]}",
            f"{pad}\tCHANNELS {6 if is_placed else 3} {places}{rotations}",
        ]
        for child, _, step in children:
            lines += branch(child, step, depth + 1)
        if not children:
            lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET 0 0 5", f"{pad}\t}}"]
        return [*lines, f"{pad}}}"]

    root = bones[0]
    rows = [" ".join(f"{value:.9f}" for value in frame) for frame in frames]
    return "\n".join([
        "HIERARCHY",
        *branch(root[0], root[2], 0),
        "MOTION",
        f"Frames: {len(frames)}",
        "Frame Time: 0.008333333",
        *rows,
        "",
    ])


def tree_order(bones: list[Bone], name: str) -> list[str]:
    """Names as a BVH file lists them."""
    return [name] + [
        below for child, parent, _ in bones if parent == name for below in tree_order(bones, child)
    ]


def bvh_positions_by_hand(bones: list[Bone], frames: np.ndarray, order: str) -> dict[str, np.ndarray]:
    """Joint positions in the file's own frame and unit, one frame at a time."""
    names = tree_order(bones, bones[0][0])
    described = {name: (parent, np.array(offset)) for name, parent, offset in bones}
    positions: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for frame in frames:
        world: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for number, name in enumerate(names):
            angles = frame[3 + 3 * number : 6 + 3 * number]
            turn = Rotation.from_euler(order, angles, degrees=True).as_matrix()
            parent, offset = described[name]
            if parent:
                parent_turn, parent_place = world[parent]
                world[name] = (parent_turn @ turn, parent_place + parent_turn @ offset)
            else:
                world[name] = (turn, frame[:3])
            positions[name].append(world[name][1])
    return {name: np.array(places) for name, places in positions.items()}


def bvh_file(
    folder: Path, bones: list[Bone], order: str = "ZXY", prefix: str = ""
) -> tuple[Path, np.ndarray]:
    frames = RNG.uniform(-80, 80, (6, 3 + 3 * len(bones)))
    path = folder / "clip.bvh"
    path.write_text(bvh_text(bones, frames, order, prefix))
    return path, frames


@pytest.mark.parametrize(("order", "prefix"), [("ZXY", "mixamorig:"), ("ZYX", ""), ("YXZ", "man|")])
def test_bvh_joints_stand_where_kinematics_by_hand_puts_them(tmp_path, order, prefix):
    path, frames = bvh_file(tmp_path, MIXAMO_BONES, order, prefix)
    source = read_bvh_source(path)
    for name, places in bvh_positions_by_hand(MIXAMO_BONES, frames, order).items():
        row = source.skeleton.joints.index(name.lower())
        np.testing.assert_allclose(source.positions()[:, row], places / 100, atol=1e-6)  # centimetres
    assert source.frame_rate == pytest.approx(120, rel=1e-5)


def test_smpl_rotations_from_bvh_put_feet_and_wrists_where_the_file_puts_them(tmp_path):
    path, _ = bvh_file(tmp_path, MIXAMO_BONES)
    source = read_bvh_source(path)
    correspondence = correspondence_of(set(source.skeleton.joints), source.source)
    assert largest_distance(read_bvh(path), source, correspondence) < 1e-5


def test_a_bvh_file_with_z_up_means_the_same_motion(tmp_path):
    """x forward, y to the left, z up: each vector (x, y, z) of the body frame is written as (z, x, y)."""
    cycle = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]])
    turned = [(name, parent, tuple(cycle @ np.array(offset))) for name, parent, offset in MIXAMO_BONES]
    frames = RNG.uniform(-80, 80, (4, 3 + 3 * len(MIXAMO_BONES)))
    turned_frames = frames.copy()
    turned_frames[:, :3] = frames[:, :3] @ cycle.T
    (tmp_path / "y_up.bvh").write_text(bvh_text(MIXAMO_BONES, frames, "ZXY"))
    # The axes go round with the vectors: z becomes y, x becomes z, y becomes x... so ZXY is written YZX.
    renamed = "".join("XYZ"[int(cycle[:, "XYZ".index(axis)].argmax())] for axis in "ZXY")
    (tmp_path / "z_up.bvh").write_text(bvh_text(turned, turned_frames, renamed))
    expected, found = read_bvh(tmp_path / "y_up.bvh"), read_bvh(tmp_path / "z_up.bvh")
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=1e-5)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254 / 0.45])
def test_the_unit_of_a_bvh_file_is_found_from_its_legs(tmp_path, unit):
    bones = [(name, parent, tuple(0.01 / unit * np.array(step))) for name, parent, step in MIXAMO_BONES]
    (tmp_path / "a.bvh").write_text(bvh_text(bones, np.zeros((1, 3 + 3 * len(bones))), "ZXY"))
    source = read_bvh_source(tmp_path / "a.bvh")
    knee, hip = (source.skeleton.joints.index(name) for name in ("leftleg", "leftupleg"))
    places = source.positions()[0]
    np.testing.assert_allclose(places[knee] - places[hip], [0.03, -0.42, 0.01], atol=1e-6)


@pytest.mark.parametrize("names", ["CMU", "SMPL", "SMPL short"])
def test_each_family_of_bvh_names_is_understood(tmp_path, names):
    cmu = {"Spine": "LowerBack", "Spine1": "Spine", "Spine2": "Spine1", "Neck": "Neck1"}
    smpl = {
        "Hips": "pelvis", "Spine": "spine1", "Spine1": "spine2", "Spine2": "spine3", "Neck": "neck", "Head": "head",
        **{
            f"{side}{theirs}": f"{side.lower()}_{mine}"
            for side in ("Left", "Right")
            for theirs, mine in {
                "UpLeg": "hip", "Leg": "knee", "Foot": "ankle", "ToeBase": "foot",
                "Shoulder": "collar", "Arm": "shoulder", "ForeArm": "elbow", "Hand": "wrist",
            }.items()
        },
    }  # fmt: skip
    short = {name: new.replace("left_", "L_").replace("right_", "R_").title() for name, new in smpl.items()}
    table = {"CMU": cmu, "SMPL": smpl, "SMPL short": short}[names]
    bones = [(table.get(name, name), table.get(parent, parent), step) for name, parent, step in MIXAMO_BONES]
    frames = np.zeros((1, 3 + 3 * len(bones)))
    knee = tree_order(bones, bones[0][0]).index(table.get("LeftLeg", "LeftLeg"))
    frames[0, 3 + 3 * knee : 6 + 3 * knee] = (0, 90, 0)
    (tmp_path / "a.bvh").write_text(bvh_text(bones, frames, "ZXY"))
    motion = read_bvh(tmp_path / "a.bvh")
    angles = motion.pose.reshape(24, 3).norm(dim=1)
    assert angles[SMPL_24.index["left_knee"]] == pytest.approx(math.pi / 2, abs=0.1)
    assert angles[SMPL_24.index["right_knee"]] < 0.1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("mixamorig:LeftUpLeg", "leftupleg"),
        ("mixamorig_LeftUpLeg", "leftupleg"),
        ("mixamorig1_LeftUpLeg", "leftupleg"),
        ("L_Hip", "lefthip"),
        ("r_hip", "righthip"),
        ("LowerBack", "lowerback"),
        ("left_hip", "lefthip"),
        ("armature|Right Knee", "rightknee"),
    ],
)
def test_names_of_bvh_joints_are_made_plain(name, plain):
    assert plain_name(name) == plain


ROKOKO = {
    "Spine": "Spine1", "Spine1": "Spine2", "Spine2": "Spine4",
    **{
        f"{side}{mixamos}": f"{side}{rokokos}"
        for side in ("Left", "Right")
        for mixamos, rokokos in {"UpLeg": "Thigh", "Leg": "Shin", "ToeBase": "Toe"}.items()
    },
}  # fmt: skip
"""Mixamo's joint -> Rokoko's (its Spine3 is left out here)."""


@pytest.mark.parametrize(
    ("prefix", "table"),
    [
        ("Character1_", {}),
        ("Model_", {}),
        ("mixamorig1_", {}),
        ("mixamorig1:", {}),
        ("scene:actor:Model_01_", {}),
        ("", {"LeftUpLeg": "LeftThigh", "RightUpLeg": "RightThigh"}),
        ("", ROKOKO),
        ("Actor_", ROKOKO),
    ],
)
def test_prefixes_and_rokokos_names_change_nothing_of_a_motion(tmp_path, prefix, table):
    path, frames = bvh_file(tmp_path, MIXAMO_BONES)
    expected = read_bvh(path)
    bones = [(table.get(name, name), table.get(parent, parent), step) for name, parent, step in MIXAMO_BONES]
    path.write_text(bvh_text(bones, frames, "ZXY", prefix))
    np.testing.assert_array_equal(read_bvh(path).rotations, expected.rotations)


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (["Reference", "Model_Hips", "Model_LeftShin"], ["reference", "hips", "leftleg"]),
        (["pelvis", "left_hip", "right_hip"], ["pelvis", "lefthip", "righthip"]),
        (["m_avg_root", "m_avg_Pelvis", "m_avg_L_Hip"], ["root", "pelvis", "lefthip"]),
        (["Hips", "LeftLeg", "LeftShin"], ["hips", "leftleg", "leftshin"]),  # its thigh has the shin's name
        (["Model_Hips"], ["modelhips"]),
        ([], []),
    ],
)
def test_only_what_stands_before_all_names_is_a_prefix(names, plain):
    assert plain_names(names) == plain


@pytest.mark.parametrize("family", ["CMU", "Mixamo", "Rokoko", "SMPL"])
def test_each_familys_own_names_find_it(family):
    correspondence = FAMILIES[family]
    names = {
        name for entry in correspondence.follows.values() for name in (entry.first, entry.second) if name
    }
    assert correspondence_of(names | set(correspondence.limb_ends.values()), "clip") == correspondence


@pytest.mark.parametrize("placed", [("Hips",), ()])
@pytest.mark.parametrize("moves", [True, False])
def test_a_pelvis_below_the_root_of_a_bvh_file_walks_where_the_file_puts_it(tmp_path, placed, moves):
    """ROOT Reference, still or not, and below it the hips with positions of their own or without."""
    bones = [("Reference", "", (0.0, 0.0, 0.0)), ("Hips", "Reference", (2.0, 95.0, 1.0)), *MIXAMO_BONES[1:]]
    below = RNG.uniform(-80, 80, (6, 3 + 3 * len(MIXAMO_BONES)))
    reference = RNG.uniform(-80, 80, (6, 6)) * moves
    written = np.concatenate([reference, below if placed else below[:, 3:]], 1)
    path = tmp_path / "clip.bvh"
    path.write_text(bvh_text(bones, written, "ZXY", placed=placed))

    turns = Rotation.from_euler("ZXY", reference[:, 3:], degrees=True)
    expected = below.copy()
    expected[:, :3] = reference[:, :3] + turns.apply(below[:, :3] if placed else [2, 95, 1])
    hips = turns * Rotation.from_euler("ZXY", below[:, 3:6], degrees=True)
    expected[:, 3:6] = hips.as_euler("ZXY", degrees=True)
    motion, source = read_bvh(path), read_bvh_source(path)
    np.testing.assert_allclose(motion.translation, expected[:, :3] / 100, atol=1e-6)
    for name, places in bvh_positions_by_hand(MIXAMO_BONES, expected, "ZXY").items():
        row = source.skeleton.joints.index(name.lower())
        np.testing.assert_allclose(source.positions()[:, row], places / 100, atol=1e-6)


def test_positions_that_are_zero_throughout_leave_a_joint_at_its_offset(tmp_path):
    path, frames = bvh_file(tmp_path, MIXAMO_BONES)
    expected = read_bvh(path)
    angles = frames[:, 3:].reshape(len(frames), -1, 3)
    with_zeros = np.concatenate([np.zeros_like(angles), angles], 2)
    with_zeros[:, 0, :3] = frames[:, :3]
    names = [name for name, _, _ in MIXAMO_BONES]
    path.write_text(bvh_text(MIXAMO_BONES, with_zeros.reshape(len(frames), -1), "ZXY", placed=names))
    found = read_bvh(path)
    np.testing.assert_array_equal(found.rotations, expected.rotations)
    np.testing.assert_array_equal(found.translation, expected.translation)


def test_positions_that_move_a_joint_stand_for_its_offset_from_the_first_frame_on(tmp_path):
    path, frames = bvh_file(tmp_path, MIXAMO_BONES)
    expected = read_bvh_source(path).skeleton.offsets
    bones = [(name, parent, (0.0, 0.0, 0.0)) for name, parent, _ in MIXAMO_BONES]
    steps = {name: step for name, _, step in MIXAMO_BONES}
    names = tree_order(bones, "Hips")
    angles = frames[:, 3:].reshape(len(frames), -1, 3)
    places = np.tile([steps[name] for name in names], (len(frames), 1, 1))
    places[:, 0] = frames[:, :3]
    places[1:, 1:] += 0.1
    written = np.concatenate([places, angles], 2).reshape(len(frames), -1)
    path.write_text(bvh_text(bones, written, "ZXY", placed=names))
    np.testing.assert_allclose(read_bvh_source(path).skeleton.offsets, expected, atol=1e-9)


@pytest.mark.parametrize("joint", ["Leg", "Foot", "ForeArm", "Hand", "UpLeg", "all"])
def test_a_bvh_limb_without_a_length_is_refused_by_name(tmp_path, joint):
    flat = [
        (name, parent, (0.0, 0.0, 0.0) if joint == "all" or name.endswith(f"t{joint}") else step)
        for name, parent, step in MIXAMO_BONES
    ]
    path, _ = bvh_file(tmp_path, flat)
    with pytest.raises(BadInputError, match=r"clip\.bvh.*limbs have a length.*at one place"):
        read_bvh(path)


def test_a_body_written_as_bvh_reads_back_as_the_same_pose(tmp_path):
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.bvh import write_bvh
    from humanmesh.files.rigs import rig_of_body

    turns = (
        Rotation
        .from_rotvec(RNG.normal(0, 0.5, (3 * 24, 3)))
        .as_matrix()
        .reshape(3, 24, 3, 3)
        .astype(np.float32)
    )
    rig = rig_of_body(load_body_data("anny"), turns, np.zeros(10, np.float32), np.zeros((3, 3), np.float32))
    write_bvh(tmp_path / "body.bvh", rig)
    motion = read_bvh(tmp_path / "body.bvh")
    np.testing.assert_allclose(motion.rotations, rig.rotations, atol=1e-4)
    np.testing.assert_allclose(motion.translation, rig.root_positions, atol=1e-5)
    assert motion.frame_rate == pytest.approx(30, rel=1e-5)


@pytest.mark.data
def test_a_recording_means_the_same_in_bvh_as_in_acclaim(shared_data):
    """The .bvh holds frames 1 and 5 of CMU's 02_03 (end sites left out) as converted by Bruce Hahne in 2008.

    The .amc in the data folder keeps every fourth frame, so its first two are the same instants.
    """
    subject = shared_data / "mocap" / "cmu_asfamc" / "02"
    converted = read_bvh(Path(__file__).with_name("cmu_02_03.bvh"))
    original = read_asf_amc(subject / "02.asf", subject / "02_03.amc")
    assert len(converted.rotations) == 2  # the T pose that the conversion puts first is gone
    np.testing.assert_allclose(converted.rotations, original.rotations[:2], atol=1e-4)
    np.testing.assert_allclose(converted.translation, original.translation[:2], atol=1e-4)


def broken_bvh(text: str) -> dict[str, str]:
    """Ways to break a good BVH file: what the error must say -> the text."""
    lines = text.splitlines()
    return {
        "4 frames": "\n".join(lines[:-2]),
        "frame 5": "\n".join([*lines[:-1], lines[-1][:20]]),
        "NaN|nan": "\n".join([*lines[:-1], "nan" + lines[-1][lines[-1].index(" ") :]]),
        "leftleg": text.replace("LeftLeg", "Wheel"),
        "MOTION": text.split("MOTION")[0],
        "left open": text.replace("}", "", 1),
        "HIERARCHY": text.replace("OFFSET 0.0 10.0 0.0", "OFFSET 0.0 ten 0.0"),
        "named twice": text.replace("JOINT RightLeg", "JOINT LeftLeg"),
        "upright": text.replace("OFFSET 3.0 -42.0 1.0", "OFFSET 3.0 42.0 1.0"),
    }


@pytest.mark.parametrize("words", list(broken_bvh("x OFFSET 0.0 10.0 0.0\n y y\nz z")))
def test_a_broken_bvh_file_is_refused_by_name(tmp_path, words):
    path, _ = bvh_file(tmp_path, MIXAMO_BONES)
    path.write_text(broken_bvh(path.read_text())[words])
    with pytest.raises(BadInputError, match=words) as caught:
        read_bvh(path)
    assert "clip.bvh" in str(caught.value)


# ---- ASF / AMC

ASF_HEAD = """# a comment
:version 1.10
:name TEST
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""
ACCLAIM: dict[str, tuple[str, tuple[float, float, float], float, tuple[float, float, float], str]] = {
    "lhipjoint": ("root", (0.6, -0.75, 0.28), 2.4, (0, 0, 0), ""),
    "lfemur": ("lhipjoint", (0.342, -0.9397, 0), 7.2, (0, 0, 20), "rx ry rz"),
    "ltibia": ("lfemur", (0.342, -0.9397, 0), 7.5, (0, 0, 20), "rx"),
    "lfoot": ("ltibia", (0.07, -0.18, 0.98), 2.3, (-90, 0, 20), "rx rz"),
    "ltoes": ("lfoot", (0, 0, 1), 1.2, (-90, 0, 20), "rx"),
    "rhipjoint": ("root", (-0.6, -0.75, 0.28), 2.4, (0, 0, 0), ""),
    "rfemur": ("rhipjoint", (-0.342, -0.9397, 0), 7.2, (0, 0, -20), "rx ry rz"),
    "rtibia": ("rfemur", (-0.342, -0.9397, 0), 7.5, (0, 0, -20), "rx"),
    "rfoot": ("rtibia", (-0.07, -0.18, 0.98), 2.3, (-90, 0, -20), "rx rz"),
    "rtoes": ("rfoot", (0, 0, 1), 1.2, (-90, 0, -20), "rx"),
    "lowerback": ("root", (0.01, 0.99, -0.09), 2.0, (0, 0, 0), "rx ry rz"),
    "upperback": ("lowerback", (0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "thorax": ("upperback", (0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "lowerneck": ("thorax", (0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "upperneck": ("lowerneck", (0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "head": ("upperneck", (0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "lclavicle": ("thorax", (0.94, 0.33, -0.08), 3.6, (0, 0, 0), "ry rz"),
    "lhumerus": ("lclavicle", (1, 0, 0), 5.0, (180, -30, -90), "rx ry rz"),
    "lradius": ("lhumerus", (1, 0, 0), 3.5, (180, -30, -90), "rx"),
    "lwrist": ("lradius", (1, 0, 0), 1.7, (0, 90, 90), "ry"),
    "lhand": ("lwrist", (1, 0, 0), 0.7, (0, 90, 90), "rx rz"),
    "rclavicle": ("thorax", (-0.94, 0.33, -0.08), 3.6, (0, 0, 0), "ry rz"),
    "rhumerus": ("rclavicle", (-1, 0, 0), 5.0, (180, 30, 90), "rx ry rz"),
    "rradius": ("rhumerus", (-1, 0, 0), 3.5, (180, 30, 90), "rx"),
    "rwrist": ("rradius", (-1, 0, 0), 1.7, (0, -90, -90), "ry"),
    "rhand": ("rwrist", (-1, 0, 0), 0.7, (0, -90, -90), "rx rz"),
}
"""Bone -> parent, direction, length, axis in degrees, degrees of freedom: CMU's skeleton without its fingers."""


def asf_text() -> str:
    text = ASF_HEAD
    for number, (name, (_, direction, length, axis, freedoms)) in enumerate(ACCLAIM.items()):
        text += f"  begin\n     id {number + 1}\n     name {name}\n     direction {' '.join(map(str, direction))}\n"
        text += f"     length {length}\n     axis {' '.join(map(str, axis))} XYZ\n"
        text += f"    dof {freedoms}\n    limits (-160.0 20.0)\n" if freedoms else ""
        text += "  end\n"
    text += ":hierarchy\n  begin\n"
    for parent in ["root", *ACCLAIM]:
        children = [name for name, (above, *_) in ACCLAIM.items() if above == parent]
        text += f"    {parent} {' '.join(children)}\n" if children else ""
    return text + "  end\n"


def amc_values(frames: int) -> list[dict[str, np.ndarray]]:
    count = {name: len(freedoms.split()) for name, (*_, freedoms) in ACCLAIM.items() if freedoms}
    return [
        {
            "root": RNG.uniform(-60, 60, 6),
            **{name: RNG.uniform(-60, 60, size) for name, size in count.items()},
        }
        for _ in range(frames)
    ]


def amc_text(values: list[dict[str, np.ndarray]]) -> str:
    text = "#!OML:ASF\n:FULLY-SPECIFIED\n:DEGREES\n"
    for number, frame in enumerate(values):
        text += f"{number + 1}\n"
        text += "".join(f"{name} {' '.join(f'{v:.9f}' for v in row)}\n" for name, row in frame.items())
    return text


def ends_by_hand(frame: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where each bone ends, in the file's unit: turn = parent's C M C^-1, C = the axis, M = the motion."""
    world = {"root": Rotation.from_euler("xyz", frame["root"][3:], degrees=True)}
    ends = {"root": frame["root"][:3]}
    for name, (parent, direction, length, axis, freedoms) in ACCLAIM.items():
        own_axes = Rotation.from_euler("xyz", axis, degrees=True)
        turn = Rotation.identity()
        for freedom, angle in zip(freedoms.split(), frame.get(name, []), strict=True):
            turn = Rotation.from_euler(freedom[1], angle, degrees=True) * turn
        world[name] = world[parent] * own_axes * turn * own_axes.inv()
        ends[name] = ends[parent] + world[name].apply(np.array(direction) * length)
    return ends


@pytest.fixture
def acclaim(tmp_path: Path) -> tuple[Path, Path, list[dict[str, np.ndarray]]]:
    values = amc_values(4)
    (tmp_path / "s.asf").write_text(asf_text())
    (tmp_path / "s.amc").write_text(amc_text(values))
    return tmp_path / "s.asf", tmp_path / "s.amc", values


def test_acclaim_bones_end_where_kinematics_by_hand_puts_them(acclaim):
    asf, amc, values = acclaim
    source = read_asf_amc_source(asf, amc)
    for number, frame in enumerate(values):
        ends = ends_by_hand(frame)
        for name, (parent, *_) in ACCLAIM.items():
            place = source.positions()[number, source.skeleton.joints.index(name)]
            np.testing.assert_allclose(place, ends[parent] * 0.0254 / 0.45, atol=1e-7)


def test_smpl_rotations_from_acclaim_put_feet_and_wrists_where_the_file_puts_them(acclaim):
    asf, amc, _ = acclaim
    joints = (
        *FEET_AND_WRISTS,
        "left_foot",
        "right_foot",
        "left_elbow",
        "right_shoulder",
        "left_knee",
        "neck",
    )
    source, motion = read_asf_amc_source(asf, amc), read_asf_amc(asf, amc)
    assert largest_distance(motion, source, CMU_CORRESPONDENCE, joints) < 1e-5


def test_an_elbow_bent_in_acclaim_is_bent_about_y_in_smpl(acclaim):
    asf, amc, values = acclaim
    still = {name: np.zeros_like(row) for name, row in values[0].items()}
    still["lradius"], still["rradius"] = np.array([70.0]), np.array([70.0])
    amc.write_text(amc_text([still]))
    rotations = read_asf_amc(asf, amc).rotations[0]
    forearm = rotations[SMPL_24.index["left_elbow"]] @ torch.tensor([1.0, 0, 0])
    bend = math.radians(70)
    np.testing.assert_allclose(forearm, [math.cos(bend), 0, math.sin(bend)], atol=1e-6)
    forearm = rotations[SMPL_24.index["right_elbow"]] @ torch.tensor([-1.0, 0, 0])
    np.testing.assert_allclose(forearm, [-math.cos(bend), 0, math.sin(bend)], atol=1e-6)


def broken_amc(text: str) -> dict[str, str]:
    """Ways to break a good AMC file: what the error must say -> the text."""
    lines = text.splitlines()
    return {
        "frame 4.*rhand": "\n".join(lines[:-1]),
        "frame 4, rhand needs 2 numbers": "\n".join([*lines[:-1], "rhand 1.0"]),
        "root tx is nan in frame 0": text.replace("root " + lines[4].split()[1], "root nan"),
        "frame 1.*wing": text.replace("ltibia", "wing", 1),
        "needs numbers": "\n".join([*lines[:-1], "rhand 1.0 x"]),
        "needs frames": "\n".join(lines[:3]),
    }


@pytest.mark.parametrize("words", list(broken_amc("a\nb\nc\n1\nroot 1\n")))
def test_a_broken_amc_file_is_refused_by_name(acclaim, words):
    asf, amc, _ = acclaim
    amc.write_text(broken_amc(amc.read_text())[words])
    with pytest.raises(BadInputError, match=words) as caught:
        read_asf_amc(asf, amc)
    assert "s.amc" in str(caught.value)


@pytest.mark.parametrize("cut", [":hierarchy", ":units", "     axis 0 0 20"])
def test_a_skeleton_file_cut_short_is_refused_by_name(acclaim, cut):
    asf, _, _ = acclaim
    asf.write_text(asf.read_text().split(cut)[0])
    with pytest.raises(BadInputError, match=r"s\.asf"):
        read_asf(asf)


def test_a_skeleton_without_a_thigh_is_refused_by_name(acclaim):
    asf, amc, values = acclaim
    asf.write_text(asf.read_text().replace("lfemur", "thigh"))
    amc.write_text(amc.read_text().replace("lfemur", "thigh"))
    with pytest.raises(BadInputError, match=r"s\.amc.*lfemur"):
        read_asf_amc(asf, amc)
    assert len(values) == 4


# ---- exponential maps


def expmap_positions_by_hand(frames: np.ndarray, skeleton: dict) -> np.ndarray:
    """R_world[j] = R(expmap_j) @ R_world[parent], x[j] = offset[j] @ R_world[parent] + x[parent], in offset units."""
    positions = np.zeros((len(frames), 38, 3))
    for number, frame in enumerate(frames):
        world = []
        for joint, parent in enumerate(skeleton["parent"]):
            own = Rotation.from_rotvec(frame[skeleton["exp_map_columns"][joint]]).as_matrix()
            world.append(own if parent < 0 else own @ world[parent])
            if parent >= 0:
                step = np.array(skeleton["offset"][joint]) @ world[parent]
                positions[number, joint] = step + positions[number, parent]
    return positions


@pytest.mark.data
def test_exponential_maps_stand_where_kinematics_by_hand_puts_them(shared_data):
    folder = shared_data / "mocap" / "cmu_expmap"
    source = read_expmap_sources(folder / "test_running.npz", folder / "skeleton.json")[0]
    with np.load(folder / "test_running.npz") as arrays:
        frames = arrays["running_1"][1:].astype(np.float64)  # frame 0 is the exporter's T pose
    expected = expmap_positions_by_hand(frames, json.loads((folder / "skeleton.json").read_text())) * 0.00082
    found = source.positions() - source.translation[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.fixture
def expmap_folder(tmp_path: Path) -> Path:
    parents = [-1, *range(37)]
    offsets = [[0.0, 100.0, 0.0]] * 38
    (tmp_path / "skeleton.json").write_text(json.dumps({"parent": parents, "offset": offsets}))
    np.savez(tmp_path / "clip.npz", walk=RNG.normal(0, 0.3, (5, 117)).astype(np.float32))
    return tmp_path


def test_a_t_pose_before_the_recording_is_left_out(expmap_folder):
    frames = RNG.normal(0, 0.3, (5, 117)).astype(np.float32)
    frames[0, 3:] = 0
    np.savez(expmap_folder / "clip.npz", walk=frames, run=frames[1:])
    walk, run = read_expmap(expmap_folder / "clip.npz", expmap_folder / "skeleton.json")
    np.testing.assert_allclose(walk.rotations, run.rotations, atol=1e-6)
    assert (walk.name, run.name) == ("clip/walk", "clip/run")


def test_exponential_maps_that_are_not_finite_are_refused_by_clip_and_frame(expmap_folder):
    frames = np.zeros((5, 117), np.float32)
    frames[3, 40] = np.inf
    np.savez(expmap_folder / "clip.npz", walk=frames)
    with pytest.raises(BadInputError, match=r"clip\.npz, clip walk.*column 40 is inf in frame 3"):
        read_expmap(expmap_folder / "clip.npz", expmap_folder / "skeleton.json")


def test_exponential_maps_of_another_width_or_cut_short_are_refused_by_name(expmap_folder):
    np.savez(expmap_folder / "narrow.npz", walk=np.zeros((5, 99), np.float32))
    with pytest.raises(BadInputError, match=r"narrow\.npz, clip walk"):
        read_expmap(expmap_folder / "narrow.npz", expmap_folder / "skeleton.json")
    whole = (expmap_folder / "clip.npz").read_bytes()
    (expmap_folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match=r"cut\.npz"):
        read_expmap(expmap_folder / "cut.npz", expmap_folder / "skeleton.json")
    (expmap_folder / "skeleton.json").write_text('{"parent": [')
    with pytest.raises(BadInputError, match=r"skeleton\.json"):
        read_expmap(expmap_folder / "clip.npz", expmap_folder / "skeleton.json")


# ---- DeepMimic


def deepmimic_row(**turns: list[float]) -> list[float]:
    """One frame at rest, but for the joints that are given."""
    unturned = [1.0, 0.0, 0.0, 0.0]
    order = (
        "root", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow",
        "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow",
    )  # fmt: skip
    row = [0.05, 1.0, 0.9, 2.0]
    for joint in order:
        row += turns.get(joint, [0.0] if joint.endswith(("knee", "elbow")) else unturned)
    return row


def deepmimic_file(folder: Path, rows: list[list[float]]) -> Path:
    path = folder / "humanoid3d_test.txt"
    path.write_text(json.dumps({"Loop": "wrap", "Frames": rows}))
    return path


def test_a_deepmimic_humanoid_at_rest_has_hanging_arms_and_faces_forward(tmp_path):
    motion = read_deepmimic(deepmimic_file(tmp_path, [deepmimic_row(), deepmimic_row()]))
    world = accumulate_turns(motion.rotations, SMPL_PARENTS)[0]
    for side, outward in (("left", 1.0), ("right", -1.0)):
        forearm = world[SMPL_24.index[f"{side}_elbow"]] @ torch.tensor([outward, 0, 0])
        np.testing.assert_allclose(forearm, [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(world[SMPL_24.index["left_knee"]], np.eye(3), atol=1e-6)
    # The humanoid's (x forward, y up, z right) = (1, 0.9, 2) is 2 m to the right and 1 m ahead.
    np.testing.assert_allclose(motion.translation[0], [-2, 0.9, 1], atol=1e-6)
    assert motion.frame_rate == pytest.approx(20)
    assert motion.name == "test"


def test_a_deepmimic_knee_bends_backwards_and_an_elbow_forwards(tmp_path):
    row = deepmimic_row(left_knee=[-math.pi / 2], right_elbow=[math.pi / 2])
    world = accumulate_turns(read_deepmimic(deepmimic_file(tmp_path, [row, row])).rotations, SMPL_PARENTS)[0]
    shin = world[SMPL_24.index["left_knee"]] @ torch.tensor([0.0, -1, 0])
    forearm = world[SMPL_24.index["right_elbow"]] @ torch.tensor([-1.0, 0, 0])
    np.testing.assert_allclose(shin, [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(forearm, [0, 0, 1], atol=1e-6)


def test_deepmimic_joints_stand_where_kinematics_by_hand_puts_them(tmp_path):
    """Root, hip and knee turned at random, in the humanoid's own frame (x forward, y up, z right)."""
    root, hip = Rotation.random(2, random_state=3)
    scalar_first = [list(np.roll(turn.as_quat(), 1)) for turn in (root, hip)]
    row = deepmimic_row(root=scalar_first[0], left_hip=scalar_first[1], left_knee=[-0.8])
    thigh = root * hip
    shin = thigh * Rotation.from_euler("z", -0.8)
    ankle = np.array([1, 0.9, 2]) + root.apply([0, 0, -0.084887])
    ankle = ankle + thigh.apply([0, -0.421546, 0]) + shin.apply([0, -0.40987, 0])
    source = read_deepmimic_source(deepmimic_file(tmp_path, [row, row]))
    found = source.positions()[0, source.skeleton.joints.index("left_ankle")]
    np.testing.assert_allclose(found, [-ankle[2], ankle[1], ankle[0]], atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([deepmimic_row(), deepmimic_row()[:-1]], "frame 1 needs 44 numbers"),
        ([deepmimic_row(), [float("nan"), *deepmimic_row()[1:]]], "number 0 is nan in frame 1"),
        ([], "frames that last"),
    ],
)
def test_a_broken_deepmimic_clip_is_refused_by_name(tmp_path, rows, words):
    with pytest.raises(BadInputError, match=rf"humanoid3d_test\.txt.*{words}|{words}.*humanoid3d_test"):
        read_deepmimic(deepmimic_file(tmp_path, rows))


def test_a_deepmimic_clip_cut_short_is_refused_by_name(tmp_path):
    path = deepmimic_file(tmp_path, [deepmimic_row()])
    path.write_text(path.read_text()[:100])
    with pytest.raises(BadInputError, match="humanoid3d_test"):
        read_deepmimic(path)


# ---- AMASS


def amass_file(folder: Path, **changes: np.ndarray) -> Path:
    poses = np.zeros((4, 156))
    poses[:, 0] = math.pi / 2  # stands the y-up body in AMASS's world, whose z is up
    poses[:, 3 * KNEE] = 0.5
    poses[:, 66:] = 9.0  # fingers
    arrays = {
        "poses": poses,
        "trans": np.tile([1.0, 2.0, 3.0], (4, 1)),
        "betas": np.arange(16.0),
        "mocap_framerate": np.array(120.0),
    }
    path = folder / "subject_poses.npz"
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


KNEE = SMPL_24.index["left_knee"]


def test_a_person_who_stands_in_amass_stands_with_y_up(tmp_path):
    motion = read_amass(amass_file(tmp_path))
    expected = np.zeros((24, 3))
    expected[KNEE, 0] = 0.5
    np.testing.assert_allclose(motion.pose.reshape(4, 24, 3)[0], expected, atol=1e-6)
    np.testing.assert_allclose(motion.translation[0], [1, 3, -2], atol=1e-6)
    assert motion.shape is not None
    np.testing.assert_allclose(motion.shape, np.arange(10))  # SMPL-H's space of shapes is SMPL's
    assert motion.frame_rate == 120


@pytest.mark.parametrize("size", [66, 72, 165])
def test_poses_of_other_bodies_give_their_first_joints(tmp_path, size):
    poses = RNG.normal(0, 0.2, (2, size))
    path = amass_file(
        tmp_path, poses=poses, trans=np.zeros((2, 3)), mocap_framerate=None, mocap_frame_rate=60.0
    )
    motion = read_amass(path)
    shared = 72 if size == 72 else 66
    np.testing.assert_allclose(motion.pose[:, 3:shared], poses[:, 3:shared], atol=1e-6)
    np.testing.assert_array_equal(motion.pose[:, shared:], 0)
    assert (motion.shape is None) == (size == 165)  # SMPL-X has a space of shapes of its own
    assert motion.frame_rate == 60


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"poses": np.zeros((4, 100))}, "shape"),
        ({"trans": np.zeros((3, 3))}, "trans"),
        ({"poses": np.full((4, 156), np.nan)}, "poses column 0 is nan in frame 0"),
        ({"mocap_framerate": None}, "frame rate"),
        ({"mocap_framerate": np.array(0.0)}, "positive frame rate"),
        ({"poses": None}, "cannot be read"),
    ],
)
def test_a_broken_amass_file_is_refused_by_name(tmp_path, changes, words):
    with pytest.raises(BadInputError, match=words) as caught:
        read_amass(amass_file(tmp_path, **changes))
    assert "subject_poses.npz" in str(caught.value)


# ---- all of them


@pytest.mark.parametrize("read", [read_bvh, read_deepmimic, read_amass])
def test_a_motion_file_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(MissingAssetError, match="nothing"):
        read(tmp_path / "nothing.bvh")


def test_the_second_file_of_a_pair_that_is_not_there_is_named(acclaim, expmap_folder):
    asf, amc, _ = acclaim
    for read, first, second in (
        (read_asf_amc, asf.with_name("nothing.asf"), amc),
        (read_asf_amc, asf, amc.with_name("nothing.amc")),
        (read_expmap, expmap_folder / "clip.npz", expmap_folder / "nothing.json"),
        (read_expmap, expmap_folder / "nothing.npz", expmap_folder / "skeleton.json"),
    ):
        with pytest.raises(HumanMeshError, match="nothing"):
            read(first, second)


def real_clips(shared_data: Path) -> dict[str, tuple[SourceMotion, Motion, Correspondence]]:
    mocap = shared_data / "mocap"
    arrays, skeleton = mocap / "cmu_expmap" / "train_running.npz", mocap / "cmu_expmap" / "skeleton.json"
    asf, amc = mocap / "cmu_asfamc" / "02" / "02.asf", mocap / "cmu_asfamc" / "02" / "02_03.amc"
    clip = mocap / "deepmimic" / "humanoid3d_run.txt"
    return {
        "exponential maps": (
            read_expmap_sources(arrays, skeleton)[0], read_expmap(arrays, skeleton)[0], CMU_CORRESPONDENCE,
        ),
        "acclaim": (read_asf_amc_source(asf, amc, 30.0), read_asf_amc(asf, amc, 30.0), CMU_CORRESPONDENCE),
        "deepmimic": (read_deepmimic_source(clip), read_deepmimic(clip), DEEPMIMIC_CORRESPONDENCE),
    }  # fmt: skip


def arm_errors(source: SourceMotion, motion: Motion, correspondence: Correspondence) -> list[float]:
    """Metres between shoulder-to-wrist of the source and of SMPL's rotations on the source's lengths, at worst."""
    world = accumulate_turns(motion.rotations.double(), SMPL_PARENTS)
    places = dict(zip(source.skeleton.joints, source.positions().unbind(1), strict=True))
    errors = []
    for side, outward in (("left", 1.0), ("right", -1.0)):
        shoulder = places[correspondence.follows[f"{side}_shoulder"].first]
        elbow, wrist = (
            places[correspondence.limb_ends[f"{side}_{joint}"]] for joint in ("shoulder", "elbow")
        )
        along_x = torch.tensor([outward, 0, 0]).double()
        arm = sum(
            (end - start).norm(dim=1, keepdim=True) * (world[:, SMPL_24.index[f"{side}_{joint}"]] @ along_x)
            for joint, start, end in (("shoulder", shoulder, elbow), ("elbow", elbow, wrist))
        )
        errors.append(float((arm - (wrist - shoulder)).norm(dim=1).max()))
    return errors


@pytest.mark.data
def test_runners_of_every_source_keep_their_feet_and_wrists_and_run_forwards_on_bending_knees(shared_data):
    for name, (source, motion, correspondence) in real_clips(shared_data).items():
        joints = FEET_AND_WRISTS if name != "deepmimic" else ("left_ankle", "right_ankle")
        assert largest_distance(motion, source, correspondence, joints) < 0.001, name
        assert max(arm_errors(source, motion, correspondence)) < 0.001, name
        world = accumulate_turns(motion.rotations, SMPL_PARENTS)
        path = motion.translation[-1] - motion.translation[0]
        facing = world[:, 0, :, 2].mean(0)
        assert torch.nn.functional.cosine_similarity(path[[0, 2]], facing[[0, 2]], dim=0) > 0.9, name
        assert world[:, 0, 1, 1].mean() > 0.8, name  # the pelvis is upright
        for side in ("left", "right"):
            knee = motion.rotations[:, SMPL_24.index[f"{side}_knee"]]
            shin_ahead = -knee[:, 2, 1]  # z of the shin where the thigh points down
            assert shin_ahead.max() < 0.05, name
            assert shin_ahead.min() < -0.6, name
            elbow = motion.rotations[:, SMPL_24.index[f"{side}_elbow"]]
            sign = 1 if side == "left" else -1
            assert (sign * elbow[:, 2, 0]).median() > 0.4, name  # the forearm goes ahead of the T's arm
