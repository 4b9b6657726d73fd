"""Photos with keypoints, as a stranger brings them, become better weights: the commands of docs/training.md in a row."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humanmesh.cli import main
from humanmesh.files.assets import weights_path
from humanmesh.files.checkpoints import load_checkpoint
from photo_layouts import COCO, write_json

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


def write_own_photos(folder: Path, count: int) -> Path:
    """A COCO file with its photos in `images` beside it."""
    rng = np.random.default_rng(count)
    (folder / "images").mkdir(parents=True)
    images, people = [], []
    for number in range(count):
        pixels = rng.integers(0, 255, (120, 100, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 100, "height": 120})
        table = np.concatenate([rng.uniform(20, 80, (len(COCO), 2)), np.full((len(COCO), 1), 2)], 1)
        people.append({
            "id": number, "image_id": number, "category_id": 1, "keypoints": table.ravel().tolist(),
            "bbox": [20, 20, 60, 60],
        })  # fmt: skip
    return write_json(folder / "keypoints.json", {"images": images, "annotations": people})


def test_motion_pack_train_evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own, unseen = write_own_photos(tmp_path / "own", 8), write_own_photos(tmp_path / "unseen", 2)
    (tmp_path / "mocap").mkdir()
    np.savez(
        tmp_path / "mocap" / "walk.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)),
        mocap_framerate=np.array(60.0),
    )  # fmt: skip
    train = [
        "train",
        "shards",
        "--mode",
        "unpaired",
        "--motion",
        "motion.npz",
        "--weights",
        "default",
        "--out",
        "run",
    ]
    measure = ["evaluate", "--protocol", "coco-pck", "--data", str(unseen), "--json"]
    assert main(["data", "motion", "mocap", "--out", "motion.npz"]) == 0
    assert (
        main(["data", "pack", "coco", str(own), "--out", "shards", "--name", "mine", "--hold-out", "0.3"])
        == 0
    )
    assert {path.name for path in Path("shards").iterdir()} == {"mine-00000.tar", "mine_held_out-00000.tar"}
    capsys.readouterr()
    assert main(measure) == 0
    before = json.loads(capsys.readouterr().out)
    assert main([*train, "--steps", "1", "--batch-size", "2"]) == 0
    assert "mine_held_out/pck@0.1" in capsys.readouterr().out
    assert main([*measure, "--weights", "run/weights.safetensors"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert before["protocol"] == after["protocol"]
    assert after["system"].startswith("weights.safetensors ")
    trained, bundled = (
        load_checkpoint(path) for path in ("run/weights.safetensors", weights_path("default"))
    )
    assert trained.notes["steps"] == "1"
    assert not torch.equal(*(each.state["regressor.fc3.weight"] for each in (trained, bundled)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--weights", "open"], "--weights as well"),
        (["--unit", "mm"], "read as mm. If they are in m, give --unit m"),
    ],
)
def test_predictions_that_cannot_be_measured_are_one_sentence(tmp_path, capsys, words, sentence):
    own = write_own_photos(tmp_path / "own", 2)
    metres = np.random.default_rng(0).random((2, 17, 3))
    np.savez(tmp_path / "theirs.npz", joints_3d=metres, keypoint_set="coco17")
    measure = ["evaluate", "--protocol", "coco-pck", "--data", str(own)]
    assert main([*measure, "--predictions", str(tmp_path / "theirs.npz"), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
