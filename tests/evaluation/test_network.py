"""A network under measurement: from box to photo pixels, and what hides a person from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_evaluation import (
    cases_of,
    lspet_side,
    square_body,
    write_ccp_hold_out,
    write_lspet_hold_out,
    write_predictions,
    write_synthetic,
)
from torch import nn

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.cli import main
from humanmesh.errors import BadInputError
from humanmesh.evaluation.benchmark import evaluate
from humanmesh.evaluation.gallery import PERCENTILES, gallery, rows_at, sheet
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.occlusion import HidingPredictor, error_by_hidden_share, hidden, remaining, side_of
from humanmesh.evaluation.predictors import NetworkPredictor
from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.evaluation.report import Report, html_page, write_report
from humanmesh.evaluation.results import by_share, person_errors
from humanmesh.files.body_models import write_body
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.network.encoder import EncoderOutput
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.network.regressor import Estimate
from humanmesh.render.rasterizer import rasterize
from made_bodies import small_body
from photo_layouts import COCO, LSP, points, write_pw3d

SCALE, OFFSET = 0.8, (0.1, -0.05)


class Constant(Recovery):
    """Sees the rest pose in every crop."""

    def __init__(self, data: BodyModelData) -> None:
        nn.Module.__init__(self)
        self.model = BodyModel(data)
        self.dummy = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def forward(self, crops: torch.Tensor) -> RecoveryOutput:
        self.seen.append(crops)
        count = len(crops)
        rotations = torch.eye(3).expand(count, 24, 3, 3)
        posed = self.model(rotations, torch.zeros(count, 10))
        keypoints = self.model.keypoints(posed.vertices, "cocoplus19")
        camera = WeakPerspectiveCamera(torch.full((count,), SCALE), torch.tensor([OFFSET]).expand(count, 2))
        last = Estimate(
            rotations, torch.zeros(count, 10), camera, posed.joints, keypoints, camera.project(keypoints)
        )
        return RecoveryOutput((last,), EncoderOutput(torch.zeros(count, 4)), None)


def constant(data: BodyModelData | None = None) -> NetworkPredictor:
    data = data or small_body()
    return NetworkPredictor("constant", Constant(data).eval(), BodyModel(data), 32)


def test_keypoints_go_from_the_body_through_the_crop_to_the_photo():
    box = torch.tensor([[100.0, 50, 140, 130]])  # centre (120, 90), crop side 1.25 * 80 = 100
    prediction = constant().look([torch.zeros(3, 200, 300)], box)
    expected = torch.tensor([120.0, 90]) + 50 * SCALE * (
        prediction.points_3d("cocoplus19")[..., :2] + torch.tensor(OFFSET)
    )
    torch.testing.assert_close(prediction.points_2d("cocoplus19"), expected)


def test_the_drawn_body_is_where_the_overlay_draws_it():
    data = square_body()
    template = data.template.clone()
    template[:4] = torch.tensor([[-0.4, -0.6, 0.1], [0.4, -0.6, 0.1], [0.4, 0.6, 0.1], [-0.4, 0.6, 0.1]])
    prediction = constant(replace(data, template=template)).look(
        [torch.zeros(3, 200, 300)], torch.tensor([[100.0, 50, 140, 130]])
    )
    drawn = prediction.draw(0, 200, 300).face_index[0] >= 0
    # x: 120 + 40 * (-0.4 + 0.1) to 120 + 40 * 0.5; y: 90 + 40 * -0.65 to 90 + 40 * 0.55
    assert drawn.nonzero().amin(0).tolist() == [64, 108]
    assert drawn.nonzero().amax(0).tolist() == [111, 139]
    assert int(drawn.sum()) == 48 * 32
    view = prediction.view(0)
    pixels = view.focal_length * view.vertices[:, :2] / view.vertices[:, 2:] + torch.tensor(
        view.principal_point
    )
    far = (
        rasterize(torch.cat([pixels, view.vertices[:, 2:]], 1)[None], data.faces, 200, 300).face_index[0] >= 0
    )
    assert int((far != drawn).sum()) <= 48 + 32  # a pixel along an edge, by rounding


def test_a_network_without_heat_maps_tells_no_score():
    prediction = constant().look([torch.zeros(3, 60, 60)], torch.tensor([[10.0, 10, 40, 40]]))
    assert prediction.scores.isnan().all()


def test_what_is_left_of_a_box():
    box = torch.tensor([10.0, 20, 110, 220])
    assert remaining(box, 0.25, "left").tolist() == [35, 20, 110, 220]
    assert remaining(box, 0.5, "bottom").tolist() == [10, 20, 110, 120]
    assert {side_of(f"im{number:05d}") for number in range(40)} == {"left", "right", "top", "bottom"}


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_covered_strip_is_grey_and_the_rest_as_before(side):
    photo = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([10.0, 10, 30, 30])
    rest = remaining(box, 0.5, side)
    covered = hidden(photo, box, rest, side, "covered")
    changed = (covered != photo).any(0)
    assert int(changed.sum()) == 200
    torch.testing.assert_close(covered[:, changed], torch.full((3, 200), 0.5))
    x0, y0, x1, y1 = (int(value) for value in rest)
    assert not changed[y0:y1, x0:x1].any()
    torch.testing.assert_close(hidden(photo, box, box, side, "covered"), photo)


@pytest.mark.parametrize(("side", "axis"), [("left", 2), ("right", 2), ("top", 1), ("bottom", 1)])
def test_a_photo_that_is_cut_off_goes_on_with_its_last_line(side, axis):
    photo = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([10.0, 10, 30, 30])
    cut = hidden(photo, box, remaining(box, 0.5, side), side, "cut off")
    lines = cut.movedim(axis, 0)
    gone, kept = (lines[:20], lines[20:]) if side in {"left", "top"} else (lines[20:], lines[:20])
    edge = kept[0] if side in {"left", "top"} else kept[-1]
    assert (gone == edge).all()
    torch.testing.assert_close(
        kept, photo.movedim(axis, 0)[20:] if side in {"left", "top"} else photo.movedim(axis, 0)[:20]
    )


def test_a_network_sees_grey_where_a_person_is_covered(tmp_path):
    network = constant()
    (case, *_) = cases_of("lspet-pck", write_lspet_hold_out(tmp_path))
    dark = replace(case, load_pixels=lambda: torch.zeros(3, 120, 100))
    for share in (0.0, 0.5):
        HidingPredictor("covered", network, "covered", share).predict([dark], PROTOCOLS["lspet-pck"])
    open_crop, covered_crop = network.network.seen
    box_in_crop = 39 * 26 / (1.25 * 39) ** 2
    assert open_crop.max() == 0
    assert float(covered_crop.mean()) == pytest.approx(0.5 * 0.5 * box_in_crop, rel=0.05)


def test_a_cut_box_makes_a_smaller_crop(tmp_path):
    network = constant()
    (case, *_) = cases_of("lspet-pck", write_lspet_hold_out(tmp_path))
    whole = network.predict([case], PROTOCOLS["lspet-pck"])
    cut = HidingPredictor("cut", network, "cut off", 0.5).predict([case], PROTOCOLS["lspet-pck"])
    sizes = [float(prediction.photo_from_crop[0, 0, 0]) for prediction in (whole, cut)]
    assert sizes[0] == pytest.approx(1.25 * lspet_side() / 2)
    assert sizes[1] < sizes[0]


def test_people_at_percentiles_of_error():
    errors = torch.tensor([5.0, torch.nan, 1, 2, 3, 4], dtype=torch.float64)
    assert rows_at(errors, [0, 50, 100]) == [2, 4, 0]
    assert rows_at(torch.full((3,), torch.nan), [50]) == []


def test_bins_of_people_are_equal_in_number_and_sorted():
    errors = torch.tensor([1.0, 2, 3, 4, torch.nan], dtype=torch.float64)
    quantity = torch.tensor([40.0, 30, 20, 10, 0])
    assert by_share(errors, quantity, 2) == [(15, 3.5, 2), (35, 1.5, 2)]


def test_the_report_holds_all_and_loads_nothing(tmp_path):
    people = cases_of("synthetic", write_synthetic(tmp_path / "people.pt"))
    protocol, network = PROTOCOLS["synthetic"], constant()
    bodies = TruthBodies({"": network.body})
    result = evaluate(people, network, protocol, bodies)
    exhibits = gallery(result, network, protocol)
    assert [exhibit.percentile for exhibit in exhibits] == list(PERCENTILES)
    assert sheet(exhibits).shape[0] == 3
    curves = error_by_hidden_share(people, network, protocol, bodies, shares=(0.0, 0.5))
    assert [curve.way for curve in curves] == ["covered", "cut off"]
    assert curves[0].points[0][1] == pytest.approx(float(person_errors(result).values.mean()))
    page = html_page(Report(result, exhibits, curves))
    assert page.count("<img") == 4 * len(PERCENTILES)
    assert "http" not in page
    for words in (protocol.name, "MPJPE", "right_ankle", "cut off", "Percentile 95"):
        assert words in page
    assert write_report(Report(result), tmp_path).read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "report.md").read_text().startswith("| system |")


def test_the_command_measures_a_file_and_prints_json(tmp_path: Path, capsys):
    data = write_lspet_hold_out(tmp_path / "lspet")
    guess = write_predictions(tmp_path / "theirs.npz", keypoints_2d=np.stack([points(LSP)] * 3))
    words = ["evaluate", "--protocol", "lspet-pck", "--data", str(data), "--predictions", str(guess)]
    assert main([*words, "--json", "--report", str(tmp_path / "report")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [figure["value"] for figure in said["figures"]] == [100, 100, 100]
    assert said["system"].startswith("theirs.npz ")
    assert (tmp_path / "report" / "report.html").is_file()
    assert json.loads((tmp_path / "report" / "result.json").read_text()) == said


def test_people_of_3dpw_are_measured_on_the_body_of_their_gender(tmp_path: Path, capsys):
    data = write_pw3d(tmp_path / "pw3d").parents[1]
    made = small_body()
    neutral = replace(made, keypoint_regressors={"h36m17": made.joint_regressor[:17]})
    female = replace(neutral, template=1.2 * neutral.template)
    (tmp_path / "smpl").mkdir()
    for name, body in (("own", neutral), ("smpl/SMPL_MALE.npz", neutral), ("smpl/SMPL_FEMALE.npz", female)):
        write_body(body, tmp_path / name)
    (woman,) = cases_of("3dpw", data)
    shape = torch.from_numpy(woman.body.shape)[None]
    right = BodyModel(female)(torch.from_numpy(woman.body.pose)[None], shape).vertices
    guess = write_predictions(tmp_path / "theirs.npz", vertices=right)
    words = ["evaluate", "--protocol", "3dpw", "--data", str(data), "--predictions", str(guess)]
    words += ["--body", str(tmp_path / "own"), "--json"]
    assert main([*words, "--truth-bodies", str(tmp_path / "smpl")]) == 0
    figures = {figure["name"]: figure["value"] for figure in json.loads(capsys.readouterr().out)["figures"]}
    assert (figures["MPJPE"], figures["PVE"]) == pytest.approx((0, 0), abs=0.1)
    assert main(words) == 2
    assert "female people, and no body for them. Give --truth-bodies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "has_published"), [("keypoints.json", False), ("person_keypoints_val2017.json", True)]
)
def test_own_photos_are_named_and_have_no_published_figures_beside_them(
    tmp_path: Path, capsys, name, has_published
):
    file = write_ccp_hold_out(tmp_path / "own") / "keypoints.json"
    file = file.rename(file.with_name(name))
    guess = write_predictions(
        tmp_path / "theirs.npz", keypoints_2d=np.stack([points(COCO)] * 3), keypoint_set="coco17"
    )
    words = ["evaluate", "--protocol", "coco-pck-hmr2", "--data", str(file), "--predictions", str(guess)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert ("HMR 2.0b" in said) is has_published
    assert (f"people of {name}" in said) is not has_published


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--protocol", "lspet"], "lspet-pck"),
        (["--protocol", "lspet-pck", "--limit", "0"], "--limit"),
        (["--protocol", "lspet-pck", "--occlusion"], "no --report"),
        (["--protocol", "lspet-pck"], "No data set at"),
    ],
)
def test_what_the_user_can_mend_is_told_in_one_sentence(tmp_path, capsys, more, words):
    assert main(["evaluate", "--data", str(tmp_path / "nowhere"), *more]) == 2
    assert words in capsys.readouterr().err


def test_a_mesh_without_a_camera_is_not_drawn(tmp_path):
    from humanmesh.evaluation.prediction_files import read_predictions
    from humanmesh.evaluation.predictions import FilePrediction

    file = read_predictions(
        write_predictions(tmp_path / "a.npz", vertices=np.random.default_rng(0).random((1, 40, 3)))
    )
    with pytest.raises(BadInputError, match="no camera"):
        FilePrediction(file, BodyModel(small_body()), (0,)).view(0)
