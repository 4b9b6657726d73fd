"""Figures of tiny data sets in the official layouts, each worked out by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_evaluation import (
    UNIT_CAMERA,
    cases_of,
    measured,
    square_body,
    square_vertices,
    synthetic_pose,
    write_ccp_hold_out,
    write_lspet_hold_out,
    write_predictions,
    write_synthetic,
)
from scipy.spatial import procrustes

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import COCOPLUS_19, LSP_14
from humanmesh.data.readers import ReadReport
from humanmesh.errors import BadInputError
from humanmesh.evaluation import benchmark
from humanmesh.evaluation.benchmark import evaluate, some_of
from humanmesh.evaluation.cases import Case, Truth3D
from humanmesh.evaluation.data_sets import load_cases
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.prediction_files import PredictionFile, read_predictions
from humanmesh.evaluation.predictions import FilePrediction, FilePredictor
from humanmesh.evaluation.protocols import PROTOCOLS, Protocol, protocol_by_name
from humanmesh.evaluation.results import Result, Table, action_means, by_quantity
from humanmesh.evaluation.tables import markdown_table, rows_of, text_table
from made_bodies import small_body
from photo_layouts import H36M, LSP, MPI_17, points, points_3d, write_h36m_npz, write_mpi_test


def lspet_predictions(folder, ankle=0.06, **more):
    """Right for the first two but for an ankle of the first (6 % of the box's side) and a neck of the second (15 %)."""
    side = 3 * 13  # the joints run over 39 by 26 pixels
    guess = np.stack([points(LSP)] * 2)
    guess[0, LSP.index("right_ankle"), 0] += ankle * side
    guess[1, LSP.index("neck"), 1] += 0.15 * side
    return write_predictions(folder / "theirs.npz", keypoints_2d=guess, **more)


def test_lspet_pck_by_hand_with_a_missing_label_and_a_missing_prediction(tmp_path):
    data = write_lspet_hold_out(tmp_path / "lspet")
    predictions = lspet_predictions(
        tmp_path, imgname=["images/im08001.jpg", "images/im08002.jpg"], score=[0.9, 0.2]
    )
    result = measured("lspet-pck", data, predictions)
    assert (result.people, result.missing) == (3, 1)
    # Of three people the third is wrong everywhere; the left wrist is known of two.
    assert result.value("PCK@0.05") == pytest.approx(100 * (11 * 2 / 3 + 1 / 3 + 1 / 3 + 1 / 2) / 14)
    assert result.value("PCK@0.1") == pytest.approx(100 * (12 * 2 / 3 + 1 / 3 + 1 / 2) / 14)
    assert result.value("PCK@0.2") == pytest.approx(100 * (13 * 2 / 3 + 1 / 2) / 14)
    assert result.by_joint["PCK@0.05"]["right_ankle"] == pytest.approx(100 / 3)
    assert "1 of them without a prediction" in text_table([result])


@pytest.mark.parametrize(("ankle", "is_hit"), [(0.059, True), (0.061, False)])
def test_hmr2s_unit_is_a_fifth_larger_than_the_box(tmp_path, ankle, is_hit):
    data = write_lspet_hold_out(tmp_path / "lspet", people=2)
    result = measured("lspet-pck-hmr2", data, lspet_predictions(tmp_path, ankle))
    assert result.by_joint["PCK@0.05"]["right_ankle"] == (100 if is_hit else 50)
    assert "1.2 times the longer side" in result.protocol.sentence


def test_only_the_hold_out_of_lspet_is_measured(tmp_path):
    data = write_lspet_hold_out(tmp_path, people=2)
    assert [case.record for case in cases_of("lspet-pck", data)] == ["im08001", "im08002"]


def h36m_predictions(folder, **more):
    """The truth moved as a whole in the first frame; in the second the right wrist is 140 mm off."""
    guess = np.stack([points_3d(H36M)] * 2)
    guess[0] += [0.03, 0, 0.04]
    guess[1, H36M.index("right_wrist"), 1] += 0.14
    return write_predictions(folder / "theirs.npz", joints_3d=guess, keypoint_set="h36m17", **more)


def test_h36m_protocol_1_by_hand_and_by_scipy(tmp_path):
    predictions = h36m_predictions(tmp_path)
    result = measured("h36m-p1", write_h36m_npz(tmp_path / "h36m"), predictions)
    assert result.value("MPJPE") == pytest.approx((0 + 140 / 14) / 2, abs=1e-3)
    assert result.value("MPJPE, median") == pytest.approx(5, abs=1e-3)
    assert result.by_action["MPJPE"] == pytest.approx({"SittingDown": 0, "Directions": 10}, abs=1e-3)
    truth = points_3d(LSP)
    guess = truth.copy()
    guess[LSP.index("right_wrist"), 1] += 0.14
    standard, moved, _ = procrustes(truth, guess)
    size = np.linalg.norm(truth - truth.mean(0))
    aligned = 1000 * size * np.linalg.norm(standard - moved, axis=1).mean()
    assert result.value("reconstruction error") == pytest.approx(aligned / 2, rel=1e-3)


def test_the_root_decides_what_an_offset_of_the_pelvis_does(tmp_path):
    data = write_h36m_npz(tmp_path / "h36m")
    guess = np.stack([points_3d(H36M)] * 2)
    guess[:, H36M.index("pelvis"), 0] += 0.05
    predictions = write_predictions(tmp_path / "a.npz", joints_3d=guess, keypoint_set="h36m17")
    assert measured("h36m-p1", data, predictions).value("MPJPE") == pytest.approx(0, abs=1e-3)
    # SPIN subtracts the pelvis itself; frames 1 and 6 are both of every fifth.
    by_pelvis = measured("h36m-p1-spin", data, predictions)
    assert by_pelvis.value("MPJPE") == pytest.approx(50, abs=1e-3)
    assert by_pelvis.people == 2


def test_3dhp_by_hand(tmp_path):
    guess = points_3d(MPI_17)[None].copy()
    guess[0, MPI_17.index("head_top"), 2] += 0.142
    predictions = write_predictions(tmp_path / "theirs.npz", joints_3d=guess, keypoint_set="mpi_inf_3dhp17")
    data = write_mpi_test(tmp_path / "3dhp")
    result = measured("mpi-inf-3dhp-17", data, predictions)
    assert result.people == 1  # the second frame is not valid
    assert result.value("MPJPE") == pytest.approx(142 / 17, abs=1e-3)
    assert result.value("PCK") == pytest.approx(100)
    # 16 joints are below every threshold but 0; the head top is below 145 and 150 mm.
    assert result.value("AUC") == pytest.approx(100 * (16 * 30 + 2) / (17 * 31))
    of_14 = measured("mpi-inf-3dhp-14", data, predictions)
    assert of_14.value("MPJPE") == pytest.approx(142 / 14, abs=1e-3)
    assert list(result.by_action["MPJPE"]) == ["sit"]


def test_3dhp_of_the_official_code_counts_fourteen_joints_in_pck_and_all_in_mpjpe(tmp_path):
    guess = points_3d(MPI_17)[None].copy()
    guess[0, MPI_17.index("spine"), 2] += 0.2
    guess[0, MPI_17.index("left_knee"), 2] += 0.17
    predictions = write_predictions(tmp_path / "theirs.npz", joints_3d=guess, keypoint_set="mpi_inf_3dhp17")
    result = measured("mpi-inf-3dhp", write_mpi_test(tmp_path / "3dhp"), predictions)
    assert result.value("MPJPE") == pytest.approx(370 / 17, abs=1e-3)
    assert result.value("PCK") == pytest.approx(100 * 13 / 14)


def test_3dhp_of_spins_code_takes_the_jaw_for_the_head(tmp_path):
    names = {"jaw": "head"}
    truth = dict(zip(MPI_17, points_3d(MPI_17), strict=True))
    guess = np.stack([truth[names.get(joint, joint)] for joint in H36M])[None]
    guess[0, H36M.index("jaw"), 0] += 0.034
    predictions = write_predictions(tmp_path / "theirs.npz", joints_3d=guess, keypoint_set="h36m17")
    result = measured("mpi-inf-3dhp-17-spin", write_mpi_test(tmp_path / "3dhp"), predictions)
    assert result.value("MPJPE") == pytest.approx(2, abs=1e-3)


def test_ccp_silhouette_by_hand(tmp_path):
    # The truth is 20 x 20 pixels; the prediction is moved right by 10 and has 20 x 20 as well.
    body = square_body()
    guess = square_vertices(30, 10, 50, 30)
    predictions = write_predictions(
        tmp_path / "theirs.npz", vertices=guess, imgname=["0005.jpg"], **UNIT_CAMERA
    )
    file = replace(read_predictions_of_any_size(predictions))
    data = write_ccp_hold_out(tmp_path / "ccp")
    people = cases_of("ccp-silhouette", data)
    assert [case.record for case in people] == ["1"]
    model = BodyModel(body)
    result = evaluate(
        people,
        FilePredictor("theirs", file, people, model),
        PROTOCOLS["ccp-silhouette"],
        TruthBodies({"": model}),
    )
    pixels = 100 * 120
    assert result.value("accuracy") == pytest.approx(100 * (pixels - 400) / pixels)
    background = 2 * (pixels - 600) / (2 * (pixels - 600) + 400)
    assert result.value("F1") == pytest.approx((2 * 200 / (2 * 200 + 400) + background) / 2)
    assert result.value("person IoU") == pytest.approx(100 * 200 / 600)


def read_predictions_of_any_size(path):
    """Metres that are pixels: a person of 20 m is refused, so the file says millimetres."""
    file = read_predictions(path, "mm")
    return replace(file, vertices=1000 * file.vertices, translation=1000 * file.translation)


def error_at_the_same_size(guess: np.ndarray, truth: np.ndarray) -> float:
    """By hand: mean distance of the vertices where both bodies have mean 0 and the truth's standard deviation."""
    guess, truth = guess - guess.mean(0), truth - truth.mean(0)
    return np.linalg.norm(guess * truth.std() / guess.std() - truth, axis=1).mean()


def test_the_true_pose_and_shape_score_nothing_on_synthetic_people(tmp_path):
    data = write_synthetic(tmp_path / "people.pt")
    rotations, shape = synthetic_pose(3)
    protocol = replace(PROTOCOLS["synthetic"], tasks=("pose", "mesh"))
    people = cases_of("synthetic", data)
    model = BodyModel(small_body())

    def measure(**arrays: object) -> Result:
        file = read_predictions(write_predictions(tmp_path / "theirs.npz", **arrays))
        return evaluate(
            people, FilePredictor("theirs", file, people, model), protocol, TruthBodies({"": model})
        )

    right = measure(rotations=rotations, shape=shape)
    for name in ("MPJPE", "reconstruction error", "PVE", "PVE-T-SC"):
        assert right.value(name) == pytest.approx(0, abs=1e-2)
    wrong = shape + torch.linspace(-1, 1, shape.shape[1])
    upright = torch.eye(3).expand(3, 24, 3, 3)
    pairs = zip(model(upright, wrong).vertices, model(upright, shape).vertices, strict=True)
    expected = np.mean([error_at_the_same_size(guess.numpy(), truth.numpy()) for guess, truth in pairs])
    turned = measure(rotations=rotations.flip(0), shape=wrong)
    assert turned.value("PVE-T-SC") == pytest.approx(1000 * expected, rel=1e-4)
    vertices = model(rotations, shape).vertices
    larger = measure(vertices=1.5 * vertices)
    assert "PVE-T-SC" not in [figure.name for figure in larger.figures]
    assert larger.value("reconstruction error") == pytest.approx(0, abs=1e-2)
    root = model.keypoints(vertices, "cocoplus19")[:, [3, 2]].mean(1, keepdim=True)
    expected = 1000 * 0.5 * (vertices - root).norm(dim=-1).mean()
    assert larger.value("PVE") == pytest.approx(float(expected), rel=1e-5)


def test_a_mesh_of_another_body_with_as_many_vertices_is_refused(tmp_path):
    data = write_synthetic(tmp_path / "people.pt")
    rotations, shape = synthetic_pose(3)
    file = read_predictions(write_predictions(tmp_path / "theirs.npz", rotations=rotations, shape=shape))
    people = cases_of("synthetic", data)
    theirs, truth = BodyModel(square_body()), BodyModel(small_body())
    protocol = replace(PROTOCOLS["synthetic"], tasks=("mesh",))
    with pytest.raises(BadInputError, match="another mesh"):
        evaluate(people, FilePredictor("theirs", file, people, theirs), protocol, TruthBodies({"": truth}))


def test_actions_are_means_of_sequences_and_not_of_frames():
    values = torch.tensor(
        [10.0, 20, 30, 90], dtype=torch.float64
    )  # three frames of one sequence, one of another
    table = Table({}, PROTOCOLS["h36m-p1"], torch.tensor([0, 0, 0, 1]), ["a", "b"], ["walk"] * 4)
    assert action_means(values, table) == {"walk": pytest.approx((20 + 90) / 2)}


def test_a_sequence_of_several_activities_counts_in_each_by_its_frames():
    """As in MPI-INF-3DHP: the official code pools the frames of each activity over the sequences."""
    values = torch.tensor([50.0, 50, 100, 70, 80], dtype=torch.float64)
    actions = ["stand", "stand", "sports", "sit", "stand"]
    table = Table({}, PROTOCOLS["mpi-inf-3dhp"], torch.tensor([0, 0, 0, 1, 1]), ["TS1", "TS2"], actions)
    assert action_means(values, table) == pytest.approx({"stand": 60, "sports": 100, "sit": 70})


class Stoppable(FilePredictor):
    """Remembers whom it was asked for; the user interrupts it at one of them."""

    def __init__(self, file: PredictionFile, people: list[Case], stop_at: str = "") -> None:
        super().__init__("theirs", file, people)
        self.stop_at = stop_at
        self.asked: list[str] = []

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        self.asked += [case.record for case in cases]
        if self.stop_at in self.asked:
            raise KeyboardInterrupt
        return super().predict(cases, protocol)


def test_an_interrupted_run_goes_on_and_ends_alike(tmp_path, monkeypatch):
    people = cases_of("lspet-pck", write_lspet_hold_out(tmp_path / "lspet"))
    file = read_predictions(lspet_predictions(tmp_path, record=["im08001", "im08002"]))

    def run(predictor: FilePredictor, resume: Path | None = tmp_path / "kept.pt") -> Result:
        return evaluate(people, predictor, PROTOCOLS["lspet-pck"], TruthBodies({}), resume=resume)

    whole = run(Stoppable(file, people), resume=None)
    monkeypatch.setattr(benchmark, "_BATCH", 1)
    monkeypatch.setattr(benchmark, "_SAVE_SECONDS", -1)
    with pytest.raises(KeyboardInterrupt):
        run(Stoppable(file, people, stop_at="im08003"))
    for left in (["im08003"], []):
        again = Stoppable(file, people)
        assert run(again).as_json() == whole.as_json()
        assert again.asked == left
    with pytest.raises(BadInputError, match="another system"):
        run(FilePredictor("others", file, people))
    (tmp_path / "kept.pt").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match="cannot be read"):
        run(again)


def lspet_result(folder, limit: int | None = None) -> Result:
    data = write_lspet_hold_out(folder / "lspet")
    everyone = cases_of("lspet-pck", data)
    file = read_predictions(lspet_predictions(folder, record=["im08001", "im08002"]))
    people, protocol = some_of(everyone, PROTOCOLS["lspet-pck"], limit)
    return evaluate(people, FilePredictor("theirs", file, everyone), protocol, TruthBodies({}))


def test_results_of_unlike_protocols_refuse_to_share_a_table(tmp_path):
    result = lspet_result(tmp_path)
    fewer = replace(result, protocol=replace(result.protocol, minimum_weight=0.3))
    assert len(rows_of([result, result])) == 3
    with pytest.raises(BadInputError, match="unlike protocols"):
        rows_of([result, fewer])


def test_a_part_of_the_people_is_another_protocol(tmp_path):
    part = lspet_result(tmp_path, limit=2)
    assert part.people == 2
    assert "only 2 of these 3" in part.protocol.sentence
    assert part.protocol != PROTOCOLS["lspet-pck"]
    assert part.missing == 0  # evenly spaced: the first and the second


def test_every_protocol_says_all_that_decides():
    for protocol in PROTOCOLS.values():
        said = protocol.sentence
        assert said.startswith(f"{protocol.name}: ")
        assert protocol.selection.sentence in said
        assert protocol.truth in said
        for joint in protocol.root:
            assert joint in said
        assert protocol_by_name(protocol.name) is protocol
    assert LSP_14.name in PROTOCOLS["mpi-inf-3dhp-14"].sentence


def test_a_result_is_json_and_markdown(tmp_path):
    result = lspet_result(tmp_path)
    read = json.loads(json.dumps(result.as_json()))
    assert read["protocol"] == "lspet-pck"
    assert read["missing_predictions"] == 1
    assert read["figures"][0]["name"] == "PCK@0.05"
    assert read["figures"][0]["interval_95"][0] <= read["figures"][0]["value"]
    lines = markdown_table([result]).splitlines()
    assert lines[0].startswith("| system | PCK@0.05 [%] |")
    assert result.protocol.sentence in lines[-3]
    assert "left and right swapped" in lines[-1]


def test_errors_are_told_apart_by_the_distance_from_the_camera(tmp_path):
    data = write_synthetic(tmp_path / "people.pt", people=4)
    everyone = cases_of("synthetic", data)
    points = np.stack([case.truth_3d.points for case in everyone])
    near = [replace(case, truth_3d=Truth3D(case.truth_3d.points - [0, 0, 2.0 * (row < 2)], case.truth_3d.weights))
            for row, case in enumerate(everyone)]  # fmt: skip
    points[2:, 3] += [0.19, 0, 0]  # one of the 14 joints of the far ones
    guess = PredictionFile(joints_3d=points.astype(np.float32), skeleton=COCOPLUS_19)
    protocol = replace(PROTOCOLS["synthetic"], tasks=("pose",))
    result = evaluate(near, FilePredictor("theirs", guess, near), protocol, TruthBodies({}))
    bins = by_quantity(result)["distance"]
    assert sum(count for _, _, count in bins) == 4
    assert bins[0][0] < 3 < bins[-1][0]
    assert bins[0][1] == pytest.approx(0, abs=1e-3)
    assert bins[-1][1] > 10
    assert result.as_json()["by_quantity"]["distance"][0]["people"] == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("protocol", "sample"),
    [
        ("h36m-p1", "h36m/test_h36m_body3d.npz"),
        ("mpi-inf-3dhp-17", "mpi_inf_3dhp/test_3dhp_test.npz"),
        ("coco-pck", "coco_mini/annotations/person_keypoints_train2017.json"),
    ],
)
def test_genuine_records_go_through_and_the_truth_scores_as_it_should(shared_data, protocol, sample):
    all_subjects = replace(PROTOCOLS[protocol].selection, keep={})
    measured_so = replace(PROTOCOLS[protocol], selection=all_subjects)
    people = load_cases(measured_so, shared_data / "samples" / sample, ReadReport())
    joints_3d = [case.truth_3d.points for case in people if case.truth_3d is not None]
    truth = PredictionFile(
        joints_3d=np.stack(joints_3d) + np.float32([0.1, 0.2, 0.3]) if joints_3d else None,
        keypoints_2d=np.stack([case.keypoints_2d for case in people]),
        skeleton=people[0].skeleton,
    )
    result = evaluate(people, FilePredictor("truth", truth, people), measured_so, TruthBodies({}))
    expected = {"mm": 0.0, "%": 100.0}
    for figure in result.figures:
        wanted = 100 * 30 / 31 if figure.name.startswith("AUC") else expected[figure.unit]
        assert figure.value == pytest.approx(wanted, abs=1e-3)
