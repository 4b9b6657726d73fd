"""Procrustes: the drawn transform comes back, scipy agrees, and reflections stay out."""

import numpy as np
import torch
from scipy.spatial import procrustes

from humanmesh.geometry.alignment import rigid_between, similarity_between
from humanmesh.geometry.rotations import axis_angle_to_matrix


def draw(seed: int, count: int = 20, points: int = 14) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return (
        normal(count, points, 3),
        axis_angle_to_matrix(normal(count, 3)),
        normal(count).exp(),
        normal(count, 3),
    )


def test_the_drawn_similarity_comes_back():
    source, rotation, scale, translation = draw(0)
    target = scale[:, None, None] * source @ rotation.transpose(1, 2) + translation[:, None]
    found = similarity_between(source, target)
    torch.testing.assert_close(found.rotation, rotation)
    torch.testing.assert_close(found.scale, scale)
    torch.testing.assert_close(found.translation, translation)


def test_the_residual_agrees_with_scipy():
    source, *_ = draw(1)
    target, *_ = draw(2)
    for s, t in zip(source, target, strict=True):
        _, _, disparity = procrustes(t.numpy(), s.numpy())
        found = similarity_between(s[None], t[None])
        residual = (found.apply(s[None])[0] - t).square().sum() / (t - t.mean(0)).square().sum()
        if torch.linalg.det((t - t.mean(0)).T @ (s - s.mean(0))) > 0:  # scipy's may reflect; ours never
            np.testing.assert_allclose(residual, disparity, atol=1e-12)
        else:
            assert residual >= disparity - 1e-12


def test_a_mirrored_body_is_not_reflected_back():
    source, *_ = draw(3)
    found = similarity_between(source, source * torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(len(source), dtype=torch.float64))


def test_points_of_weight_zero_do_not_count():
    source, rotation, scale, translation = draw(4)
    target = scale[:, None, None] * source @ rotation.transpose(1, 2) + translation[:, None]
    weights = torch.ones_like(target[..., 0])
    weights[:, 0] = 0
    target[:, 0] = 1e3
    torch.testing.assert_close(similarity_between(source, target, weights).scale, scale)


def test_points_in_one_place_and_no_points_give_finite_values():
    point = torch.ones(2, 5, 3, dtype=torch.float64)
    found = similarity_between(point, 2 * point)
    torch.testing.assert_close(found.apply(point), 2 * point)
    nothing = similarity_between(point, 2 * point, torch.zeros(2, 5, dtype=torch.float64))
    torch.testing.assert_close(nothing.apply(point), point)


def test_a_rigid_motion_comes_back_and_scale_stays_one():
    source, rotation, _, translation = draw(5)
    target = source @ rotation.transpose(1, 2) + translation[:, None]
    found = rigid_between(source, target)
    torch.testing.assert_close(found.rotation, rotation)
    torch.testing.assert_close(found.translation, translation)
    assert (rigid_between(source, 3 * target).scale == 1).all()
