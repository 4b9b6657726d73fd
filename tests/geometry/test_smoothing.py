import math

import numpy as np
import pytest
import torch
from scipy.signal import savgol_coeffs
from scipy.spatial.transform import Rotation, Slerp

from humanmesh.geometry.rotations import axis_angle_to_matrix, geodesic_angle, matrix_to_axis_angle
from humanmesh.geometry.smoothing import (
    OneEuro,
    RotationFilter,
    VectorFilter,
    interpolate_rotations,
    interpolate_vectors,
    local_fit,
    smooth_rotations,
    smooth_vectors,
    weighted_median,
)

RATE = 30


def uneven_times(count: int) -> torch.Tensor:
    gaps = torch.rand(count, generator=torch.Generator().manual_seed(1)).double() + 0.3
    return gaps.cumsum(0) / RATE


def some_rotations(count: int, spread: float = 1.0) -> torch.Tensor:
    turns = spread * torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(2)).double()
    return axis_angle_to_matrix(turns)


@pytest.mark.parametrize("degree", [1, 2])
def test_a_polynomial_of_the_fits_degree_stays_as_it_is_at_uneven_times_too(degree):
    times = uneven_times(40)
    values = torch.stack([times**degree - 3 * times, 2 - times], 1)
    fit = local_fit(times, torch.rand(40).double() + 0.1, 0.1, degree)
    np.testing.assert_allclose(smooth_vectors(values, fit), values, atol=1e-10)


def test_with_a_very_wide_gaussian_the_fit_is_savitzky_and_golays():
    times = torch.arange(31).double()
    fit = local_fit(times, torch.ones(31), bandwidth=1e4)
    np.testing.assert_allclose(fit.coefficients[15], savgol_coeffs(31, 2), atol=1e-6)


def test_a_steady_turn_stays_as_it_is_also_past_half_a_turn():
    times = uneven_times(50)
    axis = torch.tensor([0.6, 0.0, 0.8]).double()
    turning = axis_angle_to_matrix(6 * times[:, None, None] * axis)
    fit = local_fit(times, torch.ones(50), 0.1)
    assert float(6 * times[-1]) > math.pi
    np.testing.assert_allclose(smooth_rotations(turning, fit), turning, atol=1e-10)


def test_smoothing_does_not_know_in_which_frame_the_rotations_are_given():
    rotations = some_rotations(30, 0.3)
    frame = axis_angle_to_matrix(torch.tensor([1.0, -2.0, 0.5]).double())
    fit = local_fit(uneven_times(30), torch.ones(30), 0.08)
    turned = smooth_rotations(frame @ rotations @ frame.T, fit)
    np.testing.assert_allclose(turned, frame @ smooth_rotations(rotations, fit) @ frame.T, atol=1e-9)


def test_smoothing_halves_the_noise_of_rotations_and_does_not_lag():
    times = torch.arange(90).double() / RATE
    truth = axis_angle_to_matrix(torch.stack([(2 * times).sin(), (3 * times).cos(), times], 1)[:, None])
    noise = 0.1 * torch.randn(90, 1, 3, generator=torch.Generator().manual_seed(0)).double()
    noisy = truth @ axis_angle_to_matrix(noise)
    smooth = smooth_rotations(noisy, local_fit(times, torch.ones(90), 0.1))
    assert geodesic_angle(smooth, truth).mean() < geodesic_angle(noisy, truth).mean() / 2
    own, later = (
        matrix_to_axis_angle(truth[first:last].transpose(-1, -2) @ smooth[10:80]).norm(dim=-1).mean()
        for first, last in ((10, 80), (9, 79))
    )
    assert own < later


def test_a_sample_of_little_weight_hardly_moves_the_fit():
    times = torch.arange(21).double() / RATE
    rotations = torch.eye(3).double().repeat(21, 1, 1, 1)
    rotations[10] = axis_angle_to_matrix(torch.tensor([3.0, 0, 0]).double())
    weights = torch.ones(21)
    weights[10] = 1e-4
    smooth = smooth_rotations(rotations, local_fit(times, weights, 0.07))
    assert geodesic_angle(smooth, torch.eye(3).double().expand_as(smooth)).max() < 0.01


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clips_of_few_frames_pass(count):
    rotations = some_rotations(count)
    fit = local_fit(uneven_times(count), torch.ones(count), 0.1)
    np.testing.assert_allclose(fit.coefficients.sum(1), np.ones(count), atol=1e-9)
    np.testing.assert_allclose(smooth_rotations(rotations, fit), rotations, atol=1e-6)


def test_rotations_between_samples_agree_with_scipys_slerp():
    times, rotations = uneven_times(8), some_rotations(8)[:, :1]
    moments = torch.linspace(float(times[0]) + 1e-4, float(times[-1]) - 1e-4, 57).double()
    slerp = Slerp(times.numpy(), Rotation.from_matrix(rotations[:, 0].numpy()))
    ours = interpolate_rotations(times, rotations, moments)[:, 0]
    np.testing.assert_allclose(ours, slerp(moments.numpy()).as_matrix(), atol=1e-9)


def test_vectors_between_samples_agree_with_numpy_and_stay_at_the_ends_outside():
    times = uneven_times(8)
    values = torch.randn(8, 1, generator=torch.Generator().manual_seed(3)).double()
    moments = torch.linspace(-1, 2, 50).double()
    expected = np.interp(moments.numpy(), times.numpy(), values[:, 0].numpy())
    np.testing.assert_allclose(interpolate_vectors(times, values, moments)[:, 0], expected, atol=1e-12)


def test_weighted_median_by_hand():
    values = torch.tensor([[1.0, 9.0], [2.0, 8.0], [100.0, 7.0]])
    assert weighted_median(values, torch.ones(3)).tolist() == [2, 8]
    assert weighted_median(values, torch.tensor([0.1, 0.1, 0.8])).tolist() == [100, 7]
    assert weighted_median(values[:1], torch.ones(1)).tolist() == [1, 9]


def test_one_euro_of_what_stands_still_is_an_exponential_filter_of_its_cutoff():
    constants = OneEuro(minimum_cutoff=2.0, speed_gain=0.0)
    smooth = VectorFilter(constants)
    smooth(0.0, torch.zeros(1))
    response = float(smooth(0.1, torch.ones(1)))
    assert response == pytest.approx(1 / (1 + 1 / (2 * math.pi * 2.0 * 0.1)))


def test_one_euro_lags_less_with_a_speed_gain():
    times = torch.arange(60).double() / RATE
    lags = []
    for gain in (0.0, 2.0):
        smooth = VectorFilter(OneEuro(1.0, gain))
        lags.append(float(5 * times[-1] - [smooth(float(time), 5 * time[None]) for time in times][-1]))
    assert 0 < lags[1] < lags[0] / 2


def test_one_euro_of_turns_about_one_axis_is_one_euro_of_the_angle():
    angles = 0.3 * torch.randn(40, generator=torch.Generator().manual_seed(5)).double()
    times = uneven_times(40)
    turns, numbers = RotationFilter(OneEuro(1.0, 0.5)), VectorFilter(OneEuro(1.0, 0.5))
    axis = torch.tensor([0.0, 0.6, 0.8]).double()
    for time, angle in zip(times.tolist(), angles, strict=True):
        turned = turns(time, axis_angle_to_matrix(angle * axis)[None])
        number = numbers(time, angle[None])
        np.testing.assert_allclose(turned[0], axis_angle_to_matrix(number * axis), atol=1e-9)


@pytest.mark.parametrize("constants", [(0.0, 1.0), (1.0, -1.0), (-1.0, 1.0)])
def test_one_euro_without_a_positive_cutoff_is_refused(constants):
    with pytest.raises(ValueError, match="positive"):
        OneEuro(*constants)
