"""The .npz tables that SPIN (Kolotouros et al. 2019) prepares of every data set, and that many projects share."""

from pathlib import Path

import numpy as np

from humanmesh.body.skeletons import COCOPLUS_19, LSP_14, Skeleton
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules
from humanmesh.data.readers.tables import metres, read_arrays, square_box, text

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

SPIN_24 = Skeleton(
    "spin24",
    (*LSP_14.joints, "pelvis", "thorax", "spine", "jaw", "head", *_FACE),
    COCOPLUS_19.bones,
)
"""LSP's joints, then MPII's pelvis and thorax, Human3.6M's spine, jaw and head, then COCO's face."""

_OPENPOSE_25 = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear", "", "", "", "", "", "",
)  # fmt: skip
"""SPIN_24's name of each of OpenPose's BODY_25 joints; empty where there is none (its neck lies between the shoulders)."""


def read_spin(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    source: str = "spin",
) -> list[Annotation]:
    """People of a SPIN table: annotated joints (`part`), where missing OpenPose's with its confidence (`openpose`).

    The box is SPIN's square of 200 pixels times the scale. `S` gives 3D joints, `pose` and `shape` SMPL parameters
    (where `has_smpl` is not 0), `maskname` the mask if that file is there.

    Args:
        image_folder: what `imgname` is relative to; if None, the folder of the file.
        source: name of the data set in the annotations.
    """
    file = Path(annotation_file)
    needed: dict[str, tuple[int, ...]] = {"imgname": (), "center": (2,), "scale": ()}
    shapes: dict[str, tuple[int, ...]] = {"part": (24, 3), "openpose": (25, 3), "S": (24, 4)}
    arrays = read_arrays(file, needed)
    present = {name: shape for name, shape in shapes.items() if name in arrays}
    read_arrays(file, needed | (present or {"part": (24, 3)}))
    folder = Path(image_folder) if image_folder is not None else file.parent
    checks = Checks(source, rules, report)
    people = [
        checks.person(_person(arrays, row, folder, source), file) for row in range(len(arrays["imgname"]))
    ]
    checks.finish()
    return [person for person in people if person is not None]


def _person(arrays: dict[str, np.ndarray], row: int, folder: Path, source: str) -> Annotation:
    name = text(arrays["imgname"][row])
    table = _keypoints(arrays, row)
    spatial = arrays["S"][row] if "S" in arrays else None
    has_smpl = "pose" in arrays and bool(arrays["has_smpl"][row] if "has_smpl" in arrays else True)
    mask = folder / text(arrays["maskname"][row]) if "maskname" in arrays else None
    gender = {"m": "male", "f": "female"}.get(text(arrays["gender"][row])) if "gender" in arrays else None
    return Annotation(
        folder / name,
        SPIN_24,
        table[:, :2],
        table[:, 2],
        square_box(arrays["center"][row], float(arrays["scale"][row])),
        keypoints_3d=None if spatial is None else metres(spatial[:, :3]),
        weights_3d=None if spatial is None else spatial[:, 3].astype(np.float32),
        pose=arrays["pose"][row].astype(np.float32) if has_smpl else None,
        shape=arrays["shape"][row].astype(np.float32) if has_smpl else None,
        mask=mask if mask is not None and mask.is_file() else None,
        source=source,
        record=f"{name}/{row}",
        tags={} if gender is None else {"gender": gender},
    )


def _keypoints(arrays: dict[str, np.ndarray], row: int) -> np.ndarray:
    """(24, 3) x, y, weight."""
    table = arrays["part"][row].astype(np.float64) if "part" in arrays else np.zeros((24, 3))
    if "openpose" in arrays:
        for joint, detected in zip(_OPENPOSE_25, arrays["openpose"][row], strict=True):
            if joint and table[SPIN_24.index[joint], 2] <= 0:
                table[SPIN_24.index[joint]] = detected
    return table
