"""The keypoint sets of SMPL's mesh, as linear maps of its vertices, from whichever regressors the user has.

Three sources, best first: a regressor of that very set; SPIN's nine extra joints (Kolotouros et al. 2019); SMPL's
own joints and single vertices. From the last, hips lie higher and closer together than data sets annotate them and
the thorax of MPII and the jaw and spine of Human3.6M and MPI-INF-3DHP are stand-ins, so errors measured with them
are not a paper's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import (
    COCO_17,
    COCOPLUS_19,
    H36M_17,
    LSP_14,
    MPI_INF_3DHP_17,
    MPII_16,
    SMPL_24,
    Skeleton,
)

SMPL_VERTEX_COUNT = 6890

_VERTEX_OF = {
    "nose": 332, "left_eye": 2800, "right_eye": 6260, "left_ear": 583, "right_ear": 4071,
    "head_top": 411,
}  # fmt: skip
"""Face: `smplx.vertex_ids` (0.1.28). Top of the head: SMPLify's `head_id` (Bogo et al. 2016)."""

EXTRA_JOINTS: tuple[str, ...] = (
    "right_hip", "left_hip", "neck", "head_top", "pelvis", "thorax", "spine", "jaw", "head",
)  # fmt: skip
"""Rows of SPIN's J_regressor_extra.npy: four of LSP, pelvis and thorax of MPII, three of Human3.6M."""

_OF_PHOTOS = (LSP_14, COCO_17, COCOPLUS_19, MPII_16)
"""Sets annotated on photos, whose joints of one name are the same; the cocoplus regressor was learned from them."""

_STAND_IN = {
    MPII_16.name: {"thorax": ("left_shoulder", "right_shoulder")},
    H36M_17.name: {"spine": ("spine2",), "jaw": ("head", "nose")},
    MPI_INF_3DHP_17.name: {"spine": ("spine1",)},
}
"""What a keypoint without a source of its own name is the mean of, per set."""

_OTHER_NAME_IN_EXTRA = {
    H36M_17.name: {"neck": "thorax", "head_top": "head"},
    MPI_INF_3DHP_17.name: {"neck": "thorax"},
}
"""Rows of `EXTRA_JOINTS` that a set knows by another name."""


def smpl_keypoint_regressors(
    template: Float[Tensor, "vertices 3"],
    joint_regressor: Float[Tensor, "24 vertices"],
    given: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Keypoint set name -> (keypoints, vertices), for a mesh with SMPL's 6,890 vertices.

    Args:
        template: rest vertices, to tell left from right: files of the same name differ in the order of legs or ears.
        joint_regressor: SMPL's own.
        given: the user's regressors: "cocoplus19", "h36m17", and "extra" with the rows of `EXTRA_JOINTS`.
    """
    rows = dict(zip(SMPL_24.joints, joint_regressor, strict=True))
    rows |= {name: _one_vertex(vertex, template) for name, vertex in _VERTEX_OF.items()}
    extra = dict(zip(EXTRA_JOINTS, given["extra"], strict=True)) if "extra" in given else {}
    cocoplus = {}
    if COCOPLUS_19.name in given:
        regressor = sides_by_position(given[COCOPLUS_19.name], COCOPLUS_19, template)
        cocoplus = dict(zip(COCOPLUS_19.joints, regressor, strict=True))
    regressors = {}
    for skeleton in (*_OF_PHOTOS, H36M_17, MPI_INF_3DHP_17):
        names = _OTHER_NAME_IN_EXTRA.get(skeleton.name, {})
        extra_rows = {
            joint: extra[names.get(joint, joint)]
            for joint in skeleton.joints
            if names.get(joint, joint) in extra
        }
        own = rows | _stand_ins(skeleton, rows) | extra_rows | (cocoplus if skeleton in _OF_PHOTOS else {})
        regressors[skeleton.name] = torch.stack([own[joint] for joint in skeleton.joints])
    if H36M_17.name in given:
        regressors[H36M_17.name] = sides_by_position(given[H36M_17.name], H36M_17, template)
    return regressors


def sides_by_position(
    regressor: Float[Tensor, "keypoints vertices"], skeleton: Skeleton, template: Float[Tensor, "vertices 3"]
) -> Float[Tensor, "keypoints vertices"]:
    """The regressor with left and right exchanged in each pair whose left lies on the right of the rest body."""
    x = regressor @ template[:, 0]
    mirror = torch.tensor(skeleton.mirror)
    is_left = torch.tensor([joint.startswith("left_") for joint in skeleton.joints])
    wrong = torch.where(is_left, x < x[mirror], x > x[mirror])
    return torch.where(wrong[:, None], regressor[mirror], regressor)


def _one_vertex(vertex: int, template: Float[Tensor, "vertices 3"]) -> Float[Tensor, "vertices"]:
    row = torch.zeros(len(template), dtype=template.dtype)
    row[vertex] = 1
    return row


def _stand_ins(skeleton: Skeleton, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        joint: torch.stack([rows[name] for name in names]).mean(0)
        for joint, names in _STAND_IN.get(skeleton.name, {}).items()
    }
