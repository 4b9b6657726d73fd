"""`humanmesh train` from packed files to weights, and its sentences for what a user can mend."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch

from humanmesh.cli import main
from humanmesh.data.shards import write_shards
from humanmesh.files.body_models import write_body
from humanmesh.files.checkpoints import load_checkpoint
from humanmesh.training.stopping import Stopped
from made_bodies import small_body
from made_samples import made_sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


@pytest.fixture
def files(tmp_path):
    shards = tmp_path / "shards"
    write_shards([made_sample(n, 96, "mine") for n in range(5)], shards, "mine")
    write_shards([made_sample(n, 96, "mine") for n in range(2)], shards, "mine_held_out")
    write_body(small_body(), tmp_path / "body.safetensors")
    np.savez(tmp_path / "motion.npz", pose=np.zeros((4, 72), np.float32), clip=np.zeros(4, np.int32))
    return tmp_path


def words(files, *more: str) -> list[str]:
    return [
        "train", str(files / "shards"), "--out", str(files / "run"), "--body", str(files / "body.safetensors"),
        "--steps", "1", "--batch-size", "2", "--no-tensorboard", "--json", *more,
    ]  # fmt: skip


def steps_logged(files) -> list[int]:
    lines = [json.loads(line) for line in (files / "run" / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "loss" in line]


def test_a_run_writes_weights_that_load_and_says_how_good_they_are(files, capsys):
    unpaired = ["--mode", "unpaired", "--motion", str(files / "motion.npz")]
    assert main(words(files, *unpaired, "--picture-interval", "1")) == 0
    assert load_checkpoint(files / "run" / "weights.safetensors").config.encoder == "mobilenet_v2_fpn"
    assert (files / "run" / "predictions.png").is_file()
    assert "mine_held_out/pck@0.1" in json.loads(capsys.readouterr().out)

    for more, expected in (
        (unpaired, "Give --resume"),
        (["--mode", "no-prior", "--resume", "--steps", "2"], "mode was 'unpaired' when the run was started"),
        ([*unpaired, "--resume"], "1 steps in .* are done, and steps 1 asked for. Give a larger --steps"),
    ):
        assert main(words(files, *more)) == 2
        assert re.search(expected, capsys.readouterr().err)
    assert main(words(files, *unpaired, "--resume", "--steps", "2")) == 0


def test_a_profile_says_where_the_time_goes_and_leaves_no_run(files, capsys):
    motion = ["--mode", "paired", "--motion", str(files / "motion.npz")]
    assert main(words(files, *motion, "--profile")) == 0
    seconds = json.loads(capsys.readouterr().out)
    phases = {"data", "augmentation", "forward", "objective", "adversary", "backward", "optimiser", "average"}
    assert set(seconds) == phases
    assert all(value > 0 for value in seconds.values())
    assert not (files / "run").exists()


def test_a_killed_run_loses_at_most_its_interval_and_goes_on(files):
    more = ["--mode", "no-prior", "--log-interval", "1", "--checkpoint-interval", "0"]
    command = [sys.executable, "-m", "humanmesh", *words(files, *more, "--steps", "100000")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while not (files / "run" / "checkpoint.pt").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    saved = torch.load(files / "run" / "checkpoint.pt", weights_only=True)["progress"]["step"]
    assert saved >= max(steps_logged(files)) - 1
    assert load_checkpoint(files / "run" / "weights.safetensors").state

    assert main(words(files, *more, "--steps", str(saved + 2), "--resume")) == 0
    assert steps_logged(files) == list(range(1, saved + 3))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--mode", "paired"], "Give --motion"),
        (["--mode", "no-prior", "--resume"], "Leave out --resume"),
        (["--mode", "no-prior", "--shares", "other", "1"], "Name data sets that are there"),
        (["--mode", "unpaired", "--motion", "nowhere.npz"], "nowhere.npz"),
        (["--mode", "no-prior", "--freeze-encoder-blocks", "18"], "has 17 that can be"),
        (["--mode", "no-prior", "--preset", "hmr", "--freeze-encoder-blocks", "1"], "Use a MobileNetV2"),
        (["--mode", "no-prior", "--encoder", "vgg"], "mobilenet_v2_175_fpn"),
        (["--mode", "no-prior", "--weights", "open", "--encoder", "resnet50"], "another preset or encoder"),
        (["--mode", "no-prior", "--crop-size", "200"], "multiple of 32"),
        (["--mode", "no-prior", "--batch-size", "0"], "batch_size must be at least 1"),
        (["--mode", "no-prior", "--augmentation", "-1"], "rotation_share is a share"),
        (["--mode", "no-prior", "--steps", "0"], "steps must be positive"),
        (["--mode", "no-prior", "--max-time", "nan"], "max_time must be positive"),
        (["--mode", "no-prior", "--device", "toaster"], "Training on 'toaster': "),
        (["--mode", "no-prior", "--devices", "0", "--device", "cpu"], "Training on 'cpu': "),
        (["--mode", "no-prior", "--streams", "far", "nowhere-{0..1}.tar"], "--shares"),
        (["--mode", "no-prior", "--streams", "far_held_out", "nowhere.tar"], "Only files can be held out"),
        (
            ["--mode", "no-prior", "--streams", "far", "nowhere.tar", "--shares", "mine", "1", "far", "99"],
            "data set mine: its share of a batch of 2 comes to no sample",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(files, capsys, more, expected):
    assert main(words(files, *more)) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("is_launched", [True, False])
def test_a_process_whose_error_the_first_may_not_meet_says_it_itself(files, capsys, monkeypatch, is_launched):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: is_launched)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    assert main(words(files, "--mode", "paired")) == 2
    assert capsys.readouterr().err.startswith("humanmesh (process 1): mode paired") is is_launched


@pytest.mark.parametrize(
    ("rank", "code", "said"), [("0", 130, "humanmesh: stopped at step 3\n"), ("1", 0, "")]
)
def test_a_stopped_training_is_told_by_the_first_process(files, capsys, monkeypatch, rank, code, said):
    def stop(*_: object) -> None:
        raise Stopped("stopped at step 3")

    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr("humanmesh.training.session.train", stop)
    assert main(words(files, "--mode", "no-prior")) == code
    assert capsys.readouterr().err == said


def test_a_folder_without_shards_is_named(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none"), "--mode", "no-prior", "--steps", "1"]) == 2
    assert "humanmesh data pack" in capsys.readouterr().err


def refusal(files, capsys) -> str:
    assert main(words(files, "--mode", "no-prior")) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_a_truncated_shard_is_named(files, capsys):
    shard = files / "shards" / "mine-00000.tar"
    shard.write_bytes(shard.read_bytes()[:-12_000])
    assert f"shard {shard}: not a whole tar file" in refusal(files, capsys)


def test_an_empty_data_set_is_named(files, capsys):
    with tarfile.open(files / "shards" / "void-00000.tar", "w"):
        pass
    assert "data set void: no samples" in refusal(files, capsys)


def test_a_sample_that_cannot_be_read_is_named(files, capsys):
    with tarfile.open(files / "shards" / "mine-00000.tar", "w") as tar:
        for name in ("0.jpg", "0.json"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"junk"))
    assert "mine-00000.tar, record 0" in refusal(files, capsys)


def test_a_checkpoint_that_is_none_is_named(files, capsys):
    (files / "run").mkdir()
    (files / "run" / "checkpoint.pt").write_bytes(b"junk")
    assert main(words(files, "--mode", "no-prior", "--resume")) == 2
    assert "does not fit this training" in capsys.readouterr().err
