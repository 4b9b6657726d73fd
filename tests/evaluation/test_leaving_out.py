"""One person or photo that cannot be used is left out and counted, and ends no measurement."""

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_evaluation import write_ccp_hold_out

from humanmesh.body.model import BodyModel
from humanmesh.cli import main
from humanmesh.data.readers import ReadReport
from humanmesh.errors import BadInputError
from humanmesh.evaluation.benchmark import evaluate
from humanmesh.evaluation.data_sets import load_cases
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.occlusion import HidingPredictor
from humanmesh.evaluation.predictors import NetworkPredictor, Predictor
from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from made_bodies import small_body

COCO = PROTOCOLS["coco-pck"]


@pytest.fixture(scope="module")
def network() -> NetworkPredictor:
    config = RecoveryConfig(crop_size=64)
    built = build_recovery(config, small_body()).eval()
    return NetworkPredictor("mine", built, BodyModel(small_body()), config.crop_size)


def three_people(folder: Path, change: Callable[[list[dict]], object] = lambda people: None) -> Path:
    """A COCO file with its photos in `images` beside it."""
    file = write_ccp_hold_out(folder) / "keypoints.json"
    content = json.loads(file.read_text())
    change(content["annotations"])
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    "system", [lambda net: net, lambda net: HidingPredictor("half", net, "cut off", 0.5)], ids=["whole", "cut off"]
)  # fmt: skip
def test_photos_are_held_one_after_the_other(
    tmp_path, network, system: Callable[[NetworkPredictor], Predictor]
):
    held: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def load() -> torch.Tensor:
        nonlocal most
        photo = torch.zeros(3, 64, 64)
        held.append(weakref.ref(photo))
        most = max(most, sum(reference() is not None for reference in held))
        return photo

    cases = [
        replace(case, load_pixels=load) for case in load_cases(COCO, three_people(tmp_path), ReadReport())
    ]
    system(network).predict([*cases, *cases], COCO)
    assert len(held) == 6
    assert most <= 2


def test_people_without_a_box_are_left_out(tmp_path):
    def change(people: list[dict]) -> None:
        del people[0]["bbox"]
        people[1]["bbox"] = [3, 4, 0, 0]

    report = ReadReport()
    (case,) = load_cases(COCO, three_people(tmp_path, change), report)
    assert case.record == "3"
    assert report.counts["no box"] == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda people: [person.pop("bbox") for person in people], "no box: 3, the first: .* the protocol shards-pck"),
        (lambda people: [person.update(image_id=9) for person in people], "annotation without its photo: 3, the first"),
    ],
)  # fmt: skip
def test_where_nobody_is_left_the_reasons_are_told(tmp_path, change, told):
    with pytest.raises(BadInputError, match=f"nobody whom the protocol coco-pck measures .* {told}"):
        load_cases(COCO, three_people(tmp_path, change), ReadReport())


def test_photos_may_lie_elsewhere(tmp_path, capsys):
    file = three_people(tmp_path / "own")
    images = (tmp_path / "own" / "images").rename(tmp_path / "photos")
    assert len(load_cases(COCO, file, ReadReport(), images)) == 3
    with pytest.raises(BadInputError, match="annotation without its photo"):
        load_cases(COCO, file, ReadReport())
    assert main(["evaluate", "--protocol", "synthetic", "--data", str(file), "--images", str(images)]) == 2
    assert "the protocol synthetic has its own layout" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spoil", [lambda photo: photo.write_bytes(photo.read_bytes()[:-400]), Path.unlink], ids=["cut short", "gone"]
)  # fmt: skip
def test_a_photo_that_cannot_be_read_is_left_out_and_named(tmp_path, network, caplog, spoil):
    file = three_people(tmp_path)
    cases = load_cases(COCO, file, ReadReport())
    spoil(tmp_path / "images" / "0006.jpg")
    kept = tmp_path / "kept.pt"
    for _ in range(2):  # the second goes on from what is kept
        result = evaluate(
            cases, network, COCO, TruthBodies({}), left_out={"unreadable photo": 1}, resume=kept
        )
        assert [case.record for case in result.cases] == ["1", "3"]
        assert len(result.rows["score"]) == result.people == 2
        assert result.left_out == {"unreadable photo": 2}
    assert "0006.jpg" in caplog.text

    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadInputError, match="Photos of 3 people: none can be read"):
        evaluate(cases, network, COCO, TruthBodies({}))


@pytest.mark.parametrize("name", ["keypoints_2d", "weights_2d", "box"])
def test_figures_of_mended_labels_are_measured_anew(tmp_path, network, name):
    cases = load_cases(COCO, three_people(tmp_path), ReadReport())
    kept = tmp_path / "kept.pt"
    evaluate(cases, network, COCO, TruthBodies({}), resume=kept)
    mended = [cases[0], replace(cases[1], **{name: 0.9 * getattr(cases[1], name)}), cases[2]]
    with pytest.raises(BadInputError, match="another set of labels"):
        evaluate(mended, network, COCO, TruthBodies({}), resume=kept)


def test_a_full_disk_is_told(tmp_path, network, monkeypatch):
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nframe #0")

    cases = load_cases(COCO, three_people(tmp_path), ReadReport())
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BadInputError, match=r"Cannot write .*kept\.pt: \[enforce fail"):
        evaluate(cases, network, COCO, TruthBodies({}), resume=tmp_path / "kept.pt")
