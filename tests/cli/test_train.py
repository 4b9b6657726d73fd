"""`humanmesh train` from packed files to weights, and its sentences for what a user can mend."""

import json

import numpy as np
import pytest

from humanmesh.cli import main
from humanmesh.data.shards import write_shards
from humanmesh.files.body_models import write_body
from humanmesh.files.checkpoints import load_checkpoint
from made_body import made_body
from made_samples import made_sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


@pytest.fixture
def files(tmp_path):
    shards = tmp_path / "shards"
    write_shards([made_sample(n, 96, "mine") for n in range(5)], shards, "mine")
    write_shards([made_sample(n, 96, "mine") for n in range(2)], shards, "mine_held_out")
    write_body(made_body(), tmp_path / "body.safetensors")
    np.savez(tmp_path / "motion.npz", pose=np.zeros((4, 72), np.float32), clip=np.zeros(4, np.int32))
    return tmp_path


def words(files, *more: str) -> list[str]:
    return [
        "train", str(files / "shards"), "--out", str(files / "run"), "--body", str(files / "body.safetensors"),
        "--steps", "1", "--batch-size", "2", *more,
    ]  # fmt: skip


def test_a_run_writes_weights_that_load_and_says_how_good_they_are(files, capsys):
    assert main(words(files, "--mode", "unpaired", "--motion", str(files / "motion.npz"))) == 0
    assert load_checkpoint(files / "run" / "weights.safetensors").config.encoder == "mobilenet_v2_fpn"
    assert "mine_held_out/pck@0.1" in json.loads(capsys.readouterr().out)
    assert main(words(files, "--mode", "no-prior", "--resume", "--steps", "2")) == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--mode", "paired"], "Give --motion"),
        (["--mode", "no-prior", "--resume"], "Leave out --resume"),
        (["--mode", "no-prior", "--shares", "other", "1"], "Name data sets that are there"),
        (["--mode", "unpaired", "--motion", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(files, capsys, more, expected):
    assert main(words(files, *more)) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_a_folder_without_shards_is_named(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none"), "--mode", "no-prior", "--steps", "1"]) == 2
    assert "humanmesh data pack" in capsys.readouterr().err
