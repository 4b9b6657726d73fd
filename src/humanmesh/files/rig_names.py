"""What other programs call the 24 joints, so that their retargeting finds the bones by name."""

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import UnknownNameError

_PROGRAMS = ("mixamo", "unity", "ue4", "ue5")

_TABLE: dict[str, tuple[str, str, str, str]] = {
    "pelvis": ("Hips", "Hips", "pelvis", "pelvis"),
    "spine1": ("Spine", "Spine", "spine_01", "spine_01"),
    "spine2": ("Spine1", "Chest", "spine_02", "spine_03"),
    "spine3": ("Spine2", "UpperChest", "spine_03", "spine_05"),
    "neck": ("Neck", "Neck", "neck_01", "neck_01"),
    "head": ("Head", "Head", "head", "head"),
    "collar": ("{Side}Shoulder", "{Side}Shoulder", "clavicle_{s}", "clavicle_{s}"),
    "shoulder": ("{Side}Arm", "{Side}UpperArm", "upperarm_{s}", "upperarm_{s}"),
    "elbow": ("{Side}ForeArm", "{Side}LowerArm", "lowerarm_{s}", "lowerarm_{s}"),
    "wrist": ("{Side}Hand", "{Side}Hand", "hand_{s}", "hand_{s}"),
    "hand": ("{Side}HandMiddle1", "{Side}MiddleProximal", "middle_01_{s}", "middle_01_{s}"),
    "hip": ("{Side}UpLeg", "{Side}UpperLeg", "thigh_{s}", "thigh_{s}"),
    "knee": ("{Side}Leg", "{Side}LowerLeg", "calf_{s}", "calf_{s}"),
    "ankle": ("{Side}Foot", "{Side}Foot", "foot_{s}", "foot_{s}"),
    "foot": ("{Side}ToeBase", "{Side}Toes", "ball_{s}", "ball_{s}"),
}
"""SMPL's joint, without its side -> the bone whose head stands there, in the order of `_PROGRAMS`."""

_PREFIX = {"mixamo": "mixamorig:"}


def _named(joint: str, program: str) -> str:
    side, _, part = joint.rpartition("_")
    pattern = _TABLE[part][_PROGRAMS.index(program)]
    return _PREFIX.get(program, "") + pattern.format(Side=side.capitalize(), s=side[:1])


RIG_NAMES: dict[str, tuple[str, ...]] = {
    "smpl": SMPL_24.joints,
    **{program: tuple(_named(joint, program) for joint in SMPL_24.joints) for program in _PROGRAMS},
}
"""Convention -> name of each joint, in SMPL's order: Mixamo; Unity's `HumanBodyBones`; Unreal's mannequins of
versions 4 and 5 (Manny has five bones in the spine and two in the neck, of which SMPL moves three and one)."""


def bone_names(convention: str) -> tuple[str, ...]:
    """Name of each of SMPL's 24 joints in that convention ("smpl", "mixamo", "unity", "ue4" or "ue5").

    Raises:
        UnknownNameError: listing the conventions that exist.
    """
    if convention not in RIG_NAMES:
        raise UnknownNameError("convention of bone names", convention, list(RIG_NAMES))
    return RIG_NAMES[convention]
