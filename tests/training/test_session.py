"""One test that guards the whole wiring, and what each mode may look at."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from humanmesh.data.shards import write_shards
from humanmesh.errors import BadInputError
from humanmesh.files.body_models import write_body
from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint
from humanmesh.network.recovery import build_recovery
from humanmesh.training.config import PRESETS, SessionConfig, TrainConfig
from humanmesh.training.session import ENCODER_STARTS, fastest_precision, prepare, train
from made_bodies import small_body
from made_samples import made_sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")

MODES = ("paired", "unpaired", "no-prior", "no-prior-paired")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    write_shards([made_sample(n, 96, "mine") for n in range(4)], folder / "shards", "mine")
    write_shards([made_sample(n, 96, "mine") for n in range(2)], folder / "shards", "mine_held_out")
    write_body(small_body(), folder / "body.safetensors")
    np.savez(folder / "motion.npz", pose=np.zeros((4, 72), np.float32), clip=np.zeros(4, np.int32))
    return folder


def session(files: Path, out: Path) -> SessionConfig:
    return SessionConfig(
        files / "shards", out, motion=files / "motion.npz", body=str(files / "body.safetensors"), device="cpu",
        tensorboard=False,
    )  # fmt: skip


def small(preset: TrainConfig) -> TrainConfig:
    network = replace(preset.network, crop_size=64)
    return replace(preset, network=network, batch_size=2, steps=2, max_time=None, log_interval=1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_trains_in_every_mode(files, tmp_path, preset, mode):
    config = replace(small(PRESETS[preset]), mode=mode)
    figures = train(config, session(files, tmp_path))
    assert all(math.isfinite(value) for value in figures.values())
    assert load_checkpoint(tmp_path / "weights.safetensors").config == config.network


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    network = small(PRESETS["modern"]).network
    save_checkpoint(
        tmp_path / "trained.safetensors", network, build_recovery(network, small_body()).state_dict()
    )
    return tmp_path / "trained.safetensors"


def started(
    files: Path, out: Path, encoder: str, weights: Path, encoder_weights: Path | None
) -> dict[str, Tensor]:
    config = small(PRESETS["modern"])
    config = replace(config, network=replace(config.network, encoder=encoder))
    start = replace(session(files, out), weights=str(weights), encoder_weights=encoder_weights)
    return prepare(config, start).trainer.plain_network.state_dict()


def test_an_encoder_may_start_apart_from_the_regressor(files, tmp_path, trained, monkeypatch):
    def zeros(_: Path, encoder: nn.Module) -> None:
        encoder.load_state_dict({
            name: torch.zeros_like(value) for name, value in encoder.state_dict().items()
        })

    monkeypatch.setitem(ENCODER_STARTS, "mobilenet_v2_175_fpn", zeros)
    state = started(files, tmp_path, "mobilenet_v2_175_fpn", trained, tmp_path / "encoder.safetensors")
    before = load_checkpoint(trained).state
    for name, value in state.items():
        expected = before[name] if name.startswith("regressor.") else torch.zeros_like(value)
        assert torch.equal(value, expected), name


def test_weights_of_another_encoder_are_refused(files, tmp_path, trained):
    with pytest.raises(BadInputError, match="choose another preset or encoder"):
        started(files, tmp_path, "mobilenet_v2_175_fpn", trained, None)


@pytest.mark.parametrize(
    ("has_bfloat16", "accelerator", "expected"),
    [
        (False, "cpu", "32-true"),
        (False, "auto", "32-true"),
        (True, "auto", "bf16-mixed"),
        (True, "cpu", "bf16-mixed"),
        (True, "mps", "32-true"),
    ],
)
def test_bfloat16_is_chosen_only_where_the_processor_computes_it(
    monkeypatch, has_bfloat16, accelerator, expected
):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": has_bfloat16}, raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert fastest_precision(accelerator) == expected


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_a_gpu_is_asked_whether_it_has_bfloat16_itself(monkeypatch, has_bfloat16):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert fastest_precision("auto") == ("bf16-mixed" if has_bfloat16 else "32-true")
