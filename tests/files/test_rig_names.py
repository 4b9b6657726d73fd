"""Names of bones: against the documents of the programs, and in the files themselves."""

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from test_meshes import make_person

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import UnknownNameError
from humanmesh.files.meshes import save_person
from humanmesh.files.rig_names import RIG_NAMES, bone_names

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/rigs.md"


@pytest.fixture(scope="module")
def person():
    return make_person()


@pytest.mark.parametrize("rig", RIG_NAMES)
def test_every_joint_has_a_name_of_its_own_in_every_rig(rig):
    assert len(set(bone_names(rig))) == len(SMPL_24)


@pytest.mark.parametrize("rig", RIG_NAMES)
def test_the_two_sides_have_mirrored_names(rig):
    names = bone_names(rig)
    swaps = {"Left": "Right", "Right": "Left", "left_": "right_", "right_": "left_"}
    for name, mirror in zip(names, SMPL_24.mirror, strict=True):
        other = re.sub(r"Left|Right|left_|right_", lambda side: swaps[side.group()], name)
        other = re.sub(r"_([lr])$", lambda side: "_r" if side[1] == "l" else "_l", other)
        assert names[mirror] == other


def test_mixamos_arm_hangs_together_as_mixamo_says():
    names = dict(zip(SMPL_24.joints, bone_names("mixamo"), strict=True))
    chain = [names[joint] for joint in ("spine3", "left_collar", "left_shoulder", "left_elbow", "left_wrist")]
    assert chain == [
        "mixamorig:Spine2",
        "mixamorig:LeftShoulder",
        "mixamorig:LeftArm",
        "mixamorig:LeftForeArm",
        "mixamorig:LeftHand",
    ]


def test_unitys_required_bones_are_all_there():
    """The fifteen that a Humanoid avatar must have (Unity manual, Avatar Mapping)."""
    limbs = ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
    required = {"Hips", "Spine", "Head"} | {side + limb for side in ("Left", "Right") for limb in limbs}
    assert required <= set(bone_names("unity"))


def test_the_document_shows_the_very_table():
    rows = [
        re.findall(r"[\w:]+", line)
        for line in DOCUMENT.read_text().splitlines()
        if re.match(r"\| \W?\w", line)
    ]
    programs, shown = rows[0], {row[0]: row for row in rows[1:]}
    assert set(programs) == set(RIG_NAMES)
    for joint in (joint for joint in SMPL_24.joints if not joint.startswith("right_")):
        assert shown[joint] == [bone_names(program)[SMPL_24.index[joint]] for program in programs]


@pytest.mark.parametrize("rig", ["mixamo", "ue5"])
def test_glb_and_bvh_carry_the_names(rig, person, tmp_path):
    named = replace(person, bones=bone_names(rig))
    save_person(tmp_path / "a.glb", named)
    content = (tmp_path / "a.glb").read_bytes()
    document = json.loads(content[20 : 20 + struct.unpack("<I", content[12:16])[0]])
    joints = document["skins"][0]["joints"]
    assert tuple(document["nodes"][row]["name"] for row in joints) == bone_names(rig)
    save_person(tmp_path / "a.bvh", named)
    found = re.findall(r"(?:ROOT|JOINT) (\S+)", (tmp_path / "a.bvh").read_text())
    assert sorted(found) == sorted(bone_names(rig))


def test_an_unknown_rig_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="mixamo, smpl, ue4, ue5, unity"):
        bone_names("maya")
