import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.checkpoints import (
    load_checkpoint,
    load_imagenet,
    load_movenet,
    load_recovery,
    save_checkpoint,
)
from humanmesh.network.encoder import BasicBlock, MobileNetV2, ResNet
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from made_bodies import small_body

CONFIG = RecoveryConfig(rounds=2)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build_recovery(CONFIG, small_body()).state_dict()


@pytest.fixture
def saved(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, CONFIG, state, notes={"data": "none", "steps": "0"})
    return path


def test_others_may_read_a_checkpoint_as_they_may_any_new_file(tmp_path: Path) -> None:
    plain, weights = tmp_path / "plain", tmp_path / "weights.safetensors"
    plain.touch()
    save_checkpoint(weights, CONFIG, {"a": torch.zeros(2, 2)})
    assert weights.stat().st_mode == plain.stat().st_mode


def test_what_was_saved_comes_back(saved: Path, state: dict[str, torch.Tensor]) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.config == CONFIG
    assert checkpoint.notes == {"data": "none", "steps": "0"}
    assert checkpoint.state.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in checkpoint.state.items())


def test_large_kernels_kept_as_int8_are_right_to_half_a_step_of_their_channel(tmp_path: Path) -> None:
    chance = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1e-3, 1, 1e3, 0, 1, 1]).view(-1, 1, 1, 1)
    kernel = torch.randn(6, 700, 3, 3, generator=chance) * sizes
    state = {"kernel": kernel, "bias": torch.randn(6, generator=chance), "count": torch.tensor(3)}
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, CONFIG, state, matrix_dtype=torch.int8)
    assert load_file(path)["kernel"].dtype == torch.int8
    found = load_checkpoint(path).state
    assert found.keys() == state.keys()
    assert torch.equal(found["bias"], state["bias"])
    assert torch.equal(found["count"], state["count"])
    half_step = kernel.abs().amax((1, 2, 3), keepdim=True) / 127 / 2
    assert bool(((found["kernel"] - kernel).abs() <= half_step * 1.002).all())


def test_small_kernels_are_kept_as_float16_among_large_ones_as_int8(tmp_path: Path) -> None:
    state = {"depthwise": torch.rand(960, 1, 3, 3), "matrix": torch.rand(256, 128), "bias": torch.rand(4)}
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, CONFIG, state, matrix_dtype=torch.int8)
    kept = {name: value.dtype for name, value in load_file(path).items()}
    assert (kept["depthwise"], kept["matrix"], kept["bias"]) == (torch.float16, torch.int8, torch.float32)
    assert torch.equal(load_checkpoint(path).state["depthwise"], state["depthwise"].half().float())


def test_the_loaded_network_answers_as_the_saved_one(tmp_path: Path) -> None:
    network = build_recovery(CONFIG, small_body()).eval()
    save_checkpoint(tmp_path / "a.safetensors", CONFIG, network.state_dict())
    loaded = load_recovery(tmp_path / "a.safetensors", small_body())
    crops = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    assert torch.equal(loaded(crops).last.keypoints_2d, network(crops).last.keypoints_2d)


def test_float16_halves_the_file_and_keeps_vectors_exact(saved: Path, state: dict[str, torch.Tensor]) -> None:
    half = saved.with_name("half.safetensors")
    save_checkpoint(half, CONFIG, state, matrix_dtype=torch.float16)
    assert half.stat().st_size < 0.52 * saved.stat().st_size
    back = load_checkpoint(half).state
    for name, value in state.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value) or value.dim() > 1
        assert torch.allclose(back[name], value, rtol=1e-3, atol=1e-6)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match=r"nothing\.safetensors"):
        load_checkpoint(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"hello, this is a text file and no network"])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"network\.safetensors should be a safetensors file"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused_by_name(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(BadInputError, match=r"network\.safetensors"):
        load_checkpoint(saved)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError):
        load_checkpoint(tmp_path)


def rewritten(path: Path, state: dict[str, torch.Tensor], **changes: str) -> Path:
    metadata = {"format": "humanmesh-recovery-1", "config": '{"rounds": 2}', "notes": "{}"} | changes
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata)
    return path


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"format": "humanmesh-body-1"}, "humanmesh-body-1"),
        ({"config": "{"}, "configuration"),
        ({"config": "[1]"}, "configuration"),
        ({"config": '{"depth": 3}'}, "unknown setting depth"),
        ({"config": '{"encoder": "vgg"}'}, "vgg"),
        ({"config": '{"rounds": 0}'}, "rounds must be at least 1"),
        ({"config": '{"rounds": "two"}'}, "configuration"),
        ({"notes": "?"}, "configuration"),
    ],
)
def test_bad_metadata_is_refused_with_what_was_found(
    tmp_path: Path, state: dict[str, torch.Tensor], changes: dict[str, str], found: str
) -> None:
    path = rewritten(
        tmp_path / "network.safetensors", {"regressor.fc3.bias": state["regressor.fc3.bias"]}, **changes
    )
    with pytest.raises(BadInputError, match=found):
        load_checkpoint(path)


def test_a_tensor_too_few_or_of_another_size_is_refused_by_name(tmp_path: Path, state: dict) -> None:
    few = {name: value for name, value in state.items() if name != "regressor.fc3.bias"}
    with pytest.raises(BadInputError, match=r"regressor\.fc3\.bias"):
        load_recovery(rewritten(tmp_path / "few.safetensors", few), small_body())
    other = state | {"regressor.fc3.bias": torch.zeros(3)}
    with pytest.raises(BadInputError, match=r"regressor\.fc3\.bias"):
        load_recovery(rewritten(tmp_path / "other.safetensors", other), small_body())


def test_a_save_that_fails_leaves_the_old_file(
    saved: Path, state: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("humanmesh.files.checkpoints.save", fail)
    with pytest.raises(BadInputError, match="No space left"):
        save_checkpoint(saved, CONFIG, state)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def small_resnet() -> ResNet:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ResNet(BasicBlock, (1, 1, 1, 1))


def classifier() -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imagenet_weights_fill_the_trunk_and_leave_the_neck(tmp_path: Path, suffix: str) -> None:
    published, encoder = small_resnet(), small_resnet()
    torch.nn.init.ones_(published.bn1.running_mean)
    trunk = {name: value for name, value in published.state_dict().items() if not name.startswith("neck.")}
    path = tmp_path / f"resnet{suffix}"
    (torch.save if suffix == ".pth" else save_file)(trunk | classifier(), path)
    neck = {name: value.clone() for name, value in encoder.state_dict().items() if name.startswith("neck.")}
    load_imagenet(path, encoder)
    after = encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in (trunk | neck).items())


def test_imagenet_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(classifier(), tmp_path / "other.safetensors")
    with pytest.raises(BadInputError, match=r"other\.safetensors does not fit"):
        load_imagenet(tmp_path / "other.safetensors", small_resnet())


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pth_file_that_calls_something_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"conv1.weight": Trap(tmp_path / "sprung")}, 2))
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "zipped.pth")
    for name in ("trap.pth", "zipped.pth"):
        with pytest.raises(BadInputError, match=name):
            load_imagenet(tmp_path / name, small_resnet())
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"nothing that torch has saved"])
def test_a_pth_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(BadInputError, match=r"a\.pth"):
        load_imagenet(tmp_path / "a.pth", small_resnet())


def test_a_pth_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(BadInputError, match="tensors by name"):
        load_imagenet(tmp_path / "a.pth", small_resnet())


def test_weights_that_are_not_movenets_are_refused_with_the_first_that_lacks(tmp_path: Path) -> None:
    save_file(classifier(), tmp_path / "other.safetensors")
    with pytest.raises(BadInputError, match=r"Conv1\.weight"):
        load_movenet(tmp_path / "other.safetensors", MobileNetV2())


@pytest.mark.data
def test_movenet_fills_every_tensor_and_none_of_its_own_is_left_but_the_fine_offsets(
    shared_data: Path,
) -> None:
    path = shared_data / "weights" / "movenet_lightning.safetensors"
    encoder = MobileNetV2(person_heads=True)
    load_movenet(path, encoder)
    numbers = sum(value.numel() for value in encoder.parameters())
    file = load_file(path)
    offsets = sum(value.numel() for name, value in file.items() if name.startswith("kpt_offset_0"))
    new_keypoints = 2 * (96 + 1)  # neck and head top
    assert numbers - new_keypoints == sum(value.numel() for value in file.values()) - offsets
