"""One test that guards the whole wiring, and what each mode may look at."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humanmesh.data.shards import write_shards
from humanmesh.files.body_models import write_body
from humanmesh.files.checkpoints import load_checkpoint
from humanmesh.training.config import PRESETS, SessionConfig, TrainConfig
from humanmesh.training.session import fastest_precision, train
from made_body import made_body
from made_samples import made_sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")

MODES = ("paired", "unpaired", "no-prior", "no-prior-paired")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    write_shards([made_sample(n, 96, "mine") for n in range(4)], folder / "shards", "mine")
    write_shards([made_sample(n, 96, "mine") for n in range(2)], folder / "shards", "mine_held_out")
    write_body(made_body(), folder / "body.safetensors")
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


@pytest.mark.parametrize(
    ("capability", "accelerator", "expected"),
    [
        ("AVX2", "cpu", "32-true"),
        ("AVX2", "auto", "32-true"),
        ("AVX512", "auto", "bf16-mixed"),
        ("AVX512", "cpu", "bf16-mixed"),
        ("AVX512", "mps", "32-true"),
    ],
)
def test_bfloat16_is_chosen_only_where_the_processor_computes_it(
    monkeypatch, capability, accelerator, expected
):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert fastest_precision(accelerator) == expected


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_a_gpu_is_asked_whether_it_has_bfloat16_itself(monkeypatch, has_bfloat16):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert fastest_precision("auto") == ("bf16-mixed" if has_bfloat16 else "32-true")
