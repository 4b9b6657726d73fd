"""The loop: a resumed run is the uninterrupted one, and checkpoints are whole."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric

from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from humanmesh.training.config import MODERN, TrainConfig
from humanmesh.training.loop import CHECKPOINT, WEIGHTS, Trainer, fit
from made_body import made_body
from made_samples import MadeSource

CONFIG = replace(
    MODERN,
    network=RecoveryConfig(crop_size=64),
    batch_size=4,
    steps=4,
    max_time=None,
    log_interval=1,
    precision="32-true",
)
POOL = BodyPool(torch.zeros(5, 72), torch.full((5,), 0.2))

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


def trainer(config: TrainConfig = CONFIG) -> Trainer:
    torch.manual_seed(0)
    network = build_recovery(config.network, made_body())
    return Trainer(Fabric(accelerator="cpu", devices=1), network, config, POOL)


def mixture() -> Mixture:
    return Mixture([MadeSource("made", 9)], {"made": 1.0}, CONFIG.batch_size, seed=0)


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(tmp_path):
    uninterrupted = trainer()
    torch.manual_seed(1)
    fit(uninterrupted, mixture(), tmp_path / "whole")

    first, data = trainer(), mixture()
    torch.manual_seed(1)
    for number in range(2):
        first.step(data[number])
    first.save(tmp_path / CHECKPOINT)

    second = trainer()
    second.restore(tmp_path / CHECKPOINT)
    assert second.progress.step == 2
    fit(second, mixture(), tmp_path / "resumed")
    whole, resumed = losses(tmp_path / "whole"), losses(tmp_path / "resumed")
    assert set(resumed) == {3, 4}
    assert resumed == {step: whole[step] for step in resumed}


def test_a_run_leaves_a_whole_checkpoint_and_nothing_beside(tmp_path):
    fit(trainer(replace(CONFIG, steps=1)), mixture(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, WEIGHTS, "metrics.jsonl"}
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["progress"]["step"] == 1


def test_an_interrupted_save_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    run = trainer()
    run.save(tmp_path / CHECKPOINT)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def cut_short(state: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run.save(tmp_path / CHECKPOINT)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_step_moves_every_part_of_both_networks():
    run = trainer()
    before = [p.clone() for p in (*run.plain_network.parameters(), *run.discriminator.parameters())]
    run.step(mixture()[0])
    after = [*run.plain_network.parameters(), *run.discriminator.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert sum(moved) / len(moved) > 0.95


def test_the_run_ends_when_its_time_is_up(tmp_path):
    run = trainer(replace(CONFIG, steps=None, max_time=1e-6))
    fit(run, mixture(), tmp_path)
    assert run.progress.step == 1
