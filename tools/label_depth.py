"""Give packed people 3D keypoints from a teacher's landmarks, as far as these agree with the 2D labels.

    python tools/label_depth.py SHARDS NAME NEW_NAME --landmarks NAME.npz

`tools/see_landmarks.py` writes the landmarks. Of these only the directions are used: every bone gets the length that it has on
the mean body, so that nobody has to crouch or lean to make up for a bone that the teacher takes to be longer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.data.annotation import lsp_places
from humanmesh.data.dataset import Sample
from humanmesh.data.shards import ShardSource, data_sets_in, write_shards
from humanmesh.evaluation.metrics import aligned, point_errors
from humanmesh.files.body_models import load_body_data

COCO_OF_LANDMARKS = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
"""BlazePose's numbers of COCO_17's keypoints."""
NEAR, FAR = 0.05, 0.12
"""Distances to the 2D label, in longer sides of the person's box: trusted wholly below, not at all above."""
FEWEST = 8
"""Keypoints of arms and legs that must agree; both hips, about which 3D is measured, among them."""
TEACHER_WEIGHT = 0.3
"""Of a keypoint that agrees, where one known from rendering has 1: on photos of Human3.6M and MPI-INF-3DHP the teacher errs as
much as the network (106 and 104 mm, 8 photos), but otherwise."""
FACE_WEIGHT = 0.3
"""Factor on those of the face: the teacher's faces are flat."""

_ROW = COCOPLUS_19.index
_SIDES = ("left", "right")
_LIMBS = [
    _ROW[f"{side}_{joint}"]
    for side in _SIDES
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
_HIPS = [_ROW["left_hip"], _ROW["right_hip"]]
_FACE = [_ROW[joint] for joint in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]


@dataclass(frozen=True)
class Arguments:
    """Where to read and what to write."""

    shards: Annotated[Path, tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional]
    new_name: Annotated[str, tyro.conf.Positional]
    landmarks: Path


def training_rows(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (33, D) as COCOPLUS_19's rows (19, D), hips and knees where LSP has them; 0 where there is none."""
    coco = lsp_places(landmarks[COCO_OF_LANDMARKS], np.ones(len(COCO_17)))
    rows = np.zeros((len(COCOPLUS_19), landmarks.shape[1]))
    rows[[_ROW[joint] for joint in COCO_17.joints]] = coco
    return rows


def with_lengths_of(model: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (19, 3) with every bone's direction kept and its length taken from a model (19, 3), from the hips' middle on."""
    result = np.zeros_like(points)

    def middle(joint: str, of: np.ndarray) -> np.ndarray:
        return (of[_ROW[f"left_{joint}"]] + of[_ROW[f"right_{joint}"]]) / 2

    def stretched(bone: np.ndarray, like: np.ndarray) -> np.ndarray:
        return bone * np.linalg.norm(like) / max(np.linalg.norm(bone), 1e-6)

    roots = {"hip": np.zeros(3)}
    for joint in ("shoulder", "ear"):
        below = "hip" if joint == "shoulder" else "shoulder"
        spine = [middle(joint, of) - middle(below, of) for of in (points, model)]
        roots[joint] = roots[below] + stretched(*spine)
    for side in _SIDES:
        for joint in ("hip", "shoulder"):
            half = [of[_ROW[f"{side}_{joint}"]] - middle(joint, of) for of in (points, model)]
            result[_ROW[f"{side}_{joint}"]] = roots[joint] + stretched(*half)
        for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            first, second = _ROW[f"{side}_{start}"], _ROW[f"{side}_{end}"]
            result[second] = result[first] + stretched(
                points[second] - points[first], model[second] - model[first]
            )
    ears = [np.linalg.norm(of[_ROW["left_ear"]] - of[_ROW["right_ear"]]) for of in (model, points)]
    result[_FACE] = roots["ear"] + (points[_FACE] - middle("ear", points)) * ears[0] / max(ears[1], 1e-6)
    return result


def agreement(seen: np.ndarray, sample: Sample) -> np.ndarray:
    """(19,) trust in each of the teacher's keypoints (19, 2), pixels of the stored picture; all 0 where too few agree."""
    size = max(sample.box[2] - sample.box[0], sample.box[3] - sample.box[1])
    distance = np.linalg.norm(seen - sample.keypoints_2d, axis=1) / size
    trust = np.clip((FAR - distance) / (FAR - NEAR), 0, 1) * (sample.weights_2d > 0)
    trust[[_ROW["neck"], _ROW["head_top"]]] = 0
    if (trust[_HIPS] == 0).any() or (trust[_LIMBS] > 0).sum() < FEWEST:
        return np.zeros_like(trust)
    trust[_FACE] *= FACE_WEIGHT
    return TEACHER_WEIGHT * trust


def labelled(
    source: ShardSource, landmarks: np.ndarray, model: np.ndarray, counts: list[float]
) -> Iterator[Sample]:
    """Every sample, with 3D keypoints where the teacher agrees; `counts` gets the sum of trust of each."""
    for row in range(len(source)):
        sample, found = source[row], landmarks[row]
        trust = np.zeros(len(COCOPLUS_19))
        if np.isfinite(found).all():
            trust = agreement(training_rows(found[:, 3:5]), sample)
        counts.append(trust.sum())
        if trust.any() and sample.pose_weight == 0:
            points = with_lengths_of(model, training_rows(found[:, :3])) * (trust > 0)[:, None]
            sample = replace(
                sample, keypoints_3d=points.astype(np.float32), weights_3d=trust.astype(np.float32)
            )
        yield sample


def teacher_error(source: ShardSource, landmarks: np.ndarray, model: np.ndarray) -> float:
    """Mean reconstruction error (metres) of the teacher's 12 joints of arms and legs where it agrees, on people with known joints."""
    found, known = [], []
    for row in range(len(source)):
        sample = source[row]
        if (
            np.isfinite(landmarks[row]).all()
            and agreement(training_rows(landmarks[row][:, 3:5]), sample).any()
        ):
            found.append(with_lengths_of(model, training_rows(landmarks[row][:, :3]))[_LIMBS])
            known.append(sample.keypoints_3d[_LIMBS])
    points, truth = torch.from_numpy(np.stack(found)).float(), torch.from_numpy(np.stack(known)).float()
    return float(point_errors(aligned(points, truth), truth).mean())


def main(arguments: Arguments) -> None:
    """Label one data set; measure the teacher instead where 3D is known already."""
    body = KeypointBody(load_body_data("anny"), COCOPLUS_19.name)
    model = body(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10))[1][0].numpy()
    source = ShardSource(arguments.name, data_sets_in(arguments.shards)[arguments.name])
    landmarks = np.load(arguments.landmarks)["landmarks"].astype(np.float64)
    counts: list[float] = []
    if source[0].pose_weight > 0:
        list(labelled(source, landmarks, model, counts))
        error = teacher_error(source, landmarks, model)
        print(
            f"{np.count_nonzero(counts):,} of {len(source):,} people agree; reconstruction error {1000 * error:.1f} mm."
        )
        return
    people = write_shards(labelled(source, landmarks, model, counts), arguments.shards, arguments.new_name)
    print(
        f"{np.count_nonzero(counts):,} of {people:,} people got 3D keypoints, {np.mean(counts):.1f} each on average."
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
