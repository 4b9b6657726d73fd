"""Protocols as data: which people, which joints, which root, which unit, which mean. No code knows a protocol by name.

Two figures may stand in one table only where their protocols are equal; `Protocol.sentence` says all that decides.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, H36M_17, LSP_14, MPI_INF_3DHP_17, SKELETONS
from humanmesh.errors import UnknownNameError

Task = Literal["keypoints", "pose", "volume", "mesh", "silhouette", "parts"]
"""2D keypoints (PCK); 3D joints (MPJPE, reconstruction error); their PCK and AUC at 150 mm; vertices (PVE, and PVE-T-SC of systems that give a shape); masks."""

Size = Literal["keypoints box", "data set's box", "torso", "head"]
"""What 2D errors are measured in units of."""

Crop = Literal["keypoints box", "data set's box"]

_CROP_SENTENCES: dict[Crop, str] = {
    "keypoints box": "a square of 1.25 times the longer side of the box of the 2D joints that count",
    "data set's box": "a square of 1.15 times the longer side of the data set's box",
}
_SIZE_SENTENCES: dict[str, str] = {
    "keypoints box": "the longer side of the box of the annotated joints",
    "data set's box": "the longer side of the data set's own box",
    "torso": "the distance from left shoulder to right hip",
    "head": "the distance from neck to head top",
}
_TASK_SENTENCES: dict[Task, str] = {
    "keypoints": "2D PCK, strictly below a share of {size}, by joint and then over joints",
    "pose": "mm, mean over joints and then over frames; reconstruction error by similarity Procrustes per frame",
    "volume": "PCK strictly below 150 mm and AUC over 31 thresholds from 0 to 150 mm, over {points} alike",
    "mesh": "PVE in mm over all vertices, same root; PVE-T-SC, of a system that gives a shape, the same in the rest pose at the truth's size and place",
    "silhouette": "person against background, pixels summed over the whole set, F1 the mean of both classes",
    "parts": "six parts and background, pixels summed over the whole set, F1 the mean of seven classes without pixels left open",
}


@dataclass(frozen=True)
class Selection:
    """Which people of a data set are measured."""

    sentence: str
    """The same in words."""
    keep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Tag -> values of which it must have one."""
    leave_out: tuple[dict[str, str], ...] = ()
    """Whoever has all tags of one of these is left out."""
    every: int = 1
    """Keep frames 1, 1 + every, 1 + 2 every ... of a sequence, by the number in the tag `frame`."""
    records: tuple[int, int] | None = None
    """First and last number in the records' names."""
    held_out: bool = False
    """Only the hold-out of `data.splits`."""
    with_mask: bool = False
    """Only people with a mask."""
    minimum_joints: int = 2
    """People with fewer annotated 2D joints are left out; without two there is nothing to crop."""
    required: tuple[str, ...] = ()
    """Joints that must all be annotated."""


@dataclass(frozen=True)
class Protocol:
    """How a figure is measured."""

    name: str
    """On the command line."""
    data_set: str
    """Key of `cases.DATA_SETS`: what is read, and its layout."""
    tasks: tuple[Task, ...]
    """What is measured."""
    selection: Selection
    """Whom."""
    joints: tuple[str, ...] = LSP_14.joints
    """Which joints."""
    keypoint_set: str = COCOPLUS_19.name
    """The keypoints of the predicted body that they are taken from."""
    root: tuple[str, ...] = ()
    """Joints whose mean is subtracted from prediction and truth, each its own."""
    truth: str = "annotated joints"
    """Where the truth comes from."""
    truth_joints: Literal["annotated", "of the body"] = "annotated"
    """Whether 3D joints are the data set's, or those of the data set's body by `keypoint_set`."""
    volume_joints: tuple[str, ...] = ()
    """Those of `joints` that PCK and AUC in space count; all where empty."""
    truth_names: tuple[tuple[str, str], ...] = ()
    """(joint, what the data set calls it), where it has another name for it."""
    crop: Crop = "keypoints box"
    """What the network is shown: a square round the known 2D joints, or round the data set's own box."""
    thresholds: tuple[float, ...] = ()
    """Of 2D PCK."""
    size: Size = "keypoints box"
    """Unit of 2D errors, but for the factor."""
    size_factor: float = 1.0
    """2D errors are measured in units of so many times `size`."""
    minimum_weight: float = 0.0
    """A 2D joint counts if its weight (a machine's score) is larger."""
    sequence: tuple[str, ...] = ()
    """Tags that name a sequence: frames of one are not independent, and count as one sample in intervals."""
    action: str = ""
    """Tag by which means are listed and averaged once more: over sequences, then over actions."""
    official_file: str = ""
    """Name of the file that others measured; empty where the layout alone says that it is theirs."""
    file: str = ""
    """Name of the file that is measured, where it is another: then no published figure can stand beside it."""
    note: str = ""
    """What else a reader must know."""

    @property
    def sentence(self) -> str:
        """All that decides, in one line."""
        parts = [self._joints_sentence()] if _needs_joints(self.tasks) else []
        if self.root:
            parts.append(f"root: {' and '.join(self.root)}")
        parts += [self._task_sentence(task) for task in self.tasks]
        parts += [f"truth: {self.truth}", f"crop: {_CROP_SENTENCES[self.crop]}", self.selection.sentence]
        if self.file:
            parts.append(f"people of {self.file}")
        if self.note:
            parts.append(self.note)
        return f"{self.name}: {'; '.join(parts)}."

    def _joints_sentence(self) -> str:
        return f"{_counted(self.joints)} of the body's {self.keypoint_set}"

    def _task_sentence(self, task: Task) -> str:
        factor = "" if self.size_factor == 1 else f"{self.size_factor:g} times "
        points = _counted(self.volume_joints) if self.volume_joints else "all joints"
        return _TASK_SENTENCES[task].format(size=factor + _SIZE_SENTENCES[self.size], points=points)

    def truth_name(self, joint: str) -> str:
        """What the data set calls a joint."""
        return dict(self.truth_names).get(joint, joint)


def _counted(joints: tuple[str, ...]) -> str:
    known = [skeleton.name for skeleton in SKELETONS.values() if skeleton.joints == joints]
    names = known[0] if known else ", ".join(joints)
    return f"{len(joints)} joints ({names})"


def _needs_joints(tasks: tuple[Task, ...]) -> bool:
    return bool({"keypoints", "pose", "volume"} & set(tasks))


_HIPS = ("left_hip", "right_hip")
_LIMB_JOINTS = COCO_17.joints[5:]
"""Shoulders, elbows, wrists, hips, knees, ankles."""
_FRONTAL = "60457274"
"""Camera 3 of Human3.6M, counted from 0."""
_H36M_TEST = {"subject": ("S9", "S11")}

_LSPET = Protocol(
    "lspet-pck",
    "lspet",
    ("keypoints",),
    Selection("im08001 to im09000, at least 6 annotated joints", held_out=True, minimum_joints=6),
    thresholds=(0.05, 0.1, 0.2),
    truth="joints annotated by the crowd, some of them wrong",
)
_CCP = Protocol(
    "ccp-silhouette",
    "ccp",
    ("silhouette",),
    Selection(
        "labelled photos whose number is a multiple of 5, at least 6 keypoints",
        held_out=True,
        with_mask=True,
        minimum_joints=6,
    ),
    truth="labelled pixels without bags, purses and wallets",
)
_EXERCISES = Protocol(
    "exercises-pck",
    "exercises",
    ("keypoints",),
    Selection(
        "a tenth of the exercises by a hash of the name, at least 6 keypoints that count",
        held_out=True,
        minimum_joints=6,
    ),
    joints=COCO_17.joints,
    thresholds=(0.05, 0.1, 0.2),
    minimum_weight=0.5,
    truth="MoveNet's keypoints with a score above 0.5",
)
_SYNTHETIC = Protocol(
    "synthetic",
    "synthetic",
    ("pose", "mesh", "keypoints", "silhouette"),
    Selection("rendered people with at least 6 joints in the picture", minimum_joints=6),
    root=_HIPS,
    thresholds=(0.05, 0.1),
    truth="the rendered body; its mask as far as it is seen",
)
_H36M_P1 = Protocol(
    "h36m-p1",
    "h36m",
    ("pose",),
    Selection(
        "S9 and S11, all cameras and trials without the corrupt S11 Directions trial 1 camera 0, every 5th frame (10 Hz)",
        keep=_H36M_TEST,
        every=5,
        leave_out=({"subject": "S11", "action": "Directions", "trial": "1", "camera": "54138969"},),
    ),
    root=_HIPS,
    truth="joints of the motion capture",
    sequence=("subject", "action", "trial", "camera"),
    action="action",
)
_H36M_P2 = replace(
    _H36M_P1,
    name="h36m-p2",
    selection=Selection(
        "S9 and S11, frontal camera 3 and trial 0 only (HMR's code), every 5th frame (10 Hz)",
        keep=_H36M_TEST | {"camera": (_FRONTAL,), "trial": ("0",)},
        every=5,
    ),
)
_H36M_P1_SPIN = replace(
    _H36M_P1,
    name="h36m-p1-spin",
    selection=Selection("S9 and S11, all cameras, every 5th frame (SPIN's code)", keep=_H36M_TEST, every=5),
    keypoint_set=H36M_17.name,
    root=("pelvis",),
)
_H36M_P2_SPIN = replace(
    _H36M_P1_SPIN,
    name="h36m-p2-spin",
    selection=Selection(
        "S9 and S11, camera 60457274, all trials, every 5th frame (SPIN's code)",
        keep=_H36M_TEST | {"camera": (_FRONTAL,)},
        every=5,
    ),
)
_3DHP_17 = Protocol(
    "mpi-inf-3dhp-17",
    "mpi_inf_3dhp",
    ("pose", "volume"),
    Selection("TS1 to TS6, valid frames"),
    joints=MPI_INF_3DHP_17.joints,
    keypoint_set=MPI_INF_3DHP_17.name,
    root=("pelvis",),
    truth="univ_annot3 (every subject scaled to one height)",
    sequence=("sequence",),
    action="action",
    note="without the perspective correction that HMR's paper applies to all its rows",
)
_3DHP_17_SPIN = replace(
    _3DHP_17,
    name="mpi-inf-3dhp-17-spin",
    selection=Selection("TS1 to TS6, valid frames with all 17 joints in the photo", minimum_joints=17),
    joints=H36M_17.joints,
    keypoint_set=H36M_17.name,
    truth_names=(("jaw", "head"),),
    note="the jaw of Human3.6M's regressor against 3DHP's head (SPIN's code)",
)
_3DPW = Protocol(
    "3dpw",
    "pw3d",
    ("pose", "mesh"),
    Selection("test split, one record a person, valid cameras only", keep={"split": ("test",)}),
    keypoint_set=H36M_17.name,
    root=("pelvis",),
    truth="joints and vertices of the gendered SMPL bodies, the prediction's of its own body",
    truth_joints="of the body",
    sequence=("sequence", "person"),
    note="PVE after subtraction of each body's own pelvis",
)
_LSP = Protocol(
    "lsp-segmentation",
    "lsp_masks",
    ("silhouette", "parts"),
    Selection("LSP im1001 to im2000", records=(1001, 2000), with_mask=True),
    truth="UPi-S1h masks",
    note="pixels left open count as background in the accuracy, as in SPIN's code",
)
_COCO = Protocol(
    "coco-pck",
    "coco",
    ("keypoints",),
    Selection("people with at least 6 annotated joints", minimum_joints=6),
    joints=COCO_17.joints,
    thresholds=(0.05, 0.1),
    size="data set's box",
    minimum_weight=0.5,
    crop="data set's box",
    official_file="person_keypoints_val2017.json",
)
_COCO_HMR2 = replace(
    _COCO,
    name="coco-pck-hmr2",
    selection=Selection("people with all twelve joints of arms and legs annotated", required=_LIMB_JOINTS),
    size_factor=1.2,
)
_POSETRACK = replace(
    _COCO_HMR2,
    name="posetrack-pck",
    joints=("nose", "neck", "head_top", *_LIMB_JOINTS),
    official_file="posetrack18_val.json",
)
_SHARDS = Protocol(
    "shards-pck",
    "shards",
    ("keypoints",),
    Selection("people of packed tars with at least 6 annotated joints", minimum_joints=6),
    joints=COCOPLUS_19.joints,
    thresholds=(0.05, 0.1, 0.2),
    truth="annotated joints, in pictures as they were packed",
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _LSPET,
        replace(_LSPET, name="lspet-pck-hmr2", size_factor=1.2, thresholds=(0.05, 0.1)),
        _CCP,
        _EXERCISES,
        _SYNTHETIC,
        _H36M_P1,
        _H36M_P2,
        _H36M_P1_SPIN,
        _H36M_P2_SPIN,
        _3DHP_17,
        replace(_3DHP_17, name="mpi-inf-3dhp-14", joints=LSP_14.joints),
        replace(_3DHP_17, name="mpi-inf-3dhp", volume_joints=LSP_14.joints),
        _3DHP_17_SPIN,
        _3DPW,
        _LSP,
        _COCO,
        _COCO_HMR2,
        _POSETRACK,
        replace(_COCO, name="lspet-pck-box", data_set="spin", joints=LSP_14.joints, official_file=""),
        _SHARDS,
    )
}


def protocol_by_name(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownNameError: listing the names that exist.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, list(PROTOCOLS))
    return PROTOCOLS[name]
