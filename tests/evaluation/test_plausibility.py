"""Swapped limbs, frozen ends and impossible joints, each made on purpose."""

import math

import pytest
import torch
from made_evaluation import measured, synthetic_pose, write_lspet_hold_out, write_predictions, write_synthetic

from humanmesh.body.joint_limits import LIMITED
from humanmesh.body.skeletons import SMPL_24
from humanmesh.evaluation.plausibility import LIMBS, end_spreads, pose_rows, swapped_limbs
from humanmesh.evaluation.predictors import PredictedPose
from humanmesh.evaluation.tables import text_table
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion
from photo_layouts import LSP, points

NAMES = [joint for pairs in LIMBS.values() for pair in pairs for joint in pair]
SIZE = torch.tensor([100.0], dtype=torch.float64)


def limbs(arms: float, legs: float) -> torch.Tensor:
    """Left joints so many pixels to the right of the right ones."""
    pixels = torch.zeros(1, 8, 2)
    for row, name in enumerate(NAMES):
        apart = arms if "elbow" in name or "wrist" in name else legs
        side = 1 if name.startswith("left") else -1
        pixels[0, row] = torch.tensor([side * apart / 2, 10.0 * (row // 2)])
    return pixels


def swapped(predicted: torch.Tensor, truth: torch.Tensor, known: torch.Tensor | None = None) -> float:
    weights = torch.ones(1, 8) if known is None else known
    return float(swapped_limbs(predicted, truth, weights, SIZE, NAMES))


def test_exchanged_legs_are_a_swap_and_the_truth_is_none():
    truth = limbs(30, 20)
    assert swapped(truth, truth) == 0
    assert swapped(limbs(30, -20), truth) == 1


def test_limbs_that_lie_on_each_other_are_no_swap():
    # Exchanging joints that are 9 or 11 pixels apart gains so much for each, of a person of 100 pixels.
    assert swapped(limbs(9, 9), limbs(-9, -9)) == 0
    assert swapped(limbs(11, 11), limbs(-11, -11)) == 1


def test_a_limb_far_from_both_sides_is_wrong_but_not_swapped():
    assert swapped(limbs(30, 20) + torch.tensor([0.0, 200.0]), limbs(30, 20)) == 0


def test_without_both_sides_nobody_can_tell():
    known = torch.ones(1, 8)
    known[0, [row for row, name in enumerate(NAMES) if name.startswith("left")]] = 0
    assert math.isnan(swapped(limbs(30, 20), limbs(-30, -20), known))


def rotations_of(people: int, size: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return axis_angle_to_matrix(size * torch.randn(people, 24, 3, generator=generator))


def test_people_without_a_pose_are_left_open():
    rotations = rotations_of(3, 0.1)
    rotations[1, 4] = torch.nan
    rows = pose_rows(PredictedPose(rotations, None, None), bundled_joint_limits())
    assert rows["broken_joints"].isnan().all(1).tolist() == [False, True, False]
    assert rows["part_depth"].isnan().all()


def test_frozen_wrists_have_no_spread_and_recorded_ones_that_of_the_recordings():
    limits = bundled_joint_limits()
    frozen = torch.zeros(50, 4, 4)
    frozen[..., 0] = 1
    assert end_spreads(frozen, limits) == pytest.approx({"wrists": 0, "ankles": 0}, abs=1e-6)
    ends = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
    axis_angle = torch.zeros(2, 4, 3)
    for column, joint in enumerate(ends):
        angle = limits.spreads[LIMITED.index(joint)]
        axis_angle[:, column, 0] = torch.stack([angle, -angle])
    turns = matrix_to_quaternion(axis_angle_to_matrix(axis_angle))
    assert end_spreads(turns, limits) == pytest.approx({"wrists": 1, "ankles": 1}, abs=1e-3)


def test_impossible_bodies_are_printed_beside_the_figures(tmp_path):
    data = write_synthetic(tmp_path / "people.pt")
    rotations, shape = synthetic_pose(3)
    rotations[:, SMPL_24.index["left_knee"]] = axis_angle_to_matrix(torch.tensor([-1.5, 0.0, 0.0]))
    camera = {
        "translation": [[0, 0, 4.0]] * 3,
        "focal_length": [30.0] * 3,
        "principal_point": [[16.0, 16.0]] * 3,
    }
    guess = write_predictions(tmp_path / "theirs.npz", rotations=rotations, shape=shape, **camera)
    result = measured("synthetic", data, guess)
    assert result.value("joints beyond their limits") >= 100 / len(LIMITED)
    assert result.rows["broken_joints"][:, LIMITED.index("left_knee")].all()
    assert "joints beyond their limits" in text_table([result])
    assert "joints beyond their limits" in {row["name"] for row in result.as_json()["plausibility"]}


def test_a_system_of_2d_points_is_asked_for_swaps_alone(tmp_path):
    data = write_lspet_hold_out(tmp_path / "lspet", people=2)
    guess = torch.from_numpy(points(LSP)).float().repeat(2, 1, 1)
    exchanged = [LSP.index(swap(joint)) for joint in LSP]
    guess[1] = guess[1, exchanged]
    result = measured("lspet-pck", data, write_predictions(tmp_path / "theirs.npz", keypoints_2d=guess))
    assert [figure.name for figure in result.plausibility] == ["left and right swapped"]
    assert result.value("left and right swapped") == 50


def swap(joint: str) -> str:
    side, _, rest = joint.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, joint)
