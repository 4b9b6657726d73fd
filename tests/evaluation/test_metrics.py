"""Metrics against numbers by hand, scipy, and laws."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.stats import spearmanr

from humanmesh.evaluation import metrics
from humanmesh.geometry.rotations import axis_angle_to_matrix


def drawn(seed: int, frames: int = 12, points: int = 14) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(frames, points, 3, dtype=torch.float64, generator=generator)


def moved(points: torch.Tensor, scale: float) -> torch.Tensor:
    rotation = axis_angle_to_matrix(torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64))[0]
    return scale * points @ rotation.T + torch.tensor([0.4, -3.0, 7.0], dtype=torch.float64)


def test_the_truth_has_no_error():
    truth = drawn(0)
    assert metrics.point_errors(truth, truth).max() == 0
    assert metrics.point_errors(metrics.aligned(truth, truth), truth).max() < 1e-12
    assert float(metrics.area_under_curve(metrics.point_errors(truth, truth))) == pytest.approx(
        30 / 31  # 0 < 0 is false
    )


def test_a_known_offset_is_that_error():
    truth = drawn(1)
    offset = torch.tensor([0.03, 0.0, 0.04], dtype=torch.float64)
    torch.testing.assert_close(
        metrics.point_errors(truth + offset, truth), torch.full((12, 14), 0.05, dtype=torch.float64)
    )
    rows = [3, 2]
    about_root = metrics.point_errors(metrics.about(truth + offset, rows), metrics.about(truth, rows))
    assert about_root.max() < 1e-12


def test_the_root_is_the_mean_of_its_rows():
    points = torch.tensor([[[0.0, 0, 0], [2, 0, 0], [0, 4, 0]]])
    torch.testing.assert_close(
        metrics.about(points, [1, 2])[0, 0], torch.tensor([-1.0, -2, 0], dtype=torch.float64)
    )


def test_a_scaled_turned_shifted_prediction_has_no_error_after_alignment():
    truth = drawn(2)
    guess = moved(truth, 1.7)
    assert metrics.point_errors(metrics.aligned(guess, truth), truth).max() < 1e-12
    assert metrics.point_errors(metrics.rigidly_aligned(moved(truth, 1.0), truth), truth).max() < 1e-12


def test_a_larger_prediction_elsewhere_has_no_error_at_the_same_size_and_a_turned_one_has():
    truth = drawn(4)
    larger = 1.3 * truth + torch.tensor([0.2, -0.5, 3.0], dtype=torch.float64)
    assert metrics.point_errors(metrics.same_size_and_place(larger, truth), truth).max() < 1e-12
    turned = moved(truth, 1.0)
    assert metrics.point_errors(metrics.same_size_and_place(turned, truth), truth).mean() > 0.5


def test_rigid_alignment_leaves_the_size():
    truth = drawn(3)
    left = metrics.rigidly_aligned(moved(truth, 2.0), truth)
    spread = (left - left.mean(1, keepdim=True)).norm() / (truth - truth.mean(1, keepdim=True)).norm()
    torch.testing.assert_close(spread, torch.tensor(2.0, dtype=torch.float64))


def test_reconstruction_error_agrees_with_scipy():
    truth = drawn(4)
    guess = truth + 0.2 * drawn(5)
    found = metrics.aligned(guess, truth)
    for one, expected, source in zip(found, truth, guess, strict=True):
        first, second, disparity = procrustes(expected.numpy(), source.numpy())
        size = np.linalg.norm(expected - expected.mean(0))
        np.testing.assert_allclose((one - expected).square().sum() / size**2, disparity, atol=1e-12)
        errors = np.linalg.norm(first - second, axis=1) * size
        np.testing.assert_allclose((one - expected).norm(dim=1), errors, atol=1e-10)


def test_errors_are_computed_in_double_precision():
    far = torch.tensor([[[1000.0, 0.0, 0.0]]])
    assert metrics.point_errors(far, far + torch.tensor([1e-3, 0, 0])).dtype == torch.float64


def test_a_missing_prediction_is_wrong_at_every_threshold_and_poisons_its_mean():
    errors = torch.tensor([[0.0, torch.nan], [0.1, 0.1]], dtype=torch.float64)
    assert float(metrics.share_below(errors, 1e9)) == pytest.approx(0.75)
    means = metrics.mean_over_points(errors)
    assert means[0].isnan()
    assert means[1] == pytest.approx(0.1)


def test_a_missing_prediction_leaves_the_alignment_of_other_frames_alone():
    truth = drawn(6)
    guess = moved(truth, 1.3)
    guess[4, 3] = torch.nan
    found = metrics.point_errors(metrics.aligned(guess, truth), truth)
    assert found[4].isnan().all()
    assert found[[0, 1, 2, 3, 5, 6]].max() < 1e-12


def test_points_of_weight_zero_count_nowhere():
    truth = drawn(7)
    weights = torch.ones(12, 14)
    weights[:, 5] = 0
    guess = moved(truth, 0.6)
    guess[:, 5] = torch.nan
    error = metrics.point_errors(metrics.aligned(guess, truth, weights), truth)
    assert metrics.mean_over_points(error, weights).max() < 1e-12
    assert float(metrics.share_below(error, 1e-9, weights)) == pytest.approx(1)
    assert metrics.share_below_by_point(error, 1e-9, weights)[5].isnan()


def test_a_frame_without_any_known_point_has_no_mean():
    errors = torch.zeros(2, 3, dtype=torch.float64)
    weights = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    assert metrics.mean_over_points(errors, weights).isnan().tolist() == [True, False]


def test_pck_is_strict_and_auc_has_31_steps():
    errors = torch.tensor([[0.149999, 0.150, 0.0749, 0.3]], dtype=torch.float64)
    assert float(metrics.share_below(errors, metrics.PCK_3D_THRESHOLD)) == pytest.approx(0.5)
    assert len(metrics.AUC_THRESHOLDS) == 31
    assert metrics.AUC_THRESHOLDS[-1] == pytest.approx(0.150)
    only = torch.tensor([[0.0749]], dtype=torch.float64)  # below 75, 80, ..., 150 mm: 16 of 31
    assert float(metrics.area_under_curve(only)) == pytest.approx(16 / 31)


def test_2d_pck_is_averaged_by_joint_and_then_over_joints_that_appear():
    errors = torch.tensor([[1.0, 9, 0], [1, 1, 0], [9, 1, 0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 1, 0], [1, 0, 0], [1, 0, 0]])
    # first joint: 2 of 3; second: 0 of 1; the third is never annotated
    assert float(metrics.mean_share_below(errors, 5.0, weights)) == pytest.approx((2 / 3 + 0) / 2)
    assert float(metrics.share_below(errors, 5.0, weights)) == pytest.approx(2 / 4)


def test_units_of_2d_pck():
    boxes = torch.tensor([[10.0, 20, 40, 100]])
    assert float(metrics.box_side(boxes)) == pytest.approx(80)
    assert float(metrics.head_size(torch.tensor([[0.0, 0, 30, 40]]))) == pytest.approx(30)
    points = torch.tensor([[[0.0, 0], [3, 4]]])
    assert float(metrics.span(points, 0, 1)) == pytest.approx(5)
    errors = torch.tensor([[8.0, 4.0]], dtype=torch.float64)
    scaled = metrics.in_units_of(errors, metrics.box_side(boxes))
    assert scaled.tolist() == [[0.1, 0.05]]
    assert float(metrics.share_below(scaled, 0.1)) == pytest.approx(0.5)
    assert metrics.in_units_of(errors, torch.zeros(1, dtype=torch.float64)).isnan().all()


def test_constant_velocity_has_no_acceleration_error_and_a_jerk_has_its_own():
    time = torch.arange(5.0)[:, None, None]
    still = torch.zeros(5, 1, 3)
    assert metrics.acceleration_errors(still + 0.3 * time, still).max() < 1e-6
    jump = still.clone()
    jump[2, 0, 0] = 0.1  # second differences 0.1, -0.2, 0.1
    torch.testing.assert_close(
        metrics.acceleration_errors(jump, still)[:, 0],
        torch.tensor([0.1, 0.2, 0.1]).double(),
        atol=1e-7,
        rtol=0,
    )
    assert metrics.acceleration_errors(still[:2], still[:2]).shape == (0, 1)


def test_segmentation_by_hand():
    truth = torch.tensor([[1, 1, 0], [0, 0, 0]])
    guess = torch.tensor([[1, 0, 1], [0, 0, 0]])
    counted = metrics.confusion(guess, truth, 2)
    assert counted.accuracy == pytest.approx(4 / 6)
    # person: TP 1, FP 1, FN 1; background: TP 3, FP 1, FN 1
    assert counted.f1 == pytest.approx((2 / 4 + 6 / 8) / 2)
    assert counted.overlap_by_class.tolist() == pytest.approx([3 / 5, 1 / 3])


def test_pixels_left_open_count_as_background_for_accuracy_and_not_at_all_for_f1():
    truth = torch.tensor([1, 255, 255, 0])
    guess = torch.tensor([1, 0, 1, 0])
    counted = metrics.confusion(guess, truth, 7)
    assert counted.accuracy == pytest.approx(3 / 4)
    assert counted.accuracy_without_ignored == 1
    assert counted.f1 == 1  # five of seven classes are neither there nor predicted
    assert counted.ignored == 2


def test_counts_of_pictures_add_up_before_any_ratio_is_taken():
    small = metrics.confusion(torch.tensor([1]), torch.tensor([0]), 2)
    large = metrics.confusion(torch.ones(99, dtype=torch.bool), torch.ones(99, dtype=torch.bool), 2)
    assert (small + large).accuracy == pytest.approx(0.99)


def test_f1_agrees_with_counting_class_by_class():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(7, (20, 30), generator=generator)
    guess = torch.randint(7, (20, 30), generator=generator)
    truth[:3] = 255
    scores = []
    for label in range(7):
        is_true, is_guess = truth == label, (guess == label) & (truth != 255)
        hit = int((is_true & is_guess).sum())
        scores.append(
            2 * hit / (2 * hit + int((~is_true & is_guess).sum()) + int((is_true & ~is_guess).sum()))
        )
    assert metrics.confusion(guess, truth, 7).f1 == pytest.approx(np.mean(scores))


def test_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match="predicted label"):
        metrics.confusion(torch.tensor([7]), torch.tensor([0]), 7)


def test_group_means_leave_missing_frames_out():
    values = torch.tensor([1.0, 3.0, 5.0, torch.nan], dtype=torch.float64)
    means = metrics.mean_of_groups(values, ["b", "a", "b", "a"])
    assert means == {"b": 3.0, "a": 3.0}
    assert list(means) == ["b", "a"]


def mean_of(totals: torch.Tensor) -> torch.Tensor:
    return totals[:, 0] / totals[:, 1]


def interval_of_mean(values: torch.Tensor, seed: int, resamples: int) -> metrics.Interval:
    sums = torch.stack([values, torch.ones_like(values)], 1)
    return metrics.bootstrap_interval(sums, mean_of, torch.Generator().manual_seed(seed), resamples=resamples)


def test_the_bootstrap_interval_of_a_mean_agrees_with_the_normal_one():
    values = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = interval_of_mean(values, 2, 2000)
    half = 1.96 * float(values.std()) / math.sqrt(400)
    assert found.low == pytest.approx(float(values.mean()) - half, abs=0.15 * half)
    assert found.high == pytest.approx(float(values.mean()) + half, abs=0.15 * half)


def test_the_same_generator_gives_the_same_interval():
    values = torch.arange(9, dtype=torch.float64)
    assert interval_of_mean(values, 3, 20) == interval_of_mean(values, 3, 20)


def test_the_interval_of_one_sample_is_that_sample_and_of_none_is_unknown():
    one = interval_of_mean(torch.tensor([7.0], dtype=torch.float64), 0, 10)
    assert (one.low, one.high) == (7.0, 7.0)
    assert math.isnan(interval_of_mean(torch.zeros(0, dtype=torch.float64), 0, 10).low)


def test_rank_correlation_agrees_with_scipy_with_ties():
    generator = torch.Generator().manual_seed(4)
    first = torch.randint(6, (40,), generator=generator).float()
    second = first + torch.randint(4, (40,), generator=generator)
    assert metrics.rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
