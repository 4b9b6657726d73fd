"""Rotations against scipy, at the points where formulas break, and by their laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from humanmesh.geometry.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    inverse_right_jacobian,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    mirror_matrix,
    quaternion_to_matrix,
    relative_quaternion,
    right_jacobian,
    rotation_6d_to_matrix,
    shortest_turn,
)

BREAKING_ANGLES = [0.0, 1e-12, 1e-8, 1e-4, 0.0999, 0.1001, 1.0, math.pi - 1e-6, math.pi, 2 * math.pi]
finite = st.floats(-10, 10, allow_nan=False)


def some_axis_angles(count: int = 500) -> torch.Tensor:
    return 3 * torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_axis_angle_agrees_with_scipy():
    axis_angle = some_axis_angles()
    expected = Rotation.from_rotvec(axis_angle.numpy()).as_matrix()
    np.testing.assert_allclose(axis_angle_to_matrix(axis_angle), expected, atol=1e-13)


def test_quarter_turn_about_z_sends_x_to_y():
    matrix = axis_angle_to_matrix(torch.tensor([0.0, 0.0, math.pi / 2], dtype=torch.float64))
    torch.testing.assert_close(
        matrix @ torch.tensor([1.0, 0, 0], dtype=torch.float64),
        torch.tensor([0.0, 1, 0], dtype=torch.float64),
    )


@given(st.tuples(finite, finite, finite))
@settings(deadline=None, max_examples=50)
def test_every_axis_angle_gives_a_rotation(axis_angle):
    matrix = axis_angle_to_matrix(torch.tensor(axis_angle, dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("angle", BREAKING_ANGLES)
def test_axis_angle_is_exact_where_formulas_break(angle):
    vector = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64) * angle
    expected = Rotation.from_rotvec(vector.numpy()).as_matrix()
    np.testing.assert_allclose(axis_angle_to_matrix(vector), expected, atol=1e-15)


@pytest.mark.parametrize("angle", BREAKING_ANGLES)
def test_gradient_of_axis_angle_where_formulas_break(angle):
    vector = (torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64) * angle).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, vector)


def test_axis_angle_in_single_precision_is_a_rotation_near_zero():
    vector = torch.full((3,), -1e-8)
    torch.testing.assert_close(axis_angle_to_matrix(vector), torch.eye(3))


def test_quaternion_agrees_with_scipy_in_every_branch():
    matrix = axis_angle_to_matrix(some_axis_angles())
    x, y, z, w = Rotation.from_matrix(matrix.numpy()).as_quat(canonical=True).T
    np.testing.assert_allclose(matrix_to_quaternion(matrix), np.stack([w, x, y, z], -1), atol=1e-12)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(matrix)), matrix)


@pytest.mark.parametrize("angle", [*BREAKING_ANGLES[:-1]])
def test_matrix_to_axis_angle_is_the_inverse_up_to_half_a_turn(angle):
    vector = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64) * angle
    back = matrix_to_axis_angle(axis_angle_to_matrix(vector))
    torch.testing.assert_close(axis_angle_to_matrix(back), axis_angle_to_matrix(vector), atol=1e-12, rtol=0)
    assert float(back.norm()) <= math.pi + 1e-12


def test_gradient_of_axis_angle_from_the_identity_is_finite():
    matrix = torch.eye(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(matrix_to_axis_angle(matrix).sum(), matrix)
    assert torch.isfinite(gradient).all()


def test_6d_is_the_first_two_columns_and_comes_back():
    matrix = axis_angle_to_matrix(some_axis_angles())
    six = matrix_to_rotation_6d(matrix)
    torch.testing.assert_close(six[:, :3], matrix[:, :, 0])
    torch.testing.assert_close(six[:, 3:], matrix[:, :, 1])
    torch.testing.assert_close(rotation_6d_to_matrix(six), matrix)


def test_6d_forgets_length_and_shear():
    first, second = torch.tensor([2.0, 0, 0]), torch.tensor([5.0, 3, 0])
    torch.testing.assert_close(rotation_6d_to_matrix(torch.cat([first, second])), torch.eye(3))


def test_mirror_twice_is_the_identity_and_a_mirror_is_a_rotation():
    matrix = axis_angle_to_matrix(some_axis_angles())
    torch.testing.assert_close(mirror_matrix(mirror_matrix(matrix)), matrix)
    torch.testing.assert_close(
        torch.linalg.det(mirror_matrix(matrix)), torch.ones(len(matrix), dtype=torch.float64)
    )


def test_mirror_keeps_the_angle_about_x_and_turns_that_about_y_and_z():
    vector = torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64)
    mirrored = mirror_matrix(axis_angle_to_matrix(vector))
    torch.testing.assert_close(
        matrix_to_axis_angle(mirrored), vector * torch.tensor([1.0, -1, -1], dtype=torch.float64)
    )


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.5, math.pi - 1e-7, math.pi])
def test_geodesic_angle_is_exact_at_both_ends(angle):
    matrix = axis_angle_to_matrix(torch.tensor([0.0, angle, 0.0], dtype=torch.float64))
    other = axis_angle_to_matrix(torch.tensor([0.4, 0.1, -0.2], dtype=torch.float64))
    assert float(geodesic_angle(other, other @ matrix)) == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize("angle", BREAKING_ANGLES)
def test_the_right_jacobian_is_how_a_rotation_answers_a_small_change(angle):
    axis_angle = angle * torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    step = 1e-6
    for column, change in enumerate(step * torch.eye(3, dtype=torch.float64)):
        turned = axis_angle_to_matrix(axis_angle - change).T @ axis_angle_to_matrix(axis_angle + change)
        found = matrix_to_axis_angle(turned) / (2 * step)
        torch.testing.assert_close(right_jacobian(axis_angle)[:, column], found, atol=1e-7, rtol=0)


@pytest.mark.parametrize("angle", [*BREAKING_ANGLES[:-1], 1.99 * math.pi])
def test_the_inverse_right_jacobian_undoes_the_right_jacobian(angle):
    axis_angle = angle * torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    product = inverse_right_jacobian(axis_angle) @ right_jacobian(axis_angle)
    torch.testing.assert_close(product, torch.eye(3, dtype=torch.float64), atol=1e-10, rtol=0)


def test_the_relative_quaternion_is_that_of_the_relative_matrix():
    start, end = Rotation.random(50, random_state=1), Rotation.random(50, random_state=2)
    quaternions = (torch.from_numpy(np.roll(turns.as_quat(), 1, 1)) for turns in (start, end))
    found = quaternion_to_matrix(relative_quaternion(*quaternions))
    np.testing.assert_allclose(found, (start.inv() * end).as_matrix(), atol=1e-12)


def test_the_shortest_turn_takes_a_direction_to_the_other_by_the_angle_between_them():
    start, end = np.random.default_rng(0).normal(size=(2, 50, 3))
    turn = shortest_turn(torch.from_numpy(start), torch.from_numpy(end)).numpy()
    unit_start, unit_end = (ends / np.linalg.norm(ends, axis=1, keepdims=True) for ends in (start, end))
    np.testing.assert_allclose((turn @ unit_start[..., None])[..., 0], unit_end, atol=1e-12)
    between = np.arccos((unit_start * unit_end).sum(1))
    np.testing.assert_allclose(Rotation.from_matrix(turn).magnitude(), between, atol=1e-7)
    same = shortest_turn(torch.from_numpy(start), 3 * torch.from_numpy(start))
    np.testing.assert_allclose(same, np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-12)
