"""The loop: a resumed run is the uninterrupted one, and checkpoints are whole."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

from humanmesh.data.dataset import Batch
from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool
from humanmesh.errors import BadInputError
from humanmesh.files.checkpoints import load_checkpoint
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from humanmesh.training.config import MODERN, TrainConfig
from humanmesh.training.loop import CHECKPOINT, WEIGHTS, fit
from humanmesh.training.step import DivergedError
from humanmesh.training.trainer import Trainer
from made_bodies import small_body
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
    network = build_recovery(config.network, small_body())
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


def test_a_full_disk_is_one_sentence_and_leaves_no_half_checkpoint(tmp_path, monkeypatch):
    run = trainer()

    def full(state: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nframe #0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BadInputError, match=r"Cannot write .*checkpoint\.pt: \[enforce fail") as caught:
        run.save(tmp_path / CHECKPOINT)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", -5), ("max_time", 0.0), ("max_time", math.nan), ("max_time", math.inf),
        ("checkpoint_interval", math.nan), ("checkpoint_interval", -1.0),
    ],
)  # fmt: skip
def test_a_training_that_would_not_end_or_never_save_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        replace(CONFIG, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", math.nan), ("discriminator_learning_rate", math.inf), ("encoder_learning_rate", 0.0),
        ("gradient_norm", -1.0), ("ema_decay", 1.0), ("ema_decay", math.nan),
    ],
)  # fmt: skip
def test_step_sizes_that_teach_nothing_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        replace(CONFIG.optimizer, **{name: value})


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


@pytest.mark.parametrize("objective", ["hmr", "modern"])
@pytest.mark.parametrize("mode", ["unpaired", "no-prior"])
def test_a_mode_without_3d_never_looks_at_3d_labels(mode, objective):
    def figures(change: Callable[[Tensor], Tensor]) -> dict[str, float]:
        run = trainer(replace(CONFIG, mode=mode, objective=objective))
        last = [run.step(with_3d(mixture()[number], change)) for number in range(2)][-1]
        return {name: value.sum().item() for name, value in last.figures.items()}

    as_it_is = figures(lambda labels: labels)
    assert figures(lambda labels: 7 * labels.flip(0) + 1) == as_it_is
    assert figures(lambda labels: torch.full_like(labels, torch.nan)) == as_it_is


def with_3d(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    names = ("keypoints_3d", "weights_3d", "rotations", "pose_weights", "shapes", "shape_weights")
    return replace(batch, **{name: change(getattr(batch, name)) for name in names})


def test_frozen_blocks_keep_their_weights_and_the_next_one_moves():
    run = trainer(replace(CONFIG, optimizer=replace(CONFIG.optimizer, frozen_blocks=6)))
    encoder = run.plain_network.encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    for number in range(2):
        run.step(mixture()[number])
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("stem.", *(f"blocks.{number}." for number in range(6)))
    assert not any(name.startswith(frozen) for name in moved)
    assert {"blocks.6.expand.weight", "last.weight"} <= moved


def test_a_batch_with_a_label_that_is_no_number_is_refused_before_the_weights_move():
    run = trainer()
    before = [p.clone() for p in run.plain_network.parameters()]
    batch = mixture()[0]
    batch.shapes[2, 0] = torch.nan
    with pytest.raises(DivergedError, match=f"The shape is nan on a batch with {batch.records[2]}. Lower"):
        run.step(batch)
    assert all(torch.equal(a, b) for a, b in zip(run.plain_network.parameters(), before, strict=True))


def test_a_gradient_that_is_no_number_is_refused_before_the_weights_move():
    run = trainer()
    run.plain_network.regressor.fc3.weight.register_hook(lambda gradient: gradient * torch.nan)
    before = [p.clone() for p in run.plain_network.parameters()]
    with pytest.raises(DivergedError, match="gradient norm"):
        run.step(mixture()[0])
    assert all(torch.equal(a, b) for a, b in zip(run.plain_network.parameters(), before, strict=True))


def test_gradients_are_shortened_to_the_configured_norm():
    run = trainer(replace(CONFIG, optimizer=replace(CONFIG.optimizer, gradient_norm=0.01)))
    figures = run.step(mixture()[0]).figures
    parts = torch.stack([figures["gradient_norm_encoder"], figures["gradient_norm_regressor"]])
    torch.testing.assert_close(parts.norm(), figures["gradient_norm"])
    left = torch.stack([p.grad.norm() for p in run.plain_network.parameters() if p.grad is not None]).norm()
    assert figures["gradient_norm"] > 0.01
    assert left.item() == pytest.approx(0.01, rel=1e-4)


def test_a_restored_optimizer_keeps_the_configured_settings(tmp_path):
    first = trainer()
    first.step(mixture()[0])
    first.save(tmp_path / CHECKPOINT)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group |= {"fused": False, "weight_decay": 0.5, "full_rate": 1.0}
    torch.save(state, tmp_path / CHECKPOINT)

    second = trainer()
    wanted = [(g["fused"], g["weight_decay"], g["full_rate"]) for g in second.optimizer.param_groups]
    second.restore(tmp_path / CHECKPOINT)
    found = [(g["fused"], g["weight_decay"], g["full_rate"]) for g in second.optimizer.param_groups]
    assert found == wanted
    assert found[0][0] is True
    assert len(second.optimizer.state_dict()["state"]) == len(first.optimizer.state_dict()["state"])
    second.step(mixture()[1])


def test_what_is_released_is_the_moving_average(tmp_path):
    run = trainer(replace(CONFIG, optimizer=replace(CONFIG.optimizer, warmup_steps=0, ema_decay=0.75)))
    weights = []
    for number in range(2):
        run.step(mixture()[number])
        weights.append(run.plain_network.regressor.fc3.weight.detach().clone())
    run.save_weights(tmp_path / WEIGHTS)
    released = load_checkpoint(tmp_path / WEIGHTS).state["regressor.fc3.weight"]
    # The average starts at the weights after the first step.
    torch.testing.assert_close(released, 0.75 * weights[0] + 0.25 * weights[1], atol=1e-6, rtol=0)
    assert (weights[1] - weights[0]).abs().max() > 1e-4


def test_step_sizes_rise_to_the_full_ones_and_fall_to_a_hundredth():
    settings = replace(CONFIG.optimizer, warmup_steps=10, cosine=True)
    run = trainer(replace(CONFIG, steps=100, optimizer=settings))
    full = (settings.encoder_learning_rate, settings.learning_rate, settings.discriminator_learning_rate)
    for done, factor in ((0, 0.1), (50, 0.505), (100, 0.01)):
        run.progress.step = done
        run.step(mixture()[0])
        groups = [*run.optimizer.param_groups, *run.discriminator_optimizer.param_groups]
        assert [group["lr"] for group in groups] == pytest.approx([factor * rate for rate in full])


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    trainer().save(tmp_path / CHECKPOINT)
    other = trainer(replace(CONFIG, network=RecoveryConfig(rotation="axis_angle", crop_size=64)))
    with pytest.raises(BadInputError, match="does not fit this training"):
        other.restore(tmp_path / CHECKPOINT)


def test_weights_are_written_at_every_checkpoint(tmp_path):
    seen = []

    def watch(network: torch.nn.Module) -> dict[str, float]:
        seen.append(load_checkpoint(tmp_path / WEIGHTS).notes["steps"])
        return {}

    fit(trainer(replace(CONFIG, steps=2, checkpoint_interval=0.0)), mixture(), tmp_path, watch)
    assert seen == ["1", "2", "2"]
