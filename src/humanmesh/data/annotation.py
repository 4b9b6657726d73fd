"""What is known of one person in one picture. Every reader returns these; nothing after a reader knows a format."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, Skeleton

LSP_OVER_COCO_HIPS = 1.25
"""Distance of LSP's hips over that of COCO's: 0.198 and 0.161 of torso, thigh and shin together on the free body;
0.212 in 178 frontal, upright people of LSP-extended, 0.154 in 671 of CCP (COCO-style labels)."""
LSP_KNEE_ABOVE_COCO = 0.035
"""Share of the thigh by which LSP's knees stand higher: thigh over shin is 1.01 in LSP-extended and 1.03 on the body, but
1.09 (CCP) and 1.14 (exercises) in COCO-style labels of people with straight legs, whom it would make crouch."""


@dataclass(frozen=True)
class Annotation:
    """One person in one picture. What is not known is None, or has weight 0."""

    image: Path
    """The picture, as stored: data-set pictures are not turned by EXIF."""
    skeleton: Skeleton
    """Names of the rows of the keypoint arrays."""
    keypoints_2d: np.ndarray
    """(K, 2) float32, pixels of the stored picture; 0 where the weight is 0."""
    weights_2d: np.ndarray
    """(K,) float32 in [0, 1]: 0 missing, 1 annotated by a person, the score where a machine did it."""
    box: np.ndarray | None = None
    """(4,) float32 x0, y0, x1, y1 in pixels, where the data set gives a box of its own."""
    keypoints_3d: np.ndarray | None = None
    """(K, 3) float32, metres, camera frame (x right, y down, z forward); 0 where the weight is 0."""
    weights_3d: np.ndarray | None = None
    """(K,) float32 in [0, 1]."""
    pose: np.ndarray | None = None
    """(72,) float32 SMPL axis-angle, the global rotation in the camera frame."""
    shape: np.ndarray | None = None
    """(10,) float32 SMPL shape coefficients."""
    focal_length: float | None = None
    """Pixels, where the camera is known."""
    principal_point: tuple[float, float] | None = None
    """Pixels, where the camera is known."""
    mask: Path | None = None
    """A label picture of the same size."""
    source: str = ""
    """Data set, as a reader names itself: "lspet", "coco", ..."""
    record: str = ""
    """What names this record in its data set: an id, a frame."""
    tags: dict[str, str] = field(default_factory=dict)
    """Subject, action, camera, sequence: whatever a protocol selects and groups by."""


def to_skeleton(annotation: Annotation, skeleton: Skeleton) -> Annotation:
    """The same person with the rows of another skeleton, matched by joint name; missing joints get weight 0.

    From COCO's to the training skeleton, whose hips and knees are LSP's, these move to where LSP has them.
    """
    if annotation.skeleton == COCO_17 and skeleton == COCOPLUS_19:
        annotation = replace(
            annotation, keypoints_2d=lsp_places(annotation.keypoints_2d, annotation.weights_2d)
        )
    shared = [joint for joint in skeleton.joints if joint in annotation.skeleton.index]
    target = [skeleton.index[joint] for joint in shared]
    origin = [annotation.skeleton.index[joint] for joint in shared]

    def moved(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        result = np.zeros((len(skeleton), *values.shape[1:]), np.float32)
        result[target] = values[origin]
        return result

    rows = ("keypoints_2d", "weights_2d", "keypoints_3d", "weights_3d")
    return replace(annotation, skeleton=skeleton, **{name: moved(getattr(annotation, name)) for name in rows})


def lsp_places(keypoints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """COCO's keypoints with hips and knees where LSP's annotators click; those without their partners stay.

    Args:
        keypoints: (17, D).
        weights: (17,), 0 where missing.
    """
    moved = keypoints.copy()
    hips = [COCO_17.index["left_hip"], COCO_17.index["right_hip"]]
    for side, hip in zip(("left", "right"), hips, strict=True):
        knee = COCO_17.index[f"{side}_knee"]
        if weights[hip] > 0 and weights[knee] > 0:
            moved[knee] += LSP_KNEE_ABOVE_COCO * (keypoints[hip] - keypoints[knee])
    if (weights[hips] > 0).all():
        middle = keypoints[hips].mean(0)
        moved[hips] = middle + LSP_OVER_COCO_HIPS * (keypoints[hips] - middle)
    return moved
