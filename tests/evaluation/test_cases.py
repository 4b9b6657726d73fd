"""Whom a protocol measures, and what is said where data are missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_evaluation import cases_of, write_ccp_hold_out, write_lspet_hold_out, write_synthetic
from PIL import Image

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, H36M_17, SIX_PARTS
from humanmesh.data.readers import ReadReport
from humanmesh.data.shards import write_shards
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.evaluation.cases import Case, is_selected
from humanmesh.evaluation.data_sets import DATA_SETS, load_cases, protocol_on
from humanmesh.evaluation.part_labels import part_order, read_labels
from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.evaluation.published import published_beside
from made_samples import made_sample
from photo_layouts import write_h36m_npz, write_lsp, write_pw3d


def frame(**tags: str) -> Case:
    joints = len(H36M_17)
    return Case("x", lambda: torch.zeros(3, 1, 1), H36M_17, np.zeros((joints, 2)), np.ones(joints), tags=tags)


def h36m(
    subject: str = "S9", action: str = "Eating", trial: str = "0", camera: str = "60457274", number: str = "1"
) -> Case:
    return frame(subject=subject, action=action, trial=trial, camera=camera, frame=number)


@pytest.mark.parametrize(
    ("protocol", "case", "measured"),
    [
        ("h36m-p1", h36m(), True),
        ("h36m-p1", h36m(subject="S8"), False),
        ("h36m-p1", h36m("S11", "Directions", "1", "54138969"), False),
        ("h36m-p1", h36m("S11", "Directions", "0", "54138969"), True),
        ("h36m-p2", h36m(), True),
        ("h36m-p2", h36m(trial="1"), False),
        ("h36m-p2", h36m(camera="54138969"), False),
        ("h36m-p1", h36m(number="6"), True),
        ("h36m-p1", h36m(number="5"), False),
        ("h36m-p2-spin", h36m(trial="1"), True),
        ("h36m-p2-spin", h36m(number="6"), True),
        ("h36m-p2-spin", h36m(number="5"), False),
    ],
)
def test_frames_of_human36m_by_protocol(protocol, case, measured):
    assert is_selected(case, PROTOCOLS[protocol]) is measured


def test_a_machines_low_scores_are_no_joints():
    case = replace(frame(), weights_2d=np.full(17, 0.4))
    protocol = replace(PROTOCOLS["coco-pck"], minimum_weight=0.5)
    assert not is_selected(case, protocol)
    assert is_selected(case, replace(protocol, minimum_weight=0.3))


def test_hmr2s_people_of_coco_have_all_joints_of_arms_and_legs():
    whole = replace(frame(), skeleton=COCO_17, weights_2d=np.array([0.0] * 5 + [1.0] * 12))
    assert is_selected(whole, PROTOCOLS["coco-pck-hmr2"])
    for row in range(5, 17):
        weights = np.where(np.arange(17) == row, 0.0, whole.weights_2d)
        assert not is_selected(replace(whole, weights_2d=weights), PROTOCOLS["coco-pck-hmr2"])
        assert is_selected(replace(whole, weights_2d=weights), PROTOCOLS["coco-pck"])


def test_a_table_of_3dhp_is_told_by_its_own_truth_and_has_no_published_rows(tmp_path):
    (tmp_path / "test_all.npz").write_bytes(b"")
    protocol = protocol_on(PROTOCOLS["mpi-inf-3dhp"], tmp_path / "test_all.npz")
    assert "annot3 (every" in protocol.sentence
    assert "univ_annot3" not in protocol.sentence
    assert not published_beside(protocol)
    assert protocol_on(PROTOCOLS["mpi-inf-3dhp"], tmp_path) == PROTOCOLS["mpi-inf-3dhp"]


def test_a_missing_folder_and_a_missing_file_are_answered_with_the_layout(tmp_path):
    with pytest.raises(MissingAssetError, match=r"(?s)No data set at .*joints\.mat.*lspet\.html"):
        load_cases(PROTOCOLS["lspet-pck"], tmp_path / "nowhere", ReadReport())
    with pytest.raises(BadInputError, match=r"(?s)no joints\.mat in it.*Wanted is:.*images/im00001\.jpg"):
        load_cases(PROTOCOLS["lspet-pck"], tmp_path, ReadReport())


def test_a_data_set_without_anybody_to_measure_says_so(tmp_path):
    data = write_h36m_npz(tmp_path)
    with pytest.raises(BadInputError, match="nobody whom the protocol h36m-p2 measures"):
        load_cases(PROTOCOLS["h36m-p2"], data, ReadReport())


def test_every_data_set_tells_its_layout_and_where_it_comes_from():
    assert {protocol.data_set for protocol in PROTOCOLS.values()} == set(DATA_SETS)
    for data_set in DATA_SETS.values():
        assert data_set.layout
        assert data_set.source


def test_photos_are_read_as_stored_and_not_turned(tmp_path):
    data = write_lspet_hold_out(tmp_path, people=1)
    photo = data / "images" / "im08001.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("RGB", (100, 120)).save(photo, exif=exif)
    assert cases_of("lspet-pck", data)[0].load_pixels().shape == (3, 120, 100)


@pytest.mark.parametrize(
    ("file", "load"),
    [
        ("images/0005.jpg", lambda case: case.load_pixels()),
        ("labels/0005.png", lambda case: case.load_mask()),
    ],
)
def test_a_damaged_picture_is_named(tmp_path, file, load):
    picture = write_ccp_hold_out(tmp_path) / file
    case = cases_of("ccp-silhouette", tmp_path)[0]
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    with pytest.raises(BadInputError, match=rf"{picture.name}: the picture is damaged"):
        load(case)


def test_damaged_labels_of_lsp_are_named(tmp_path):
    (tmp_path / "labels.png").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match=r"labels\.png: the picture is damaged"):
        read_labels(tmp_path / "labels.png")


def test_a_photo_whose_name_the_hold_out_cannot_go_by_is_named(tmp_path):
    data = write_ccp_hold_out(tmp_path)
    for folder, suffix in (("images", "jpg"), ("labels", "png")):
        (data / folder / f"0005.{suffix}").rename(data / folder / f"street.{suffix}")
    table = data / "keypoints.json"
    table.write_text(table.read_text().replace("0005.jpg", "street.jpg"))
    with pytest.raises(BadInputError, match=r"street\.jpg is not named as its photos are"):
        cases_of("ccp-silhouette", data)


def test_bags_are_no_person(tmp_path):
    case = cases_of("ccp-silhouette", write_ccp_hold_out(tmp_path))[0]
    assert case.load_mask is not None
    assert case.load_mask().sum() == 400


COLUMNS = {
    "right_leg": (11, 17),
    "left_leg": (20, 25),
    "torso": (26, 29),
    "right_arm": (29, 35),
    "left_arm": (38, 44),
    "head": (47, 50),
}
"""Where the made person has its parts, by the places of its joints, which lie on one line."""
NUMBERS = {"right_leg": 1, "left_leg": 2, "torso": 6, "right_arm": 5, "left_arm": 4, "head": 3}


def write_lsp_masks(folder: Path) -> None:
    write_lsp(folder)
    (folder / "data" / "lsp").mkdir(parents=True)
    labels = np.zeros((120, 100), np.uint8)
    for part, (start, stop) in COLUMNS.items():
        labels[3:, start:stop] = NUMBERS[part]
    labels[:3] = 255
    for kind in ("segmentation", "part_segmentation"):
        Image.fromarray(labels).save(folder / "data" / "lsp" / f"im0001_{kind}.png")


def test_masks_of_lsp_are_found_beside_its_photos(tmp_path):
    write_lsp_masks(tmp_path)
    protocol = PROTOCOLS["lsp-segmentation"]
    early = replace(protocol, selection=replace(protocol.selection, records=(1, 2)))
    (case,) = load_cases(early, tmp_path, ReadReport())
    assert case.load_mask is not None
    assert case.load_mask()[:3].sum() == 300
    with pytest.raises(BadInputError, match="nobody"):
        load_cases(protocol, tmp_path, ReadReport())


def test_joints_tell_which_number_is_which_part(tmp_path):
    write_lsp_masks(tmp_path)
    protocol = PROTOCOLS["lsp-segmentation"]
    early = replace(protocol, selection=replace(protocol.selection, records=(1, 2)))
    (case,) = load_cases(early, tmp_path, ReadReport())
    assert case.load_parts is not None
    labels = case.load_parts()
    assert set(labels[0]) == {255}
    for part, (start, _) in COLUMNS.items():
        assert labels[5, start] == 1 + SIX_PARTS.index(part)
    with pytest.raises(BadInputError, match="where the head is"):
        part_order([replace(case, load_parts=lambda: np.zeros((120, 100), np.uint8))])


def test_3dpw_knows_the_gender_of_its_bodies(tmp_path):
    case = load_cases(PROTOCOLS["3dpw"], write_pw3d(tmp_path).parents[1], ReadReport())[0]
    assert case.body is not None
    assert case.body.gender == "female"


def test_synthetic_people_come_in_pixels(tmp_path):
    cases = cases_of("synthetic", write_synthetic(tmp_path / "people.pt"))
    assert len(cases) == 3
    first = cases[0]
    assert first.skeleton is COCOPLUS_19
    np.testing.assert_allclose(first.keypoints_2d[0], [8, 8])  # -0.5 in a picture of 32 pixels
    assert float(first.load_pixels().mean()) == pytest.approx(128 / 255)
    assert first.load_mask is not None
    assert first.load_mask().sum() == 256


def test_a_file_that_holds_no_synthetic_people_is_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match="should hold synthetic people"):
        load_cases(PROTOCOLS["synthetic"], tmp_path / "a.pt", ReadReport())
    torch.save({"images": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(BadInputError, match="no keypoints_2d"):
        load_cases(PROTOCOLS["synthetic"], tmp_path / "b.pt", ReadReport())


def write_two_people(folder: Path, name: str) -> Path:
    write_shards([made_sample(number, 96, "mine") for number in range(2)], folder, name)
    return folder / f"{name}-00000.tar"


def test_guessed_3d_is_no_truth(tmp_path):
    person = made_sample(0, 96, "mine")
    write_shards([person, replace(person, pose_weight=0.3, shape_weight=0.0)], tmp_path, "a_held_out")
    measured, guessed = cases_of("shards-pck", tmp_path)
    assert measured.truth_3d is not None
    assert guessed.truth_3d is None
    assert guessed.body is None


def test_a_tar_and_its_folder_are_measured_alike(tmp_path):
    tar = write_two_people(tmp_path, "mine_held_out")
    write_two_people(tmp_path, "mine")  # for training
    one, other = cases_of("shards-pck", tar), cases_of("shards-pck", tmp_path)
    assert [case.record for case in one] == [case.record for case in other] == ["mine/0", "mine/1"]
    assert one[0].load_pixels().shape == (3, 96, 96)
    np.testing.assert_allclose(one[1].keypoints_2d, made_sample(1, 96).keypoints_2d, atol=1e-4)
    assert one[0].truth_3d is not None
    assert one[0].body is not None


def test_two_held_out_sets_in_a_folder_are_refused_by_name(tmp_path):
    for name in ("a_held_out", "b_held_out"):
        tar = write_two_people(tmp_path, name)
    with pytest.raises(BadInputError, match=r"2 \(a_held_out, b_held_out\).*Name a tar"):
        cases_of("shards-pck", tmp_path)
    assert protocol_on(PROTOCOLS["shards-pck"], tar).file == "b_held_out"
    assert "people of b_held_out" in protocol_on(PROTOCOLS["shards-pck"], tar).sentence


@pytest.mark.parametrize(
    ("name", "has_published"), [("person_keypoints_val2017.json", True), ("mine.json", False)]
)
def test_published_figures_stand_beside_the_official_file_alone(tmp_path, name, has_published):
    (tmp_path / name).write_text("{}")
    protocol = protocol_on(PROTOCOLS["coco-pck-hmr2"], tmp_path)
    assert bool(published_beside(protocol)) is has_published
    assert (f"people of {name}" in protocol.sentence) is not has_published
    assert protocol_on(PROTOCOLS["lspet-pck"], tmp_path) == PROTOCOLS["lspet-pck"]
