import json

import pytest

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.intrinsics import read_intrinsics

MATRIX = [[800.0, 0, 330], [0, 760.0, 250], [0, 0, 1]]


def written(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        MATRIX,
        {"matrix": MATRIX},
        {"matrix": [[2 * value for value in row] for row in MATRIX]},  # the same camera: homogeneous
        {"fx": 800, "fy": 760, "cx": 330, "cy": 250},
    ],
)
def test_matrix_and_four_numbers_are_one_camera(content, tmp_path):
    camera = read_intrinsics(written(tmp_path, content)).camera_of(640, 480)
    assert camera.focal_xy == pytest.approx((800, 760))
    assert camera.principal_point == pytest.approx((330, 250))


def test_without_fy_the_pixels_are_square(tmp_path):
    assert read_intrinsics(written(tmp_path, {"fx": 800, "cx": 1, "cy": 2})).camera_of(9, 9).pixel_aspect == 1


def test_smaller_copies_of_the_calibrated_pictures_have_a_smaller_camera(tmp_path):
    path = written(tmp_path, {"matrix": MATRIX, "width": 640, "height": 480})
    camera = read_intrinsics(path).camera_of(320, 240)
    assert camera.focal_xy == pytest.approx((400, 380))
    assert camera.principal_point == pytest.approx((165, 125))
    with pytest.raises(BadInputError, match="calibrated with 640 x 480"):
        read_intrinsics(path).camera_of(240, 320)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("fx = 800", "no JSON"),
        ('"800"', "no 3 x 3 matrix"),
        ([[1, 2], [3, 4]], "no 3 x 3 matrix"),
        ({"fx": 800, "fy": 760, "cx": 330}, "'cy' is missing"),
        ({"fx": "800", "cx": 330, "cy": 2}, "where a number should stand"),
        ("[[NaN, 0, 330], [0, 760, 250], [0, 0, 1]]", "nan where a number"),
        ('{"fx": Infinity, "cx": 1, "cy": 1}', "inf where a number"),
        ([[0, 0, 330], [0, 760, 250], [0, 0, 1]], "singular"),
        ([[800, 0, 330], [0, 760, 250], [0, 0, 0]], "no camera's"),
        ([[800, 0, 0], [0, 760, 0], [330, 250, 1]], "no camera's"),
        ([[800, 30, 330], [0, 760, 250], [0, 0, 1]], "skew"),
        ([[-800, 0, 330], [0, 760, 250], [0, 0, 1]], "positive"),
        ({"fx": 800, "cx": 1, "cy": 1, "width": 0, "height": 4}, "0 x 4"),
    ],
)
def test_what_is_no_camera_is_refused_in_one_sentence(content, reason, tmp_path):
    with pytest.raises(BadInputError, match=reason) as caught:
        read_intrinsics(written(tmp_path, content))
    assert "camera.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingAssetError, match="none"):
        read_intrinsics(tmp_path / "none")
