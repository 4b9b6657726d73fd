import numpy as np
import pytest
import torch

from humanmesh.geometry.cameras import PerspectiveCamera, WeakPerspectiveCamera, translation_camera_from_body
from humanmesh.geometry.placement import translation_of_best_fit

CAMERA = PerspectiveCamera(torch.tensor([500.0, 700.0]), torch.tensor([[320.0, 240.0], [100.0, 90.0]]))


def body(*, flat: bool = False) -> torch.Tensor:
    points = torch.randn(2, 19, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 0.6, 0.3])
    return points * torch.tensor([1.0, 1.0, 0.0]) if flat else points


def test_translation_of_points_that_the_camera_saw_comes_back():
    translation = torch.tensor([[0.4, -0.3, 3.0], [-1.0, 0.2, 5.0]])
    seen = CAMERA.project(body() + translation[:, None])
    np.testing.assert_allclose(translation_of_best_fit(body(), seen, CAMERA), translation, atol=1e-4)


def test_flat_body_seen_by_a_weak_camera_stands_where_the_closed_form_says():
    weak = WeakPerspectiveCamera(torch.tensor([0.9, 1.2]), torch.tensor([[0.1, 0.05], [-0.2, 0.0]]))
    photo_from_crop = torch.tensor([[[100.0, 0, 300], [0, 100, 200], [0, 0, 1]]] * 2)
    crop = weak.project(body(flat=True))
    seen = crop * 100 + torch.tensor([300.0, 200.0])
    expected = translation_camera_from_body(weak, photo_from_crop, CAMERA)
    np.testing.assert_allclose(translation_of_best_fit(body(flat=True), seen, CAMERA), expected, atol=1e-4)


def test_solution_is_that_of_a_general_least_squares_solver():
    points, seen = body(), torch.rand(2, 19, 2, generator=torch.Generator().manual_seed(1)) * 400
    found = translation_of_best_fit(points, seen, CAMERA)
    for row in range(2):
        u = ((seen[row] - CAMERA.principal_point[row]) / CAMERA.focal_length[row]).double().numpy()
        x = points[row].double().numpy()
        matrix = np.concatenate([[[1, 0, -a], [0, 1, -b]] for a, b in u])
        right = (u * x[:, 2:] - x[:, :2]).ravel()
        expected = np.linalg.lstsq(matrix, right, rcond=None)[0]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_moving_the_pixels_toward_the_middle_moves_the_body_away():
    translation = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]])
    seen = CAMERA.project(body() + translation[:, None])
    smaller = (seen - CAMERA.principal_point[:, None]) / 2 + CAMERA.principal_point[:, None]
    assert translation_of_best_fit(body(), smaller, CAMERA)[:, 2].tolist() == pytest.approx([6, 6], rel=0.1)


def test_translation_comes_back_from_oblong_pixels():
    camera = PerspectiveCamera(torch.tensor([[500.0, 400.0], [700.0, 760.0]]), CAMERA.principal_point)
    translation = torch.tensor([[0.4, -0.3, 3.0], [-1.0, 0.2, 5.0]])
    seen = camera.project(body() + translation[:, None])
    np.testing.assert_allclose(translation_of_best_fit(body(), seen, camera), translation, atol=1e-4)
