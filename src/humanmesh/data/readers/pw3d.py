"""3D Poses in the Wild (von Marcard et al. 2018): one .pkl a sequence, of up to two people."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humanmesh.body.skeletons import COCO_17, SMPL_24
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, need_file
from humanmesh.errors import BadInputError
from humanmesh.files.pickles import read_pickle
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_OPENPOSE_18 = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""COCO_17's name of each joint of `poses2d`; empty for the neck, which lies between the shoulders."""
_GENDERS = {"m": "male", "f": "female"}
_NEEDED = ("sequence", "poses", "betas", "poses2d", "cam_poses", "cam_intrinsics", "campose_valid", "genders")
_REMEDY = "Give a file or folder of 3DPW's sequenceFiles."


def read_pw3d(
    path: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
) -> list[Annotation]:
    """People of 3DPW, one record a person and frame; frames without a valid camera are left out.

    2D joints are OpenPose's detections with their confidence as weight; where there are none the record has too few
    visible joints, so a protocol over all frames reads with `ReadRules(minimum_joints=0)`. 3D joints are the limbs of
    `jointPositions`; pose has its global rotation in the camera frame; gender stands in the tags.

    Args:
        path: a sequence (.pkl) or a folder of sequences, such as `sequenceFiles/test`.
        image_folder: if None, the `imageFiles` folder beside `sequenceFiles`.
    """
    path = Path(path)
    files = sorted(path.rglob("*.pkl")) if path.is_dir() else [need_file("sequence of 3DPW", path, _REMEDY)]
    if not files:
        raise BadInputError(f"{path} should hold sequences of 3DPW", "no .pkl file", _REMEDY)
    checks = Checks("pw3d", rules, report)
    people = [
        checks.person(person, file) for file in files for person in _sequence(file, image_folder, checks)
    ]
    checks.finish()
    return [person for person in people if person is not None]


def _sequence(file: Path, image_folder: Path | None, checks: Checks) -> Iterator[Annotation]:
    content = read_pickle(file)
    lacking = (
        [name for name in _NEEDED if name not in content] if isinstance(content, dict) else list(_NEEDED)
    )
    if lacking:
        raise BadInputError(f"{file} should be a sequence of 3DPW", f"no {', '.join(lacking)}", _REMEDY)
    folder = (image_folder or _find_image_folder(file)) / content["sequence"]
    for person in range(len(content["poses"])):
        poses = _poses_in_camera(content, person)
        for frame, valid in enumerate(content["campose_valid"][person]):
            record = f"{content['sequence']}/{frame}/{person}"
            if valid:
                yield _person(content, person, frame, (file, folder), poses[frame])
            else:
                checks.fault("marked invalid", file, record, "campose_valid = 0")


def _find_image_folder(file: Path) -> Path:
    above = next((folder for folder in file.parents if (folder / "imageFiles").is_dir()), file.parent)
    return above / "imageFiles"


def _poses_in_camera(content: dict[str, Any], person: int) -> np.ndarray:
    """(frames, 72) with the global rotation in the camera frame."""
    poses = np.array(content["poses"][person], np.float64)
    camera_from_world = torch.tensor(np.asarray(content["cam_poses"], np.float64)[: len(poses), :3, :3])
    camera_from_body = camera_from_world @ axis_angle_to_matrix(torch.from_numpy(poses[:, :3]))
    poses[:, :3] = matrix_to_axis_angle(camera_from_body).numpy()
    return poses.astype(np.float32)


def _person(
    content: dict[str, Any], person: int, frame: int, places: tuple[Path, Path], pose: np.ndarray
) -> Annotation:
    file, folder = places
    detected = np.asarray(content["poses2d"][person][frame], np.float64).T
    points, weights = np.zeros((len(COCO_17), 2)), np.zeros(len(COCO_17), np.float32)
    for joint, (x, y, confidence) in zip(_OPENPOSE_18, detected, strict=True):
        if joint:
            points[COCO_17.index[joint]], weights[COCO_17.index[joint]] = (x, y), confidence
    intrinsics = np.asarray(content["cam_intrinsics"], np.float64)
    points_3d, weights_3d = _limbs_in_camera(content, person, frame)
    return Annotation(
        folder / f"image_{frame:05d}.jpg",
        COCO_17,
        points,
        weights,
        keypoints_3d=points_3d,
        weights_3d=weights_3d,
        pose=pose,
        shape=np.ravel(content["betas"][person])[:10].astype(np.float32),
        focal_length=float(intrinsics[[0, 1], [0, 1]].mean()),
        principal_point=(float(intrinsics[0, 2]), float(intrinsics[1, 2])),
        source="pw3d",
        record=f"{content['sequence']}/{frame}/{person}",
        tags={
            "split": file.parent.name,
            "sequence": str(content["sequence"]),
            "frame": str(frame),
            "person": str(person),
            "gender": _GENDERS.get(str(content["genders"][person]), "neutral"),
        },
    )


def _limbs_in_camera(
    content: dict[str, Any], person: int, frame: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if "jointPositions" not in content:
        return None, None
    world = np.asarray(content["jointPositions"][person][frame], np.float64).reshape(24, 3)
    camera_from_world = np.asarray(content["cam_poses"][frame], np.float64)
    camera = world @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    shared = [joint for joint in COCO_17.joints if joint in SMPL_24.index]
    rows = [COCO_17.index[joint] for joint in shared]
    points, weights = np.zeros((len(COCO_17), 3)), np.zeros(len(COCO_17), np.float32)
    points[rows], weights[rows] = camera[[SMPL_24.index[joint] for joint in shared]], 1
    return points, weights
