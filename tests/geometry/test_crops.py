"""Crops: one matrix for picture and keypoints, checked against each other, by hand and against OpenCV."""

import math

import cv2
import numpy as np
import pytest
import torch

from humanmesh.geometry import crops


def test_edges_of_the_square_are_minus_one_and_one():
    matrix = crops.crop_from_photo(torch.tensor([[50.0, 20.0]]), torch.tensor([40.0]))
    corners = crops.apply(matrix, torch.tensor([[[30.0, 0.0], [70.0, 40.0], [50.0, 20.0]]]))
    torch.testing.assert_close(corners, torch.tensor([[[-1.0, -1], [1, 1], [0, 0]]]))


def test_crop_then_uncrop_is_the_identity():
    matrix = crops.crop_from_photo(torch.tensor([[50.0, 20.0]]), torch.tensor([40.0]), torch.tensor([0.7]))
    points = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(0)) * 100
    torch.testing.assert_close(crops.apply(torch.linalg.inv(matrix), crops.apply(matrix, points)), points)


def test_a_crop_of_the_whole_picture_is_the_picture():
    photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    matrix = crops.crop_from_photo(torch.tensor([[8.0, 8.0]]), torch.tensor([16.0]))
    torch.testing.assert_close(crops.sample_crops(photo, matrix, 16), photo, atol=1e-5, rtol=0)


def test_the_paper_puts_the_diagonal_of_the_box_on_150_of_224_pixels():
    side = crops.hmr_crop_side(torch.tensor([[0.0, 0.0, 90.0, 120.0]]))
    assert float(side[0]) == pytest.approx(224)


def test_a_bright_pixel_lands_where_its_centre_is_sent():
    photo = torch.zeros(1, 1, 60, 80)
    photo[0, 0, 33, 41] = 1
    angle = torch.tensor([math.pi / 2])
    matrix = crops.crop_from_photo(torch.tensor([[40.0, 30.0]]), torch.tensor([32.0]), angle)
    crop = crops.sample_crops(photo, matrix, 32)
    expected = (crops.apply(matrix, torch.tensor([[[41.5, 33.5]]])) + 1) * 16
    row, column = divmod(int(crop.argmax()), 32)
    assert expected[0, 0].tolist() == pytest.approx([column + 0.5, row + 0.5], abs=1e-3)


def test_a_turned_crop_agrees_with_opencv():
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.random((48, 64, 3)).astype(np.float32), (0, 0), 2)
    matrix = crops.crop_from_photo(torch.tensor([[30.0, 25.0]]), torch.tensor([36.0]), torch.tensor([0.4]))
    pixels_from_crop = np.array([[16, 0, 16], [0, 16, 16], [0, 0, 1.0]])
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV's pixel centres stand at whole numbers
    warp = np.linalg.inv(shift) @ pixels_from_crop @ matrix[0].double().numpy() @ shift
    expected = cv2.warpPerspective(
        photo, warp, (32, 32), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    ours = crops.sample_crops(torch.from_numpy(photo).permute(2, 0, 1)[None], matrix, 32)[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours, expected, atol=0.01)


@pytest.mark.parametrize("side", [700.0, 5000.0])
def test_a_shrunk_crop_keeps_the_mean_of_a_fine_pattern(side):
    photo = (torch.arange(1000)[:, None] + torch.arange(1000)[None]).remainder(2).float()[None]
    matrix = crops.crop_from_photo(torch.tensor([[500.0, 500.0]]), torch.tensor([side]))[0]
    crop = crops.sample_crop(photo, matrix, 64)
    inside = crop[0, 30:34, 30:34]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5), atol=0.02, rtol=0)


def test_a_shrunk_crop_puts_things_where_the_plain_one_does():
    y, x = torch.meshgrid(torch.arange(400.0), torch.arange(300.0), indexing="ij")
    photo = torch.stack([x, y]) / 400
    matrix = crops.crop_from_photo(torch.tensor([[160.0, 190.0]]), torch.tensor([220.0]), torch.tensor([0.3]))
    plain = crops.sample_crops(photo[None], matrix, 64)[0]
    torch.testing.assert_close(crops.sample_crop(photo, matrix[0], 64), plain, atol=0.004, rtol=0)


def test_a_crop_beside_the_photo_repeats_its_edge():
    photo = torch.zeros(3, 50, 50)
    photo[:, :, -1] = 1
    matrix = crops.crop_from_photo(torch.tensor([[500.0, 25.0]]), torch.tensor([200.0]))[0]
    assert float(crops.sample_crop(photo, matrix, 32).min()) > 0.4


def test_mirror_twice_is_the_identity():
    matrix = crops.crop_from_photo(torch.tensor([[50.0, 20.0]]), torch.tensor([40.0]), torch.tensor([0.7]))
    torch.testing.assert_close(crops.mirror_crop(crops.mirror_crop(matrix)), matrix)


def test_box_looks_at_visible_keypoints_only():
    keypoints = torch.tensor([[[1.0, 2], [5, 9], [100, 100]]])
    box = crops.box_of_keypoints(keypoints, torch.tensor([[1.0, 0.5, 0.0]]))
    assert box[0].tolist() == [1, 2, 5, 9]
