"""What each layout says beyond the contract of `tests/contracts/test_readers.py`: conventions, tags, faults."""

import json
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from scipy.spatial.transform import Rotation

import photo_layouts as layouts
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, LSP_14
from humanmesh.data.annotation import to_skeleton
from humanmesh.data.readers import (
    ReadReport,
    ReadRules,
    read_ccp,
    read_coco,
    read_h36m,
    read_lsp,
    read_lspet,
    read_mpi_inf_3dhp_npz,
    read_mpi_inf_3dhp_test,
    read_mpi_inf_3dhp_train,
    read_mpii,
    read_person_mask,
    read_pw3d,
    read_spin,
)
from humanmesh.data.readers.h36m import frame_tags, read_h36m_cameras
from humanmesh.errors import BadInputError
from humanmesh.files.images import LARGEST_AREA


def changed_coco(folder: Path, change) -> Path:
    """The tiny COCO data set after `change(content)`."""
    path = layouts.write_coco(folder)
    content = json.loads(path.read_text())
    change(content)
    return layouts.write_json(path, content)


COCO_FAULTS = {
    "wrong number of keypoints": lambda content: content["annotations"][1].update(keypoints=[1, 2, 3]),
    "unknown category": lambda content: content["annotations"][1].update(category_id=2),
    "duplicate id": lambda content: content["annotations"][1].update(id=1),
    "annotation without its photo": lambda content: content["annotations"][1].update(image_id=99),
    "crowd": lambda content: content["annotations"][1].update(iscrowd=1),
    "keypoint not finite": lambda content: content["annotations"][1]["keypoints"].__setitem__(
        0, float("nan")
    ),
    "too few visible joints": lambda content: content["annotations"][1].update(keypoints=[0] * 51),
}


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_a_coco_fault_is_counted_once_and_named_with_file_and_record(fault, tmp_path):
    path = changed_coco(tmp_path, COCO_FAULTS[fault])
    report = ReadReport()
    people = read_coco(path, report=report)
    assert report.counts == {fault: 1}
    assert str(path) in report.examples[fault][0]
    assert len(people) == report.kept == (2 if fault == "keypoint not finite" else 1)


@pytest.mark.parametrize("fault", sorted(set(COCO_FAULTS) - {"crowd"}))
def test_a_coco_fault_is_refused_where_the_rules_say_so(fault, tmp_path):
    path = changed_coco(tmp_path, COCO_FAULTS[fault])
    with pytest.raises(BadInputError, match=fault):
        read_coco(path, rules=ReadRules.strict())


MALFORMED = {
    "text for a keypoint": lambda content: content["annotations"][1]["keypoints"].__setitem__(0, "a"),
    "number for keypoints": lambda content: content["annotations"][1].update(keypoints=5),
    "text in the box": lambda content: content["annotations"][1].update(bbox=["a", 1, 2, 3]),
    "list for the category": lambda content: content["annotations"][1].update(category_id=[1]),
    "entry that is no object": lambda content: content["annotations"].__setitem__(1, None),
    "image that is no object": lambda content: content["images"].append("b.jpg"),
    "image without a name": lambda content: content["images"].append({"id": 8, "file_name": None}),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_coco_record_is_counted(kind, tmp_path):
    report = ReadReport()
    people = read_coco(changed_coco(tmp_path, MALFORMED[kind]), report=report)
    assert report.counts == {"unreadable record": 1}
    assert len(people) == (2 if kind.startswith("image") else 1)


@pytest.mark.parametrize("box", [None, [1, 2, 3], [0, 0, 0, 0], [1, 2, -3, 4], [np.nan, 2, 3, 4], [None] * 4])
def test_a_box_that_holds_nothing_is_no_box(box, tmp_path):
    people = read_coco(changed_coco(tmp_path, lambda content: content["annotations"][0].update(bbox=box)))
    assert [person.box is None for person in people] == [True, False]


def test_people_without_an_id_go_by_their_row(tmp_path):
    def forget(content):
        for person in content["annotations"]:
            del person["id"]

    assert [person.record for person in read_coco(changed_coco(tmp_path, forget))] == ["row 0", "row 1"]


@pytest.mark.parametrize(("flag", "counts"), [(0, {}), (2, {"keypoint not finite": 1})])
def test_a_joint_that_is_not_a_number_counts_if_it_is_labelled_and_moves_no_other(flag, counts, tmp_path):
    def blot(content):
        content["annotations"][0]["keypoints"][:3] = [np.nan, np.nan, flag]

    report = ReadReport()
    person = read_coco(changed_coco(tmp_path, blot), report=report)[0]
    assert report.counts == counts
    np.testing.assert_allclose(person.keypoints_2d[1:], layouts.points(layouts.COCO)[1:])


def test_a_photo_of_a_crowd_alone_is_named_even_under_strict_rules(tmp_path):
    def move(content):
        content["annotations"][1].update(image_id=8, iscrowd=1)
        content["images"].append({"id": 8, "file_name": "crowd.jpg"})

    report = ReadReport()
    layouts.write_photo(tmp_path / "train2017" / "crowd.jpg")
    assert len(read_coco(changed_coco(tmp_path, move), rules=ReadRules.strict(), report=report)) == 1
    assert report.counts == {"crowd": 1}


@pytest.mark.parametrize("area", [LARGEST_AREA + 1000, 2 * LARGEST_AREA + 2000])
def test_people_of_a_photo_that_predict_refuses_are_left_out(area, tmp_path):
    path = layouts.write_coco(tmp_path)
    Image.new("1", (1000, area // 1000)).save(tmp_path / "train2017" / "a.jpg", "PNG")
    report = ReadReport()
    assert not read_coco(path, report=report)
    assert report.counts == {"unreadable photo": 2}
    assert "too large. Scale it down to at most 89 megapixels" in report.examples["unreadable photo"][0]


@pytest.mark.parametrize(
    ("orientation", "stored", "counts"),
    [
        (3, (layouts.WIDTH, layouts.HEIGHT), {"photo that a tag turns": 1}),
        (6, (layouts.HEIGHT, layouts.WIDTH), {"photo that a tag turns": 1, "photo of another size": 2}),
    ],
    ids=["half", "quarter"],
)
def test_a_photo_that_its_tag_turns_is_counted_and_its_size_explained(orientation, stored, counts, tmp_path):
    path = layouts.write_coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", stored).save(tmp_path / "train2017" / "a.jpg", exif=exif)
    report = ReadReport()
    read_coco(path, report=report)
    assert report.counts == counts
    assert all("turn the file first" in report.examples[reason][0] for reason in counts)


def test_a_second_image_of_one_id_is_counted(tmp_path):
    path = changed_coco(
        tmp_path, lambda content: content["images"].append(content["images"][0] | {"file_name": "b"})
    )
    report = ReadReport()
    assert len(read_coco(path, report=report)) == 2
    assert report.counts["duplicate id"] == 1


def test_photos_of_the_folder_that_no_annotation_names_are_counted(tmp_path):
    path = layouts.write_coco(tmp_path)
    layouts.write_photo(path.parent.parent / "train2017" / "new.jpg")
    report = ReadReport()
    read_coco(path, report=report)
    assert report.counts == {"photo without annotation": 1}
    assert "new.jpg" in report.examples["photo without annotation"][0]


def test_fractional_coco_coordinates_stay_where_they_are(tmp_path):
    def shift(content):
        for person in content["annotations"]:
            person["keypoints"] = [
                value + (0.25 if place % 3 < 2 else 0) for place, value in enumerate(person["keypoints"])
            ]

    person = read_coco(changed_coco(tmp_path, shift))[0]
    np.testing.assert_allclose(person.keypoints_2d[0], layouts.POINTS["nose"] - 0.25)


def test_scores_of_a_machine_become_weights(tmp_path):
    scores = np.linspace(0.1, 0.9, 17).tolist()
    path = changed_coco(tmp_path, lambda content: content["annotations"][0].update(keypoint_scores=scores))
    np.testing.assert_allclose(read_coco(path)[0].weights_2d, scores, atol=1e-7)


def test_fractional_flags_are_the_scores_of_a_machine_in_all_of_the_file(tmp_path):
    def score(content):
        content["annotations"][0]["keypoints"][2::3] = [0.02, 0.5, 1.5, *[1] * 14]

    people = read_coco(changed_coco(tmp_path, score))
    np.testing.assert_allclose(people[0].weights_2d, [0.02, 0.5, *[1] * 15], atol=1e-7)
    assert people[1].weights_2d.tolist() == [1] * 17


@pytest.mark.parametrize("name", ["default", "pose", "Person", "PERSON"])
def test_people_are_told_by_their_joints_or_their_name(name, tmp_path):
    def rename(content):
        content["categories"][0]["name"] = name
        if name.casefold() == "person":
            del content["categories"][0]["keypoints"]

    report = ReadReport()
    assert len(read_coco(changed_coco(tmp_path, rename), report=report)) == 2
    assert report.counts == {}


@pytest.mark.parametrize("category", [1, 2])
@pytest.mark.parametrize("keypoints", [None, []])
def test_a_box_without_keypoints_is_left_out_even_under_strict_rules(category, keypoints, tmp_path):
    path = changed_coco(
        tmp_path,
        lambda content: content["annotations"][1].update(category_id=category, keypoints=keypoints),
    )
    report = ReadReport()
    assert len(read_coco(path, rules=ReadRules.strict(), report=report)) == 1
    assert report.counts == {"no keypoints": 1}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("train2017/a.jpg", "train2017/a.jpg"),
        ("train2017\\a.jpg", "train2017/a.jpg"),
        ("annotations/photos/a.jpg", "annotations/photos/a.jpg"),
        ("photos/a.jpg", "annotations/photos/a.jpg"),
        (r"C:\my photos\a.jpg", "train2017/a.jpg"),
    ],
)
def test_a_photo_is_found_with_folders_before_its_name(name, place, tmp_path):
    path = changed_coco(tmp_path, lambda content: content["images"][0].update(file_name=name))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / "train2017" / "a.jpg").rename(tmp_path / place)
    assert [person.image for person in read_coco(path)] == [tmp_path / place] * 2


def test_a_photo_is_not_taken_for_another_of_its_name_in_another_folder(tmp_path):
    def spread(content):
        content["images"] = [content["images"][0] | {"id": 7, "file_name": "one/a.jpg"}]
        content["images"].append(content["images"][0] | {"id": 8, "file_name": "two/a.jpg"})

    report = ReadReport()
    assert not read_coco(changed_coco(tmp_path, spread), report=report)
    assert report.counts["annotation without its photo"] == 2


@pytest.mark.parametrize("size", [(0, 0), (None, 5), ("wide", "high"), (-1, 4)])
def test_a_size_that_is_none_is_not_compared(size, tmp_path):
    path = changed_coco(tmp_path, lambda content: content["images"][0].update(width=size[0], height=size[1]))
    assert len(read_coco(path, rules=ReadRules.strict())) == 2


def test_a_size_in_words_is_compared(tmp_path):
    size = {"width": str(layouts.WIDTH), "height": str(layouts.HEIGHT)}
    assert len(read_coco(changed_coco(tmp_path, lambda content: content["images"][0].update(size)))) == 2


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = layouts.write_coco(tmp_path)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_coco(path)) == 2


def of_posetrack(content: dict) -> None:
    """PoseTrack's names: two joints of the head in place of the eyes, and ears that are never annotated."""
    names = ["nose", "head_bottom", "head_top", *layouts.COCO[3:]]
    content["categories"][0]["keypoints"] = names
    for person in content["annotations"]:
        table = np.array(person["keypoints"]).reshape(-1, 3)
        table[names.index("head_bottom"), :2] = layouts.POINTS["neck"] - 0.5
        table[names.index("head_top"), :2] = layouts.POINTS["head_top"] - 0.5
        table[3:5] = 0
        person["keypoints"] = table.ravel().tolist()


def test_people_of_posetrack_have_a_neck_and_a_head_top(tmp_path):
    report = ReadReport()
    person = read_coco(changed_coco(tmp_path, of_posetrack), report=report)[0]
    assert report.counts == {}
    missing = {"left_eye", "right_eye", "left_ear", "right_ear"}
    known = [joint for joint in COCOPLUS_19.joints if joint not in missing]
    expected = [layouts.POINTS[joint] if joint in known else np.zeros(2) for joint in COCOPLUS_19.joints]
    assert person.skeleton == COCOPLUS_19
    np.testing.assert_allclose(person.keypoints_2d, expected)
    assert person.weights_2d.tolist() == [float(joint in known) for joint in COCOPLUS_19.joints]
    np.testing.assert_array_equal(to_skeleton(person, COCOPLUS_19).keypoints_2d, person.keypoints_2d)


def test_a_neck_without_a_head_top_is_that_of_openpose_and_not_used(tmp_path):
    def add(content):
        content["categories"][0]["keypoints"] = [*layouts.COCO, "neck"]
        for person in content["annotations"]:
            person["keypoints"] += [5, 5, 2]

    report = ReadReport()
    assert read_coco(changed_coco(tmp_path, add), report=report)[0].skeleton == COCO_17
    assert report.counts == {"unknown joint name": 1}


def test_joints_of_a_coco_category_are_matched_by_name(tmp_path):
    def reverse(content):
        content["categories"][0]["keypoints"] = [*layouts.COCO[::-1], "tail"]
        for person in content["annotations"]:
            table = np.array(person["keypoints"]).reshape(-1, 3)[::-1]
            person["keypoints"] = [*table.ravel().tolist(), 5, 5, 2]

    report = ReadReport()
    person = read_coco(changed_coco(tmp_path, reverse), report=report)[0]
    np.testing.assert_allclose(person.keypoints_2d, layouts.points(layouts.COCO))
    assert report.counts == {"unknown joint name": 1}


def test_joints_of_other_names_than_cocos_are_refused_with_both(tmp_path):
    def rename(content):
        content["categories"][0]["keypoints"] = [name.replace("_", " ").title() for name in layouts.COCO]

    with pytest.raises(BadInputError, match=r"Left Shoulder.*Rename them to .*left_shoulder"):
        read_coco(changed_coco(tmp_path, rename))


NO_COCO_FILES = [
    "",
    '{"images": [',
    "[1, 2]",
    '{"images": []}',
    '{"images": null, "annotations": []}',
    '{"images": [], "annotations": [], "categories": null}',
    '{"images": [], "annotations": [], "categories": [5]}',
    '{"images": [], "annotations": [], "categories": [{"name": "person"}]}',
]


@pytest.mark.parametrize("content", NO_COCO_FILES)
def test_a_file_that_is_no_coco_file_is_refused(content, tmp_path):
    path = tmp_path / "keypoints.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"keypoints\.json should be"):
        read_coco(path)


def test_lspet_leaves_a_missing_joint_at_weight_0_and_lsp_keeps_a_hidden_one(tmp_path):
    wrist = LSP_14.index["left_wrist"]
    extended = read_lspet(layouts.write_lspet(tmp_path / "extended"))
    assert [person.weights_2d[wrist] for person in extended] == [1, 0]
    (tmp_path / "first").mkdir()
    folder = layouts.write_lsp(tmp_path / "first")
    assert [person.weights_2d[wrist] for person in read_lsp(folder)] == [1, 1]
    assert [person.weights_2d[wrist] for person in read_lsp(folder, hidden_weight=0.0)] == [1, 0]


def test_the_two_layouts_of_joints_mat_are_not_confused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(BadInputError, match=r"\(14, 3, N\)"):
        read_lspet(layouts.write_lsp(tmp_path / "a"))
    with pytest.raises(BadInputError, match=r"\(3, 14, N\)"):
        read_lsp(layouts.write_lspet(tmp_path / "b"))


def test_an_lsp_photo_beyond_the_table_is_counted(tmp_path):
    folder = layouts.write_lspet(tmp_path)
    layouts.write_photo(folder / "images" / "im00003.jpg")
    report = ReadReport()
    read_lspet(folder, report=report)
    assert report.counts == {"photo without annotation": 1}


def test_mpii_mat_gives_the_training_people_that_have_joints(tmp_path):
    report = ReadReport()
    people = read_mpii(layouts.write_mpii_mat(tmp_path), report=report)
    assert [person.record for person in people] == ["a.jpg/0", "b.jpg/0"]
    assert report.counts == {"not selected": 1}


@pytest.mark.parametrize("write", [layouts.write_mpii_mat, layouts.write_mpii_json])
def test_mpii_box_is_200_pixels_times_the_scale_round_the_position(write, tmp_path):
    box = read_mpii(write(tmp_path), report=ReadReport())[0].box
    np.testing.assert_allclose(box, [20, 30, 60, 70], atol=1e-5)


def test_an_mpii_record_of_the_wrong_size_is_counted(tmp_path):
    path = layouts.write_mpii_json(tmp_path)
    first, second = json.loads(path.read_text())
    layouts.write_json(path, [first | {"joints": first["joints"][:15]}, second, {"image": "a.jpg"}])
    report = ReadReport()
    assert len(read_mpii(path, report=report)) == 1
    assert report.counts == {"wrong number of keypoints": 1, "unreadable record": 1}


@pytest.mark.parametrize(
    ("name", "action", "trial"),
    [
        ("S1_Directions_1.54138969_000001.jpg", "Directions", "0"),
        ("S11_Directions.54138969_000001.jpg", "Directions", "1"),
        ("S9_SittingDown.55011271_000001.jpg", "SittingDown", "0"),
        ("S9_SittingDown_1.55011271_000001.jpg", "SittingDown", "1"),
        ("S1_Sitting_2.58860488_000001.jpg", "Sitting", "1"),
        ("S1_TakingPhoto.60457274_000001.jpg", "Photo", "1"),
        ("S5_Photo.60457274_000001.jpg", "Photo", "0"),
        ("S1_WalkingDog 1.60457274_000001.jpg", "WalkDog", "0"),
    ],
)
def test_h36m_trials_follow_the_metadata_of_the_data_set(name, action, trial):
    tags = frame_tags(name)
    assert (tags["action"], tags["trial"]) == (action, trial)
    assert frame_tags("holiday.jpg") == {}


def test_h36m_joints_in_the_world_need_the_cameras(tmp_path):
    path = layouts.write_h36m_json(tmp_path)
    (tmp_path / "cameras.pkl").unlink()
    with pytest.raises(BadInputError, match="camera_file"):
        read_h36m(path)


def test_h36m_intrinsics_come_from_the_camera_file(tmp_path):
    person = read_h36m(layouts.write_h36m_npz(tmp_path))[0]
    assert person.focal_length == pytest.approx(1144)
    assert person.principal_point == (512, 515)


def test_mpi_train_reads_intrinsics_motion_and_the_chosen_cameras(tmp_path):
    folder = layouts.write_mpi_train(tmp_path)
    report = ReadReport()
    people = read_mpi_inf_3dhp_train(folder, report=report, cameras=(0, 5), minimum_motion=0.2)
    assert [person.tags["frame"] for person in people] == ["1", "3"]
    assert people[0].focal_length == pytest.approx(1501)
    assert people[0].principal_point == (1024, 1051)
    assert people[0].tags == {"subject": "S1", "sequence": "Seq1", "camera": "0", "frame": "1"}
    assert report.counts == {"annotation without its photo": 1}
    assert "video_5" in report.examples["annotation without its photo"][0]


def test_mpi_train_frames_may_count_from_zero(tmp_path):
    folder = layouts.write_mpi_train(tmp_path)
    layouts.write_photo(folder / "S1" / "Seq1" / "imageFrames" / "video_0" / "frame_000000.jpg")
    people = read_mpi_inf_3dhp_train(folder, cameras=(0,))
    assert [person.tags["frame"] for person in people] == ["0", "1", "2"]


def test_mpi_universal_joints_are_read_where_asked_for(tmp_path):
    folder = layouts.write_mpi_train(tmp_path)
    metric = read_mpi_inf_3dhp_train(folder, cameras=(0,))[0]
    universal = read_mpi_inf_3dhp_train(folder, cameras=(0,), labels_3d="univ_annot3")[0]
    np.testing.assert_allclose(universal.keypoints_3d, 1.1 * metric.keypoints_3d, rtol=1e-6)


def test_mpi_test_frames_that_are_not_valid_are_left_out_and_counted(tmp_path):
    report = ReadReport()
    people = read_mpi_inf_3dhp_test(layouts.write_mpi_test(tmp_path), report=report)
    assert [person.tags for person in people] == [{"sequence": "TS1", "frame": "1", "action": "sit"}]
    assert report.counts == {"marked invalid": 1}


def test_mpi_test_files_of_matlab_7_3_read_like_older_ones(tmp_path):
    h5py = pytest.importorskip("h5py")
    folder = layouts.write_mpi_test(tmp_path)
    old = read_mpi_inf_3dhp_test(folder, report=ReadReport())[0]
    file = folder / "mpi_inf_3dhp_test_set" / "TS1" / "annot_data.mat"
    file.unlink()
    with h5py.File(file, "w", userblock_size=512) as content:
        for name, array in layouts.mpi_test_arrays().items():
            content[name] = array.T
    with file.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    new = read_mpi_inf_3dhp_test(folder, report=ReadReport())[0]
    np.testing.assert_array_equal(new.keypoints_2d, old.keypoints_2d)
    np.testing.assert_array_equal(new.keypoints_3d, old.keypoints_3d)


def test_3dpw_global_rotation_is_turned_into_the_camera(tmp_path):
    person = read_pw3d(layouts.write_pw3d(tmp_path), report=ReadReport())[0]
    expected = layouts.CAMERA_FROM_WORLD @ Rotation.from_rotvec(layouts.WORLD_POSE[:3]).as_matrix()
    np.testing.assert_allclose(Rotation.from_rotvec(person.pose[:3]).as_matrix(), expected, atol=1e-6)
    np.testing.assert_allclose(person.pose[3:], layouts.WORLD_POSE[3:], atol=1e-6)


def test_3dpw_gives_gender_confidence_and_camera_and_counts_frames_without_one(tmp_path):
    report = ReadReport()
    (person,) = read_pw3d(layouts.write_pw3d(tmp_path), report=report)
    assert person.tags["gender"] == "female"
    assert person.tags["split"] == "test"
    np.testing.assert_allclose(person.weights_2d, 0.8, atol=1e-6)
    np.testing.assert_array_equal(person.shape, np.arange(10))
    assert person.focal_length == pytest.approx(1961)
    assert report.counts == {"marked invalid": 1}
    assert person.weights_3d[COCO_17.index["nose"]] == 0


class Evil:
    """Would make a file when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("made-by-pickle",)


def test_a_pickle_that_asks_for_more_than_arrays_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sequence.pkl"
    path.write_bytes(pickle.dumps({"sequence": Evil()}))
    with pytest.raises(BadInputError, match="asks to run"):
        read_pw3d(path)
    assert not (tmp_path / "made-by-pickle").exists()


@pytest.mark.parametrize("keep", [0, 1, 60, 400])
def test_a_truncated_pickle_is_refused(keep, tmp_path):
    folder = layouts.write_pw3d(tmp_path)
    file = folder / "downtown_walk_00.pkl"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BadInputError, match="damaged"):
        read_pw3d(folder)


def test_spin_prefers_annotations_then_openpose_with_its_confidence(tmp_path):
    annotated, half = read_spin(layouts.write_spin(tmp_path))
    assert annotated.weights_2d[0] == 1
    assert half.weights_2d[0] == pytest.approx(0.6)
    np.testing.assert_allclose(half.keypoints_2d[0], layouts.POINTS["right_ankle"], atol=1e-5)
    np.testing.assert_allclose(annotated.box, [20, 20, 80, 80])


def test_spin_gives_smpl_parameters_only_where_has_smpl_says_so(tmp_path):
    with_smpl, without = read_spin(layouts.write_spin(tmp_path))
    np.testing.assert_allclose(with_smpl.pose, layouts.WORLD_POSE, atol=1e-6)
    assert with_smpl.tags == {"gender": "male"}
    assert without.pose is None
    assert without.shape is None


def test_a_table_with_arrays_of_the_wrong_shape_is_refused_with_both_shapes(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(
        path,
        imgname=np.array(["a.jpg"]),
        center=np.zeros((1, 2)),
        scale=np.ones(1),
        part=np.zeros((1, 17, 3)),
    )
    with pytest.raises(BadInputError, match=r"part of shape \(N, 24, 3\): \(1, 17, 3\)"):
        read_spin(path)


def test_a_table_of_pickled_objects_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, imgname=np.array(["a.jpg"], dtype=object))
    with pytest.raises(BadInputError, match="plain arrays"):
        read_spin(path)


def test_ccp_masks_leave_bags_out(tmp_path):
    person = read_ccp(layouts.write_ccp(tmp_path))[0]
    mask = read_person_mask(person.mask)
    assert mask.shape == (layouts.HEIGHT, layouts.WIDTH)
    assert mask.sum(1)[[5, 15, 25, 35, 45]].tolist() == [0, layouts.WIDTH, 0, layouts.WIDTH, 0]


def test_without_a_report_the_account_goes_to_the_log(tmp_path, caplog):
    path = changed_coco(tmp_path, COCO_FAULTS["unknown category"])
    with caplog.at_level(logging.WARNING):
        read_coco(path)
    assert "unknown category: 1" in caplog.text


def test_a_reading_without_faults_logs_nothing(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        read_coco(layouts.write_coco(tmp_path))
    assert caplog.text == ""


@pytest.mark.parametrize("settings", [{"minimum_joints": -1}, {"refuse": frozenset({"typo"})}])
def test_rules_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match=r"minimum_joints|typo"):
        ReadRules(**settings)


def test_a_margin_keeps_keypoints_just_outside_the_photo(tmp_path):
    def move(content):
        content["annotations"][0]["keypoints"][:3] = [-5, 3, 2]

    path = changed_coco(tmp_path, move)
    assert read_coco(path, report=ReadReport())[0].weights_2d[0] == 0
    assert read_coco(path, rules=ReadRules(outside_margin=0.05))[0].weights_2d[0] == 1


def distances_of_projection(person) -> np.ndarray:
    """Pixels between the 2D keypoints and the pinhole projection of the 3D ones, where both are known."""
    known = (person.weights_2d > 0) & (person.weights_3d > 0)
    points = person.keypoints_3d[known]
    projected = person.focal_length * points[:, :2] / points[:, 2:] + person.principal_point
    return np.linalg.norm(projected - person.keypoints_2d[known], axis=-1)


@pytest.mark.data
def test_genuine_h36m_joints_project_onto_their_keypoints(shared_data):
    for person in read_h36m(shared_data / "samples/h36m/test_h36m_body3d.npz"):
        assert distances_of_projection(person).max() < 4  # the lens distorts, the projection does not


@pytest.mark.data
def test_genuine_h36m_world_joints_agree_with_camera_joints(shared_data):
    folder = shared_data / "samples/h36m"
    in_camera = {person.record: person for person in read_h36m(folder / "test_h36m_body3d.npz")}
    from_world = read_h36m(folder / "h36m_coco.json")
    assert len(from_world) == len(in_camera) == 4
    assert len(read_h36m_cameras(folder / "cameras.pkl")) == 44
    for person in from_world:
        np.testing.assert_allclose(person.keypoints_3d, in_camera[person.record].keypoints_3d, atol=1e-6)
        np.testing.assert_array_equal(person.keypoints_2d, in_camera[person.record].keypoints_2d)


@pytest.mark.data
@pytest.mark.parametrize("split", ["train", "test"])
def test_genuine_mpi_joints_project_onto_their_keypoints(split, shared_data):
    for person in read_mpi_inf_3dhp_npz(shared_data / f"samples/mpi_inf_3dhp/test_3dhp_{split}.npz"):
        assert distances_of_projection(person).max() < 3


@pytest.mark.data
def test_genuine_keypoints_of_ccp_lie_on_the_person(shared_data):
    inside = []
    for person in read_ccp(shared_data / "clothing_coparsing", report=ReadReport())[:60]:
        mask = read_person_mask(person.mask)
        columns, rows = person.keypoints_2d[person.weights_2d > 0.5].astype(int).T
        inside.append(mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)])
    assert np.concatenate(inside).mean() > 0.9


@pytest.mark.data
def test_genuine_lspet_rows_are_the_numbers_in_the_file(shared_data, tmp_path):
    rows = range(4320, 4340)
    folder = layouts.copy_lspet_rows(shared_data / "lspet", tmp_path / "part", rows)
    joints = scipy.io.loadmat(shared_data / "lspet" / "joints.mat")["joints"]
    people = read_lspet(folder, rules=ReadRules(outside_margin=0.1))
    assert len(people) == len(rows)
    for row, person in zip(rows, people, strict=True):
        np.testing.assert_allclose(person.keypoints_2d, joints[:, :2, row] * joints[:, 2:, row], atol=1e-4)
        np.testing.assert_array_equal(person.weights_2d, joints[:, 2, row])
