"""One battery over every reader of photos, on tiny data sets in every layout and on genuine records."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.data.readers import READERS, ReadReport, ReadRules
from humanmesh.errors import BadInputError
from photo_layouts import LAYOUTS, POINTS, POINTS_3D, copy_lspet_rows

GENUINE = {
    "ccp": ("ccp", "clothing_coparsing"),
    "exercises": ("coco", "exercises/keypoints.json"),
    "coco": ("coco", "samples/coco/test_coco.json"),
    "coco_mini": ("coco", "samples/coco_mini/annotations/person_keypoints_train2017.json"),
    "mpii": ("mpii", "samples/mpii/test_mpii.json"),
    "h36m npz": ("h36m", "samples/h36m/test_h36m_body3d.npz"),
    "h36m json": ("h36m", "samples/h36m/h36m_coco.json"),
    "mpi_inf_3dhp train": ("mpi_inf_3dhp_npz", "samples/mpi_inf_3dhp/test_3dhp_train.npz"),
    "mpi_inf_3dhp test": ("mpi_inf_3dhp_npz", "samples/mpi_inf_3dhp/test_3dhp_test.npz"),
}


def check_weighted(values: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> None:
    assert values.shape == shape
    assert weights.shape == shape[:1]
    assert values.dtype == weights.dtype == np.float32
    assert np.isfinite(values).all()
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (values[weights == 0] == 0).all()


def check_optional(values: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if values is not None:
        assert values.shape == shape
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def check_person(person: Annotation) -> None:
    joints = len(person.skeleton)
    check_weighted(person.keypoints_2d, person.weights_2d, (joints, 2))
    if person.keypoints_3d is not None:
        assert person.weights_3d is not None
        check_weighted(person.keypoints_3d, person.weights_3d, (joints, 3))
    check_optional(person.box, (4,))
    check_optional(person.pose, (72,))
    check_optional(person.shape, (10,))
    assert person.mask is None or person.mask.is_file()
    assert person.source
    assert person.record
    assert all(isinstance(value, str) for value in person.tags.values())


def check_same_joints(person: Annotation) -> None:
    moved = to_skeleton(person, COCOPLUS_19)
    check_person(moved)
    for joint in COCOPLUS_19.joints:
        row, origin = COCOPLUS_19.index[joint], person.skeleton.index.get(joint)
        assert moved.weights_2d[row] == (0 if origin is None else person.weights_2d[origin])
        is_defined_alike = person.skeleton != COCO_17 or not joint.endswith(("hip", "knee"))
        if origin is not None and is_defined_alike:
            assert (moved.keypoints_2d[row] == person.keypoints_2d[origin]).all()


def check_all(people: Sequence[Annotation], report: ReadReport) -> None:
    assert people
    assert report.kept == len(people)
    assert len({person.record for person in people}) == len(people)
    for person in people:
        check_person(person)
        check_same_joints(person)


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Name of a reader and a tiny data set for it."""
    reader, write = LAYOUTS[request.param]
    return reader, write(tmp_path)


def test_every_reader_has_a_layout_here():
    assert {reader for reader, _ in LAYOUTS.values()} == set(READERS)


def test_every_reader_keeps_the_contract(layout):
    reader, path = layout
    report = ReadReport()
    check_all(READERS[reader](path, report=report), report)


def test_every_reader_puts_every_joint_where_its_name_says(layout):
    reader, path = layout
    for person in READERS[reader](path, report=ReadReport()):
        for joint, row in person.skeleton.index.items():
            if person.weights_2d[row] > 0:
                np.testing.assert_allclose(person.keypoints_2d[row], POINTS[joint], atol=1e-4)


def test_every_reader_gives_metres_in_the_camera_frame(layout):
    reader, path = layout
    person = READERS[reader](path, report=ReadReport())[0]
    if person.keypoints_3d is not None:
        known = [joint for joint, row in person.skeleton.index.items() if person.weights_3d[row] > 0]
        rows = [person.skeleton.index[joint] for joint in known]
        expected = np.array([POINTS_3D[joint] for joint in known])
        assert len(known) >= 12
        np.testing.assert_allclose(person.keypoints_3d[rows], expected, atol=1e-5)


def test_every_reader_counts_a_record_without_its_photo(layout, tmp_path):
    reader, path = layout
    for photo in tmp_path.rglob("*.jpg"):
        photo.unlink()
    report = ReadReport()
    assert READERS[reader](path, report=report) == []
    assert report.counts["annotation without its photo"] >= 1
    with pytest.raises(BadInputError, match="annotation without its photo"):
        READERS[reader](path, rules=ReadRules(refuse=frozenset({"annotation without its photo"})))


def test_every_reader_counts_a_photo_that_is_no_picture(layout, tmp_path):
    reader, path = layout
    for photo in tmp_path.rglob("*.jpg"):
        photo.write_bytes(b"not a picture")
    report = ReadReport()
    assert READERS[reader](path, report=report) == []
    assert report.counts["unreadable photo"] >= 1


def test_every_reader_gives_weight_0_to_keypoints_outside_the_photo(layout, tmp_path):
    reader, path = layout
    for photo in tmp_path.rglob("*.jpg"):
        Image.new("RGB", (40, 120)).save(photo)
    report = ReadReport()
    people = READERS[reader](path, rules=ReadRules(minimum_joints=1), report=report)
    if reader in {"coco", "ccp"}:  # these state the size of the photo, which is wrong now
        assert report.counts["photo of another size"] == 2
        return
    assert report.counts["keypoint outside the photo"] == len(people) >= 1
    assert all((person.keypoints_2d[:, 0] <= 40).all() for person in people)
    assert all(0 < (person.weights_2d > 0).sum() < len(person.skeleton) for person in people)


def test_every_reader_leaves_out_people_with_too_few_visible_joints(layout):
    reader, path = layout
    report = ReadReport()
    assert READERS[reader](path, rules=ReadRules(minimum_joints=25), report=report) == []
    assert report.counts["too few visible joints"] >= 1
    assert "25 needed" in report.examples["too few visible joints"][0]


def test_every_reader_says_what_is_missing_where_there_is_nothing(layout, tmp_path):
    reader, path = layout
    for entry in list(tmp_path.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with pytest.raises(BadInputError, match=r"Give |Take |Run"):
        READERS[reader](path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_every_reader_refuses_a_truncated_annotation_file_by_name(share, layout, tmp_path):
    reader, path = layout
    suffixes = {".json", ".mat", ".npz", ".pkl"}
    for file in [
        entry for entry in tmp_path.rglob("*") if entry.suffix in suffixes and entry.name != "cameras.pkl"
    ]:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInputError, match=r"\.(json|mat|npz|pkl)"):
        READERS[reader](path)


@pytest.mark.data
@pytest.mark.parametrize("name", GENUINE)
def test_genuine_records_keep_the_contract(name, shared_data):
    reader, path = GENUINE[name]
    report = ReadReport()
    people = READERS[reader](shared_data / path, report=report)
    check_all(
        people[:: max(1, len(people) // 100)], ReadReport(kept=len(people[:: max(1, len(people) // 100)]))
    )
    assert report.kept == len(people)


@pytest.mark.data
def test_genuine_lspet_records_keep_the_contract(shared_data, tmp_path):
    folder = copy_lspet_rows(shared_data / "lspet", tmp_path / "part", range(0, 9000, 45))
    report = ReadReport()
    check_all(READERS["lspet"](folder, report=report), report)
