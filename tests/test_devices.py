"""What runs on a processor runs on a GPU and says the same: on one that is pretended, where a tensor left behind is an error."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.accelerators import CPUAccelerator
from lightning.fabric.strategies import SingleDeviceStrategy

from humanmesh.body.model import BodyModel
from humanmesh.cli.commands import main
from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool
from humanmesh.data.synthetic import SyntheticConfig, prepare_assets, synthesize
from humanmesh.data.synthetic_painting import PaintConfig
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.data.synthetic_scene import Pictures
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.inference import load
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from humanmesh.training.config import HMR, MODERN
from humanmesh.training.labelling import LabelReport, with_fitted_labels
from humanmesh.training.trainer import Trainer
from made_bodies import small_body
from made_rendered import write_rendered
from made_samples import MadeSource
from pretended_gpu import GpuGenerator, pretended_gpu, register

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "photo.jpg"


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """A process that has the GPU: PyTorch would tell all other tests of it."""
    with ProcessPoolExecutor(1, get_context("spawn"), register) as executor:
        yield executor


@pytest.fixture
def on_both(process):
    """The answers of the processor and of the GPU."""

    def answers(answer: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        return process.submit(_on_both, answer, *arguments).result()

    return answers


def _on_both(answer: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    with pretended_gpu() as gpu:
        there = answer(gpu, *arguments)
    return answer(torch.device("cpu"), *arguments), there


def test_the_pretended_gpu_refuses_tensors_of_two_devices(process):
    process.submit(_mix_devices).result()


def _mix_devices() -> None:
    with pretended_gpu() as gpu:
        here, there = torch.ones(3), torch.ones(3, device=gpu)
        assert there.device == gpu
        assert (here.to(gpu) + there).tolist() == [2.0, 2.0, 2.0]
        assert (there * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]
        assert there[torch.tensor([2])].tolist() == there[[2]].tolist() == [1.0]
        with pytest.raises(RuntimeError, match="one device"):
            here + there
        with pytest.raises(RuntimeError, match="one device"):
            here[torch.zeros(2, dtype=torch.long, device=gpu)]
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def test_photos_give_the_same_people(on_both):
    for here, there in zip(*on_both(_vertices), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-5)


def _vertices(device: torch.device) -> list[np.ndarray]:
    recoverer = load(device=device)
    person = recoverer.recover(PHOTO)[0]
    keypoints = person.keypoints_2d("coco17")
    (told,) = recoverer.recover_keypoints(PHOTO, keypoints[None])
    return [person.vertices, told.vertices, recoverer.refine(person, keypoints).vertices]


class _AnyDevice(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Take every one."""


TRAININGS = {
    "hmr": replace(HMR, network=RecoveryConfig("resnet18", "hmr", "axis_angle", 3, 64)),
    "modern": replace(MODERN, network=replace(MODERN.network, crop_size=64)),
}


@pytest.mark.parametrize("training", TRAININGS)
def test_training_takes_the_same_steps(on_both, training):
    here, there = on_both(_losses, training)
    assert there == pytest.approx(here, rel=1e-4)


def _losses(device: torch.device, training: str) -> list[float]:
    config = replace(TRAININGS[training], batch_size=4, steps=2, max_time=None, precision="32-true")
    mixture = Mixture([MadeSource("made", 9)], {"made": 1.0}, config.batch_size, seed=0)
    pool = BodyPool(torch.zeros(5, 72), torch.full((5,), 0.2))
    torch.manual_seed(0)
    fabric = Fabric(strategy=SingleDeviceStrategy(device, _AnyDevice()))
    trainer = Trainer(fabric, build_recovery(config.network, small_body()), config, pool)
    return [float(trainer.step(mixture[number]).figures["loss"]) for number in range(2)]


def test_packed_people_get_the_same_labels(on_both):
    for here, there in zip(*on_both(_labels), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-4)


def _labels(device: torch.device) -> list[np.ndarray]:
    path = weights_path("default")
    network, crop_size = load_recovery(path, load_body_data("anny")), load_checkpoint(path).config.crop_size
    source = MadeSource("made", 3, known_3d=False)
    with patch.multiple(
        "humanmesh.training.labelling", NEAR=3.0, FAR=9.0
    ):  # what chance has drawn no body meets
        samples = list(with_fitted_labels(source, network.to(device), crop_size, LabelReport()))
    assert all(sample.weights_3d.any() for sample in samples)
    return [np.c_[sample.keypoints_3d, sample.weights_3d] for sample in samples]


def test_rendered_people_are_the_same(on_both):
    here, there = on_both(_images)
    np.testing.assert_array_equal(there, here)


def _images(device: torch.device) -> np.ndarray:
    chance = torch.Generator().manual_seed(0)
    poses = PoseLibrary(0.3 * torch.randn(20, 72, generator=chance), torch.ones(20))
    pixels = torch.randint(256, (4, 3, 32, 32), generator=chance, dtype=torch.uint8)
    pictures = Pictures(pixels, torch.ones(4))
    assets = prepare_assets(load_body_data("anny").to(device=str(device)), poses, pictures, pictures)
    config = SyntheticConfig(painting=PaintConfig(size=64, supersampling=2), holding_share=1.0)
    drawn = torch.Generator() if device.type == "cpu" else GpuGenerator()
    return synthesize(2, assets, config, drawn.manual_seed(1)).images.cpu().numpy()


def test_evaluation_measures_the_same(on_both, tmp_path, weights):
    write_rendered(tmp_path / "part_000.pt", BodyModel(load_body_data("anny")))
    here, there = on_both(_figures, tmp_path, weights)
    assert there == pytest.approx(here, rel=1e-4)


def _figures(device: torch.device, data: Path, weights: Path) -> dict[str, float]:
    options = ["--protocol", "synthetic", "--data", str(data), "--weights", str(weights)]
    with redirect_stdout(StringIO()) as printed:
        assert main(["evaluate", *options, "--device", str(device), "--json"]) == 0
    found = json.loads(printed.getvalue())
    return {figure["name"]: figure["value"] for figure in found["figures"] + found["plausibility"]}
