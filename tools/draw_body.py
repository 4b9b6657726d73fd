"""Draw the sheet of test poses of a body, to look at: does a joint collapse, is a hand torn?

    python tools/draw_body.py body_sheet.png [BODY]

BODY is "anny" or the path of a body file. Rows: mean, tall and thin, short and stout; each from the front and the side.
"""

import math
import sys

import torch
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import write_png
from humanmesh.render.overlay import contact_sheet, front_view, side_view

_SIZE = 220  # pixels of one picture
_CAMERA_FROM_BODY = torch.tensor([1.0, -1.0, -1.0])
_QUARTER = math.pi / 2
_ARMS_DOWN = {"left_shoulder": (0.0, 0.0, -1.2), "right_shoulder": (0.0, 0.0, 1.2)}

POSES: dict[str, dict[str, tuple[float, float, float]]] = {
    "T": {},
    "arms down": _ARMS_DOWN,
    "arms up": {"left_shoulder": (0.0, 0.0, 1.3), "right_shoulder": (0.0, 0.0, -1.3)},
    "elbows at 90 degrees": {"left_elbow": (0.0, -_QUARTER, 0.0), "right_elbow": (0.0, _QUARTER, 0.0)},
    "arms forward": {"left_shoulder": (0.0, -_QUARTER, 0.0), "right_shoulder": (0.0, _QUARTER, 0.0)},
    "sitting": {
        **{f"{side}_hip": (-_QUARTER, 0.0, 0.0) for side in ("left", "right")},
        **{f"{side}_knee": (_QUARTER, 0.0, 0.0) for side in ("left", "right")},
        **_ARMS_DOWN,
    },
    "knees at 90 degrees": {f"{side}_knee": (_QUARTER, 0.0, 0.0) for side in ("left", "right")},
    "spine bent": {
        "spine1": (0.5, 0.0, 0.0),
        "spine2": (0.4, 0.0, 0.0),
        "spine3": (0.3, 0.0, 0.0),
        "neck": (0.3, 0.0, 0.0),
    },
    "spine sideways": {"spine1": (0.0, 0.0, 0.4), "spine2": (0.0, 0.0, 0.3), "spine3": (0.0, 0.0, 0.2)},
    "squat": {
        "left_hip": (-2.0, 0.3, 0.3),
        "right_hip": (-2.0, -0.3, -0.3),
        **{f"{side}_knee": (2.2, 0.0, 0.0) for side in ("left", "right")},
        **{f"{side}_ankle": (-0.4, 0.0, 0.0) for side in ("left", "right")},
        "left_shoulder": (0.0, -1.4, 0.0),
        "right_shoulder": (0.0, 1.4, 0.0),
    },
}
"""Axis-angle in radians of the joints that are not at rest."""

SHAPES = ((0.0, 0.0), (1.5, -2.0), (-1.5, 2.5))
"""The first two shape coefficients of each row."""


def pose_of(joints: dict[str, tuple[float, float, float]]) -> Tensor:
    """(72,) axis-angle, radians."""
    pose = torch.zeros(24, 3)
    for joint, axis_angle in joints.items():
        pose[SMPL_24.index[joint]] = torch.tensor(axis_angle)
    return pose.flatten()


def main() -> None:
    """Draw every pose of every shape from two sides and write the sheet."""
    path, name = sys.argv[1], (sys.argv[2:] or ["anny"])[0]
    body = BodyModel(load_body_data(name))
    poses = torch.stack([pose_of(joints) for joints in POSES.values()])
    pictures = []
    for shape in SHAPES:
        coefficients = torch.zeros(len(poses), body.data.shape_directions.shape[2])
        coefficients[:, :2] = torch.tensor(shape)
        posed = body(poses, coefficients).vertices * _CAMERA_FROM_BODY
        for view in (front_view, side_view):
            pictures += [view(vertices, body.data.faces, _SIZE, _SIZE) for vertices in posed]
    write_png(path, contact_sheet(pictures, columns=len(POSES)))
    print(f"{path}: {', '.join(POSES)}")


if __name__ == "__main__":
    main()
