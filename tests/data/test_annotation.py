"""COCO's keypoints on the training skeleton: hips and knees move to where LSP has them, and nothing else does."""

import numpy as np
import pytest
import torch

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.data.annotation import lsp_places
from humanmesh.files.body_models import load_body_data


def rest_keypoints(name: str) -> np.ndarray:
    body = KeypointBody(load_body_data("anny"), name)
    return body(torch.zeros(1, 72), torch.zeros(1, 10))[1][0].numpy()


def width(keypoints: np.ndarray, skeleton: object) -> float:
    return float(
        np.linalg.norm(keypoints[skeleton.index["left_hip"]] - keypoints[skeleton.index["right_hip"]])
    )


def test_hips_come_to_stand_as_wide_as_the_bodys_own_of_that_set():
    moved = lsp_places(rest_keypoints("coco17"), np.ones(17))
    assert width(moved, COCO_17) == pytest.approx(width(rest_keypoints("cocoplus19"), COCOPLUS_19), rel=0.03)


def test_a_knee_moves_up_its_thigh_and_the_rest_stays():
    keypoints = np.arange(34, dtype=np.float32).reshape(17, 2) ** 1.5
    moved = lsp_places(keypoints, np.ones(17))
    changed = {COCO_17.joints[row] for row in np.flatnonzero((moved != keypoints).any(1))}
    assert changed == {"left_hip", "right_hip", "left_knee", "right_knee"}
    hip, knee = (keypoints[COCO_17.index[f"left_{joint}"]] for joint in ("hip", "knee"))
    np.testing.assert_allclose(moved[COCO_17.index["left_knee"]], 0.965 * knee + 0.035 * hip, rtol=1e-6)


def test_the_middle_of_the_hips_stays():
    keypoints = np.random.default_rng(0).normal(size=(17, 2))
    hips = [COCO_17.index["left_hip"], COCO_17.index["right_hip"]]
    np.testing.assert_allclose(lsp_places(keypoints, np.ones(17))[hips].mean(0), keypoints[hips].mean(0))


def test_a_keypoint_without_its_partner_stays():
    weights = np.ones(17)
    weights[COCO_17.index["right_hip"]] = 0
    keypoints = np.random.default_rng(0).normal(size=(17, 2))
    moved = lsp_places(keypoints, weights)
    changed = {COCO_17.joints[row] for row in np.flatnonzero((moved != keypoints).any(1))}
    assert changed == {"left_knee"}
