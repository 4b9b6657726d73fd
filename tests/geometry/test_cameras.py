"""Cameras by hand numbers, and the way from a crop to the photo and back."""

import numpy as np
import pytest
import torch

from humanmesh.errors import BadInputError
from humanmesh.geometry.cameras import (
    CropPerspectiveCamera,
    PerspectiveCamera,
    PhotoCamera,
    WeakPerspectiveCamera,
    centred_lens,
    default_focal_length,
    lens_of,
    translation_camera_from_body,
    weak_perspective_of,
)
from humanmesh.geometry.crops import apply, crop_from_photo


def test_offset_is_added_before_scaling():
    camera = WeakPerspectiveCamera(torch.tensor([2.0]), torch.tensor([[0.1, -0.2]]))
    projected = camera.project(torch.tensor([[[0.3, 0.5, 9.0]]]))
    torch.testing.assert_close(projected, torch.tensor([[[0.8, 0.6]]]))


def test_perspective_projection_of_a_hand_number():
    camera = PerspectiveCamera(torch.tensor([500.0]), torch.tensor([[320.0, 240.0]]))
    torch.testing.assert_close(
        camera.project(torch.tensor([[[1.0, -0.5, 5.0]]])), torch.tensor([[[420.0, 190.0]]])
    )


def test_default_focal_length_is_the_diagonal():
    assert default_focal_length(300.0, 400.0) == 500


def test_depth_is_the_known_closed_form():
    weak = WeakPerspectiveCamera(torch.tensor([0.9]), torch.zeros(1, 2))
    photo = PerspectiveCamera(torch.tensor([5000.0]), torch.tensor([[112.0, 112.0]]))
    photo_from_crop = torch.linalg.inv(crop_from_photo(torch.tensor([[112.0, 112.0]]), torch.tensor([224.0])))
    translation = translation_camera_from_body(weak, photo_from_crop, photo)
    assert translation[0].tolist() == pytest.approx([0, 0, 2 * 5000 / (224 * 0.9)], rel=1e-5, abs=1e-6)


def test_photo_camera_sees_points_of_the_bodys_plane_where_the_crop_does():
    weak = WeakPerspectiveCamera(torch.tensor([0.8, 1.3]), torch.tensor([[0.1, -0.3], [0.0, 0.2]]))
    photo = PerspectiveCamera(torch.tensor([900.0, 700.0]), torch.tensor([[320.0, 240.0], [100.0, 80.0]]))
    matrix = crop_from_photo(
        torch.tensor([[400.0, 100.0], [50.0, 60.0]]), torch.tensor([180.0, 90.0]), torch.tensor([0.0, 0.0])
    )
    points = torch.tensor([[0.2, -0.7, 0.0], [-0.4, 0.9, 0.0]]).expand(2, -1, -1)
    photo_from_crop = torch.linalg.inv(matrix)
    moved = points + translation_camera_from_body(weak, photo_from_crop, photo)[:, None]
    expected = apply(photo_from_crop, weak.project(points))
    torch.testing.assert_close(photo.project(moved), expected, atol=1e-3, rtol=1e-5)


def test_a_crop_with_the_photos_lens_sees_every_point_where_the_photos_camera_does():
    weak = WeakPerspectiveCamera(torch.tensor([0.8, 1.3]), torch.tensor([[0.1, -0.3], [0.0, 0.2]]))
    photo = PerspectiveCamera(torch.tensor([900.0, 700.0]), torch.tensor([[320.0, 240.0], [100.0, 80.0]]))
    matrix = crop_from_photo(torch.tensor([[400.0, 100.0], [50.0, 60.0]]), torch.tensor([180.0, 90.0]))
    photo_from_crop = torch.linalg.inv(matrix)
    points = torch.tensor([[0.2, -0.7, 0.4], [-0.4, 0.9, -0.6]]).expand(2, -1, -1)
    moved = points + translation_camera_from_body(weak, photo_from_crop, photo)[:, None]
    near = CropPerspectiveCamera(weak.scale, weak.translation, lens_of(photo_from_crop, photo))
    torch.testing.assert_close(near.project(points), apply(matrix, photo.project(moved)))


def test_a_lens_without_slope_is_weak_perspective():
    weak = WeakPerspectiveCamera(torch.tensor([0.8, -1.3]), torch.tensor([[0.1, -0.3], [0.0, 0.2]]))
    far = CropPerspectiveCamera(weak.scale, weak.translation, centred_lens(0.0, weak.scale))
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(far.project(points), weak.project(points))


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_derivatives_of_projected_points_are_those_of_autograd(slope: float):
    scale = torch.tensor([0.8, 1.3], dtype=torch.float64)
    lens = CropPerspectiveCamera(
        scale, scale.new_tensor([[0.1, -0.3], [0.0, 0.2]]), centred_lens(slope, scale)
    )
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda moved: lens.project(moved).sum((0, 1)), points)
    by_point = jacobian.permute(1, 2, 0, 3)  # (batch, points, 2, 3)
    found = lens.linearised(points)
    zero = torch.zeros_like(found.by_xy)
    torch.testing.assert_close(by_point[..., 0], torch.stack([found.by_xy, zero], 2))
    torch.testing.assert_close(by_point[..., 1], torch.stack([zero, found.by_xy], 2))
    torch.testing.assert_close(by_point[..., 2], found.by_depth)
    still = torch.zeros_like(scale)
    by_lens = torch.autograd.functional.jacobian(
        lambda change: lens.changed(still, lens.translation * 0, change).project(points).sum(0), still
    )
    torch.testing.assert_close(by_lens.sum(2), found.by_lens.sum(0))


def test_a_point_behind_a_near_camera_is_seen_somewhere():
    scale = torch.tensor([0.9])
    near = CropPerspectiveCamera(scale, torch.zeros(1, 2), centred_lens(0.5, scale))
    assert near.project(torch.tensor([[[0.3, 0.5, -9.0]]])).isfinite().all()


def test_oblong_pixels_have_two_focal_lengths():
    camera = PhotoCamera(500.0, (320.0, 240.0), pixel_aspect=0.8)
    seen = camera.project(np.float32([[1.0, -0.5, 5.0]]))
    np.testing.assert_allclose(seen, [[420, 200]])
    homogeneous = camera.matrix @ [1.0, -0.5, 5.0]
    np.testing.assert_allclose(homogeneous[:2] / homogeneous[2], seen[0])
    batch = PerspectiveCamera(torch.tensor([[500.0, 400.0]]), torch.tensor([[320.0, 240.0]]))
    np.testing.assert_allclose(batch.project(torch.tensor([[[1.0, -0.5, 5.0]]]))[0], seen)


def test_twice_the_pixels_see_twice_as_far_across():
    camera = PhotoCamera(500.0, (320.0, 240.0), pixel_aspect=0.8)
    points = np.float32([[1.0, -0.5, 5.0], [0.2, 0.3, 2.0]])
    np.testing.assert_allclose(camera.enlarged(2, 3).project(points), camera.project(points) * [2, 3])


def test_the_bodys_origin_is_seen_where_the_crop_has_it_by_oblong_pixels_too():
    weak = WeakPerspectiveCamera(torch.tensor([0.9]), torch.tensor([[0.1, -0.2]]))
    photo = PerspectiveCamera(torch.tensor([[900.0, 700.0]]), torch.tensor([[310.0, 250.0]]))
    photo_from_crop = torch.tensor([[[90.0, 0, 300], [0, 90, 200], [0, 0, 1]]])
    place = translation_camera_from_body(weak, photo_from_crop, photo)
    expected = [300 + 90 * 0.9 * 0.1, 200 - 90 * 0.9 * 0.2]
    assert photo.project(place[:, None])[0, 0].tolist() == pytest.approx(expected, rel=1e-5)
    back = weak_perspective_of(place, photo_from_crop, photo)
    torch.testing.assert_close(back.scale, weak.scale)
    torch.testing.assert_close(back.translation, weak.translation)


@pytest.mark.parametrize("focal", [0.0, -5.0, float("nan"), float("inf")])
def test_what_is_no_focal_length_makes_no_camera(focal):
    with pytest.raises(BadInputError, match="Focal length"):
        PhotoCamera(focal, (1.0, 1.0))
    with pytest.raises(BadInputError, match="Principal point"):
        PhotoCamera(100.0, (1.0, float("nan")))
