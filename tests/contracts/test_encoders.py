"""One battery for every encoder."""

import pytest
import torch

from humanmesh.network.encoder import ENCODERS, PYRAMID_CHANNELS, Encoder, EncoderOutput, build_encoder

SIDE = 64


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_encoder(request.param, person_heads=True)


def crops(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def tensors(output: EncoderOutput) -> list[torch.Tensor]:
    values = [output.pooled, output.features, output.heatmaps, output.center_heatmap, output.center_offsets]
    assert all(value is not None for value in values)
    return values  # type: ignore[return-value]


def test_maps_have_stride_four_and_the_promised_channels(encoder: Encoder) -> None:
    pooled, features, heatmaps, centers, offsets = tensors(encoder.eval()(crops()))
    assert pooled.shape == (2, encoder.channels)
    assert features.shape == (2, PYRAMID_CHANNELS, SIDE // 4, SIDE // 4)
    assert heatmaps.shape == (2, 19, SIDE // 4, SIDE // 4)
    assert centers.shape == (2, 1, SIDE // 4, SIDE // 4)
    assert offsets.shape == (2, 34, SIDE // 4, SIDE // 4)


def test_a_crop_need_not_be_square(encoder: Encoder) -> None:
    output = encoder.eval()(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    assert output.heatmaps.shape == (1, 19, 16, 24)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_without_a_pyramid_only_the_pooled_features_remain(name: str) -> None:
    output = build_encoder(name, pyramid=False).eval()(crops())
    assert output.features is None
    assert output.heatmaps is None
    assert output.pooled.shape[0] == 2


def test_gradients_reach_every_parameter(encoder: Encoder) -> None:
    sum(value.square().mean() for value in tensors(encoder.train()(crops(3)))).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_eval_mode_gives_the_same_answer_twice(encoder: Encoder) -> None:
    encoder.eval()
    for first, second in zip(tensors(encoder(crops())), tensors(encoder(crops())), strict=True):
        assert torch.equal(first, second)


def test_a_batch_gives_what_its_crops_give_one_by_one(encoder: Encoder) -> None:
    encoder.eval()
    batch = crops(3)
    together = tensors(encoder(batch))
    for row in range(3):
        for whole, alone in zip(together, tensors(encoder(batch[row : row + 1])), strict=True):
            scale = whole.detach().abs().max() + 1e-6
            assert torch.allclose(whole[row] / scale, alone[0] / scale, atol=1e-5)


def test_memory_layout_does_not_change_the_answer(encoder: Encoder) -> None:
    encoder.eval()
    plain = tensors(encoder(crops()))
    encoder.to(memory_format=torch.channels_last)
    for first, second in zip(
        plain, tensors(encoder(crops().to(memory_format=torch.channels_last))), strict=True
    ):
        scale = first.detach().abs().max() + 1e-6
        assert torch.allclose(first / scale, second / scale, atol=1e-5)


def test_bfloat16_stays_near_float32(encoder: Encoder) -> None:
    encoder.eval()
    exact = encoder(crops()).pooled
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(crops()).pooled.float()
    # Some fifty layers round to 2^-9 each; the widest encoder of random weights comes to 0.053.
    assert (rounded - exact).norm() < 0.08 * exact.norm()


def test_a_black_and_a_white_crop_differ(encoder: Encoder) -> None:
    encoder.eval()
    black, white = encoder(torch.zeros(1, 3, SIDE, SIDE)), encoder(torch.ones(1, 3, SIDE, SIDE))
    assert not torch.allclose(black.pooled, white.pooled, rtol=0.05)
