"""A run that is stopped and gone on with: as the same training, or not at all."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric

from humanmesh.data.mixing import Mixture
from humanmesh.data.shards import ShardSource, write_shards
from humanmesh.errors import BadInputError
from humanmesh.files.body_models import write_body
from humanmesh.files.checkpoints import load_recovery
from humanmesh.network.recovery import build_recovery
from humanmesh.training.config import MODERN, SessionConfig, TrainConfig
from humanmesh.training.loop import CHECKPOINT, WEIGHTS, fit
from humanmesh.training.metrics_log import Sink
from humanmesh.training.resuming import check_settings, settings_of
from humanmesh.training.session import train
from humanmesh.training.stopping import Stopped
from humanmesh.training.trainer import Trainer
from humanmesh.training.watch import HoldOutWatch
from made_bodies import small_body
from made_samples import MadeSource, made_sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")

CONFIG = replace(
    MODERN, network=replace(MODERN.network, crop_size=64), batch_size=2, steps=2, max_time=None, log_interval=1,
    precision="32-true",
)  # fmt: skip
SESSION = SessionConfig(
    Path("shards"), Path("run"), shares={"mine": 1.0}, motion=Path("here/motion.npz"), device="cpu", tensorboard=False
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "unpaired"}, "mode was 'paired' when the run was started, and is 'unpaired' now"),
        ({"batch_size": 4}, "batch_size was 2 .* and is 4 now"),
        ({"seed": 1}, "seed was 0"),
        ({"optimizer": replace(CONFIG.optimizer, frozen_blocks=6)}, r"optimizer\.frozen_blocks was 0"),
        ({"network": replace(CONFIG.network, crop_size=96)}, r"network\.crop_size was 64"),
        ({"shares": {"mine": 2.0}}, "shares was {'mine': 1.0}"),
        ({"streams": {"far": "far.tar"}}, "streams was {}"),
        ({"motion": Path("here/other.npz")}, r"motion was 'motion\.npz'"),
        ({"body": "SMPL_NEUTRAL.pkl"}, "body was 'anny'"),
    ],
)
def test_another_training_is_not_gone_on_with(change, message):
    with pytest.raises(BadInputError, match=message):
        check_settings(Path(CHECKPOINT), settings_of(CONFIG, SESSION), settings_of(*changed(change)))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 9, "max_time": 60.0},
        {"checkpoint_interval": 1.0, "log_interval": 5, "picture_interval": 0, "loaders": 2},
        {"device": "cuda", "devices": 2, "strategy": "ddp", "nodes": 2, "precision": "bf16-mixed"},
        {"tensorboard": True, "shards": Path("moved"), "motion": Path("there/motion.npz")},
    ],
)
def test_length_and_machine_may_change(change):
    check_settings(Path(CHECKPOINT), settings_of(CONFIG, SESSION), settings_of(*changed(change)))


def changed(change: dict) -> tuple[TrainConfig, SessionConfig]:
    of_config = {name: value for name, value in change.items() if hasattr(CONFIG, name)}
    of_session = {name: value for name, value in change.items() if hasattr(SESSION, name)}
    return replace(CONFIG, **of_config), replace(SESSION, **of_session)


class Presses(Sink):
    """Ctrl-C, so many times, after the first step."""

    def __init__(self, times: int) -> None:
        self.times = times

    def advance(self, step: int, share: float) -> None:
        for _ in range(self.times if step == 1 else 0):
            os.kill(os.getpid(), signal.SIGINT)


def pressed(folder: Path, times: int, watch: Callable[[torch.nn.Module], dict[str, float]]) -> None:
    network = build_recovery(CONFIG.network, small_body())
    trainer = Trainer(
        Fabric(accelerator="cpu", devices=1), network, replace(CONFIG, steps=9), None, {"seed": 0}
    )
    mixture = Mixture([MadeSource("made", 9)], {"made": 1.0}, CONFIG.batch_size, seed=0)
    fit(trainer, mixture, folder, watch, [Presses(times)])


@pytest.fixture
def heard() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which shells take from the jobs in their background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_a_training_after_its_step_and_saves_it(tmp_path):
    with pytest.raises(Stopped, match="stopped at step 2; go on with --resume"):
        pressed(tmp_path, 1, lambda _: pytest.fail("who stops a training waits for no measurement"))
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert (state["progress"]["step"], state["settings"]) == (2, {"seed": 0})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("heard")
def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        pressed(tmp_path, 2, lambda _: {})
    assert caught.type is KeyboardInterrupt
    assert not (tmp_path / CHECKPOINT).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_hold_outs_are_measured_as_the_weights_will_be_used(tmp_path):
    write_shards([made_sample(n, 96, "mine") for n in range(2)], tmp_path / "shards", "mine")
    write_shards([made_sample(n, 96, "mine") for n in range(3)], tmp_path / "shards", "mine_held_out")
    write_body(small_body(), tmp_path / "body.safetensors")
    session = replace(
        SESSION, shards=tmp_path / "shards", out=tmp_path / "run", motion=None,
        body=str(tmp_path / "body.safetensors"),
    )  # fmt: skip
    figures = train(replace(CONFIG, mode="no-prior", steps=1), session)

    network = load_recovery(tmp_path / "run" / WEIGHTS, small_body())
    assert network.refinements
    held_out = ShardSource("mine_held_out", [tmp_path / "shards" / "mine_held_out-00000.tar"])
    assert figures == pytest.approx(HoldOutWatch([held_out], CONFIG.network.crop_size)(network), rel=1e-4)
