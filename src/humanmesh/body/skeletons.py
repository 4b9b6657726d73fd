"""Named joints. Numbers of joints appear only here; everything else asks by name.

Left and right are the person's own.
"""

from dataclasses import dataclass
from functools import cached_property

from humanmesh.errors import UnknownNameError


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of joint names, with the pairs that a mirror swaps and the bones to draw."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...] = ()

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each joint by name."""
        return {joint: row for row, joint in enumerate(self.joints)}

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Row whose value each row takes in a mirror image: `mirrored = values[list(mirror)]`."""
        return tuple(self.index[_mirrored_name(joint)] for joint in self.joints)

    def indices_in(self, other: "Skeleton") -> list[int]:
        """Rows of `other` that hold this skeleton's joints, in this order.

        Raises:
            ValueError: where `other` lacks one of them, naming it.
        """
        missing = [joint for joint in self.joints if joint not in other.index]
        if missing:
            raise ValueError(f"skeleton {other.name} has no joint {', '.join(missing)} of {self.name}")
        return [other.index[joint] for joint in self.joints]

    def __len__(self) -> int:
        return len(self.joints)


def _mirrored_name(joint: str) -> str:
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


_SMPL_TREE: tuple[tuple[str, str | None], ...] = (
    ("pelvis", None), ("left_hip", "pelvis"), ("right_hip", "pelvis"), ("spine1", "pelvis"),
    ("left_knee", "left_hip"), ("right_knee", "right_hip"), ("spine2", "spine1"),
    ("left_ankle", "left_knee"), ("right_ankle", "right_knee"), ("spine3", "spine2"),
    ("left_foot", "left_ankle"), ("right_foot", "right_ankle"), ("neck", "spine3"),
    ("left_collar", "spine3"), ("right_collar", "spine3"), ("head", "neck"),
    ("left_shoulder", "left_collar"), ("right_shoulder", "right_collar"),
    ("left_elbow", "left_shoulder"), ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"), ("right_wrist", "right_elbow"),
    ("left_hand", "left_wrist"), ("right_hand", "right_wrist"),
)  # fmt: skip

SMPL_24 = Skeleton(
    "smpl24",
    tuple(joint for joint, _ in _SMPL_TREE),
    tuple((joint, parent) for joint, parent in _SMPL_TREE if parent),
)

SMPL_PARENTS: tuple[int, ...] = tuple(
    -1 if parent is None else SMPL_24.index[parent] for _, parent in _SMPL_TREE
)
"""Parent row of each SMPL joint; -1 for the root. A parent always comes before its children."""

_LIMBS: tuple[tuple[str, str], ...] = (
    ("right_ankle", "right_knee"), ("right_knee", "right_hip"), ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"), ("right_wrist", "right_elbow"), ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"), ("left_elbow", "left_shoulder"),
)  # fmt: skip
_TRUNK = (
    ("right_hip", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "left_shoulder"),
)
_FACE = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
)
_NECK = (("neck", "head_top"), ("neck", "right_shoulder"), ("neck", "left_shoulder"))

LSP_14 = Skeleton(
    "lsp14",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", "head_top",
    ),
    _LIMBS + _TRUNK[:3] + _NECK,
)  # fmt: skip

COCO_17 = Skeleton(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    _LIMBS + _TRUNK + _FACE,
)  # fmt: skip

COCOPLUS_19 = Skeleton(
    "cocoplus19",
    (*LSP_14.joints, "nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    _LIMBS + _TRUNK[:3] + _NECK + _FACE,
)

_H36M_BONES = (
    ("pelvis", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "spine"), ("spine", "neck"),
    ("neck", "jaw"), ("jaw", "head_top"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
)  # fmt: skip

H36M_17 = Skeleton(
    "h36m17",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "spine", "neck", "jaw", "head_top",
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    _LIMBS + _H36M_BONES,
)  # fmt: skip

MPI_INF_3DHP_17 = Skeleton(
    "mpi_inf_3dhp17",
    (
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head",
    ),
    (
        *_LIMBS,
        ("pelvis", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "spine"), ("spine", "neck"),
        ("neck", "head"), ("head", "head_top"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
    ),
)  # fmt: skip

MPII_16 = Skeleton(
    "mpii16",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "pelvis", "thorax", "neck", "head_top",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    ),
    (
        *_LIMBS,
        ("pelvis", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "thorax"), ("thorax", "neck"),
        ("neck", "head_top"), ("thorax", "left_shoulder"), ("thorax", "right_shoulder"),
    ),
)  # fmt: skip
"""MPII's own names: its `neck` is the "upper neck", which stands where LSP's neck does."""

SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (SMPL_24, LSP_14, COCO_17, COCOPLUS_19, MPII_16, H36M_17, MPI_INF_3DHP_17)
}


def skeleton_by_name(name: str) -> Skeleton:
    """The skeleton of that name.

    Raises:
        UnknownNameError: listing the names that exist.
    """
    if name not in SKELETONS:
        raise UnknownNameError("keypoint set", name, list(SKELETONS))
    return SKELETONS[name]


SIX_PARTS: tuple[str, ...] = ("head", "torso", "left_arm", "right_arm", "left_leg", "right_leg")
"""The parts of the LSP segmentation benchmark; class 0 of a label image is the background. The torso has the neck, as in UPi-S1h (Lassner
et al. 2017); there it has the caps of the shoulders, too, which SMPL's parts do not tell from the upper arms."""

_SIX_PART_OF_JOINT = {
    "head": ("head",),
    "torso": ("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "right_collar"),
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    "left_leg": ("left_hip", "left_knee", "left_ankle", "left_foot"),
    "right_leg": ("right_hip", "right_knee", "right_ankle", "right_foot"),
}

SIX_PART_OF_SMPL_JOINT: tuple[int, ...] = tuple(
    next(number for number, part in enumerate(SIX_PARTS) if joint in _SIX_PART_OF_JOINT[part])
    for joint in SMPL_24.joints
)
"""Row of `SIX_PARTS` for each of the 24 SMPL joints."""
