"""Labels of body parts in a data set that names no numbers."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.optimize import linear_sum_assignment

from humanmesh.body.skeletons import SIX_PARTS
from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.files.images import damage_told

_PLACES_OF_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("neck", "head_top"),),
    "torso": (("left_shoulder", "right_shoulder", "left_hip", "right_hip"),),
    "left_arm": (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist")),
    "right_arm": (("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist")),
    "left_leg": (("left_hip", "left_knee"), ("left_knee", "left_ankle")),
    "right_leg": (("right_hip", "right_knee"), ("right_knee", "right_ankle")),
}
"""Joints whose mean lies in a part."""
_LOOK_AT = 200
"""People whose parts decide which number is which part."""


def part_order(cases: list[Case]) -> UInt8[np.ndarray, "256"]:
    """Label of a data set -> 1 + row of `SIX_PARTS`, told by where people's joints lie; 0 and 255 stay.

    The masks come without a list of names, so their own joints say which number is the left arm.

    Raises:
        BadInputError: where the joints do not tell.
    """
    votes = np.zeros((len(SIX_PARTS), 256), np.int64)
    for case in [case for case in cases if case.load_parts is not None][:_LOOK_AT]:
        labels = case.load_parts()  # pyright: ignore[reportOptionalCall]
        for row, part in enumerate(SIX_PARTS):
            for joints in _PLACES_OF_PARTS[part]:
                place = (
                    case.keypoints_2d[[case.skeleton.index[joint] for joint in joints]].mean(0).astype(int)
                )
                column, line = place.clip(0, np.array(labels.shape[::-1]) - 1)
                votes[row, labels[line, column]] += 1
    votes[:, [0, 255]] = 0
    rows, numbers = linear_sum_assignment(-votes)
    if (votes[rows, numbers] == 0).any():
        silent = SIX_PARTS[int(rows[votes[rows, numbers] == 0][0])]
        found = f"no number that lies where the {silent} is"
        raise BadInputError(
            "Part labels", found, "Give labels of six parts beside the joints of the same people."
        )
    order = np.zeros(256, np.uint8)
    order[255] = 255
    order[numbers] = rows + 1
    return order


def read_labels(path: Path) -> np.ndarray:
    """(H, W) uint8 of a picture of labels.

    Raises:
        BadInputError: where the picture is damaged.
    """
    with damage_told(f"Labels {path}"), Image.open(path) as labels:
        return np.asarray(labels if labels.mode in {"L", "P"} else labels.convert("L"))
