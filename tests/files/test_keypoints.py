"""Keypoint files of other tools: each joint comes out under its own name, and every fault has a sentence."""

import json

import numpy as np
import pytest

from humanmesh.body.skeletons import COCO_17, H36M_17, LSP_14, SKELETONS
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.keypoints import (
    BrokenRecord,
    FilmFrame,
    KeypointRecord,
    keypoint_files,
    photo_stem,
    read_keypoints,
)


def written(tmp_path, content, name="file.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def only(tmp_path, content, axes=2) -> KeypointRecord:
    (record,) = read_keypoints(written(tmp_path, content), axes)
    assert isinstance(record, KeypointRecord), record
    return record


def joint(record: KeypointRecord, name: str) -> list[float]:
    row = SKELETONS[record.keypoint_set].index[name]
    return [*record.positions[row].tolist(), float(record.confidences[row])]


def numbered(count: int) -> list[float]:
    """Keypoint k at (10 k, k) with a confidence of 0.5."""
    return [value for k in range(count) for value in (10.0 * k, float(k), 0.5)]


@pytest.mark.parametrize("key", ["pose_keypoints_2d", "pose_keypoints"])
@pytest.mark.parametrize(
    ("count", "right_wrist", "left_ankle", "left_ear"), [(25, 4, 14, 18), (18, 4, 13, 17)]
)
def test_openpose_joints_have_their_own_names(tmp_path, key, count, right_wrist, left_ankle, left_ear):
    record = only(tmp_path, {"version": 1.3, "people": [{key: numbered(count)}]})
    assert record.keypoint_set == "coco17"
    for name, k in (("right_wrist", right_wrist), ("left_ankle", left_ankle), ("left_ear", left_ear)):
        assert joint(record, name) == [10 * k, k, 0.5]


def test_every_person_of_an_openpose_file_comes_out_in_its_order(tmp_path):
    people = [{"pose_keypoints_2d": (np.array(numbered(25)) + shift).tolist()} for shift in (0, 0.25)]
    records = read_keypoints(written(tmp_path, {"people": people}))
    assert [joint(record, "nose")[0] for record in records] == [0, 0.25]


def test_coco_annotations_tell_their_photo_and_their_confidence(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "seven.jpg"}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.joints)}],
        "annotations": [{"image_id": 7, "category_id": 1, "keypoints": [9, 8, 2] * 16 + [0, 0, 0]}],
    }
    record = only(tmp_path, content)
    assert record.image == "seven.jpg"
    assert joint(record, "nose") == [9, 8, 1]
    assert joint(record, "right_ankle")[2] == 0


def test_names_in_a_coco_file_win_over_numbers(tmp_path):
    content = {
        "categories": [{"id": 1, "keypoints": list(LSP_14.joints)}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": numbered(14)}],
    }
    record = only(tmp_path, content)
    assert record.keypoint_set == "lsp14"
    assert joint(record, "head_top") == [130, 13, 0.5]


def test_results_of_coco_and_predictions_of_mmpose_are_told_apart(tmp_path):
    result = only(tmp_path, [{"image_id": 139, "category_id": 1, "keypoints": numbered(17), "score": 0.9}])
    assert result.image == "139"
    pairs = np.array(numbered(17)).reshape(-1, 3)
    instance = {"keypoints": pairs[:, :2].tolist(), "keypoint_scores": [0.25] * 17, "bbox": [[0, 0, 9, 9]]}
    for content in ([instance], [[instance]], {"instance_info": [{"frame_id": 1, "instances": [instance]}]}):
        assert joint(only(tmp_path, content), "left_hip") == [110, 11, 0.25]


def test_columns_of_ultralytics_are_keypoints_and_what_it_hardly_sees_is_not_known(tmp_path):
    columns = dict(zip(("x", "y", "visible"), np.array(numbered(17)).reshape(-1, 3).T.tolist(), strict=True))
    columns["x"][16] = columns["y"][16] = 0.0
    record = only(tmp_path, [{"name": "person", "class": 0, "confidence": 0.9, "keypoints": columns}])
    assert joint(record, "left_hip") == [110, 11, 0.5]
    assert joint(record, "right_ankle") == [0, 0, 0]


@pytest.mark.parametrize(
    ("person", "key"), [({"pose_keypoints_2d": numbered(18)}, "people"), ({"joints": numbered(18)}, "bodies")]
)
def test_alphapose_gives_the_people_of_each_photo_under_its_name(tmp_path, person, key):
    content = {"1.jpg": {"version": "AlphaPose v0.3", key: [person]}, "b\\2.jpg": {key: [person]}}
    records = read_keypoints(written(tmp_path, content))
    assert [record.image for record in records] == ["1.jpg", "b/2.jpg"]
    assert all(joint(record, "left_ankle") == [130, 13, 0.5] for record in records)
    (alone,) = read_keypoints(written(tmp_path, content["1.jpg"]))
    assert joint(alone, "left_ankle") == [130, 13, 0.5]


def test_a_list_of_openpose_frames_is_read(tmp_path):
    frame = {"people": [{"pose_keypoints_2d": numbered(18)}], "canvas_width": 512, "canvas_height": 512}
    record = only(tmp_path, [frame])
    assert joint(record, "left_ankle") == [130, 13, 0.5]
    assert record.frame is None


def test_people_of_a_film_tell_their_frame_and_how_many_there_are(tmp_path):
    instance = {"keypoints": np.array(numbered(17)).reshape(-1, 3)[:, :2].tolist()}
    instances = [[instance, instance], [], [instance]]
    frames = [{"frame_id": number, "instances": some} for number, some in enumerate(instances, 1)]
    for content in (frames, {"instance_info": frames}, instances):
        records = read_keypoints(written(tmp_path, content))
        assert [record.frame for record in records] == [FilmFrame(0, 3), FilmFrame(0, 3), FilmFrame(2, 3)]


MMPOSE_H36M = [
    "root", "left_hip", "left_knee", "left_foot", "right_hip", "right_knee", "right_foot", "spine", "thorax",
    "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
]  # fmt: skip


def test_mmposes_points_of_human36m_come_back_into_the_camera(tmp_path):
    camera = np.random.default_rng(0).normal(size=(17, 3))
    written_by_mmpose = camera[:, [0, 2, 1]] * [-1, 1, -1]  # its body3d_pose_lifter_demo.py
    names = {str(number): name for number, name in enumerate(MMPOSE_H36M)}
    instance = {"keypoints": written_by_mmpose.tolist(), "keypoint_scores": [1.0] * 17}
    content = {"meta_info": {"keypoint_id2name": names}, "instance_info": [instance]}
    record = only(tmp_path, content, axes=3)
    assert record.keypoint_set == H36M_17.name
    np.testing.assert_allclose(record.positions, camera, atol=1e-6)


def test_points_of_human36m_without_names_are_not_taken_for_cocos(tmp_path):
    points = np.random.default_rng(0).normal(size=(17, 3))
    points[0] = (points[1] + points[4]) / 2 + 0.01
    (broken,) = read_keypoints(written(tmp_path, [{"keypoints": points.tolist()}]), 3)
    assert isinstance(broken, BrokenRecord)
    assert "17 points of Human3.6M without names" in str(broken.error)


@pytest.mark.parametrize(
    "content",
    [
        [{"keypoints": (np.array(numbered(17)).reshape(-1, 3) / [160, 16, 1]).ravel().tolist()}],
        {"keypoints_2d": {"coco17": {"nose": [0.5, 0.2], "left_hip": [0.4, 1.2]}}},
    ],
)
def test_shares_of_the_photos_sides_are_refused(tmp_path, content):
    (broken,) = read_keypoints(written(tmp_path, content))
    assert isinstance(broken, BrokenRecord)
    assert "multiply x by the photo's width and y by its height" in str(broken.error)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = written(tmp_path, [{"keypoints": numbered(17)}])
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_keypoints(path)) == 1


def test_a_whole_body_begins_with_coco(tmp_path):
    record = only(tmp_path, [{"image_id": 1, "keypoints": numbered(133)}])
    assert joint(record, "right_ankle") == [160, 16, 0.5]


def test_our_own_files_give_their_points_in_space(tmp_path):
    content = {"keypoints_3d": {"lsp14": [[0.1, 0.2, 0.3]] * 14}, "keypoints_2d": {"lsp14": [[1, 2]] * 14}}
    record = only(tmp_path, content, axes=3)
    assert record.positions.shape == (14, 3)
    assert joint(record, "neck") == pytest.approx([0.1, 0.2, 0.3, 1.0])


def test_a_joint_that_our_own_file_leaves_out_is_not_known(tmp_path):
    record = only(tmp_path, {"keypoints_2d": {"coco17": {"left_hip": [3, 4], "nose": [1, 2]}}})
    assert joint(record, "left_hip") == [3, 4, 1]
    assert float(record.confidences.sum()) == pytest.approx(2)


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ([{"pose_keypoints_2d": numbered(21)}], "a layout of 21 keypoints"),
        ([{"pose_keypoints_2d": [1.0, 2.0, 0.5, 4.0]}], "numbers of the shape"),
        ([{"pose_keypoints_2d": ["a"] * 75}], "something else than numbers"),
        ([{"face_keypoints_2d": numbered(70)}], "none of pose_keypoints_2d"),
    ],
)
def test_a_person_who_cannot_be_used_does_not_stop_the_next(tmp_path, people, sentence):
    content = {"people": [*people, {"pose_keypoints_2d": numbered(25)}]}
    broken, good = read_keypoints(written(tmp_path, content))
    assert isinstance(broken, BrokenRecord)
    assert sentence in str(broken.error)
    assert "person 1" in str(broken.error)
    assert isinstance(good, KeypointRecord)


PAIRS = [[float(k), 1.0] for k in range(17)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"keypoints_2d": {"coco17": None}}, "a NoneType under coco17"),
        ([{"keypoints": PAIRS, "keypoint_scores": 0.9}], r"scores of the shape () for 17"),
        ([{"keypoints": PAIRS, "keypoint_scores": [[0.9]] * 17}], r"scores of the shape (17, 1) for 17"),
        ([{"keypoints": PAIRS, "keypoint_scores": [0.9] * 16}], r"scores of the shape (16,) for 17"),
    ],
)
def test_points_or_scores_of_another_form_are_a_broken_record(tmp_path, content, sentence):
    (broken,) = read_keypoints(written(tmp_path, content))
    assert isinstance(broken, BrokenRecord)
    assert sentence in str(broken.error)


def test_confidences_lie_between_0_and_1(tmp_path):
    record = only(tmp_path, [{"keypoints": PAIRS, "keypoint_scores": [3.5, -0.5, *[0.25] * 15]}])
    assert record.confidences[:3].tolist() == [1, 0, 0.25]


@pytest.mark.parametrize("content", [{"nothing": 1}, 5, "text"])
def test_an_unknown_form_is_refused(tmp_path, content):
    with pytest.raises(BadInputError, match="a form that nobody here knows"):
        read_keypoints(written(tmp_path, content))


@pytest.mark.parametrize("content", [{"people": None}, {"annotations": [5]}, {"instance_info": [7]}, [3]])
def test_a_damaged_form_is_refused(tmp_path, content):
    with pytest.raises(BadInputError, match="Keypoint file"):
        read_keypoints(written(tmp_path, content))


def test_what_is_no_json_is_refused(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('{"people": [')
    with pytest.raises(BadInputError, match="no JSON"):
        read_keypoints(path)


def test_files_of_a_film_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        written(tmp_path, {}, f"clip_{number}_keypoints.json")
    files = keypoint_files(tmp_path)
    assert [photo_stem(file) for file in files] == ["clip_1", "clip_9", "clip_10"]


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingAssetError, match="keypoint file"):
        keypoint_files(tmp_path / "nothing.json")
