"""The converter of TensorFlow.js models: names, and kernels that convolve as TensorFlow's own layout says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
import movenet_from_tfjs

GRAPH = "StatefulPartitionedCall/"
TRUNK = GRAPH + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
NAMES = {
    TRUNK + "model/block_1_expand/Conv2D_weights": ("block_1_expand.weight", (1, 1, 2, 3)),
    TRUNK + "model/block_1_expand/Conv2D_bn_offset": ("block_1_expand.bias", (3,)),
    TRUNK + "model/Conv1/Conv2D_weights": ("Conv1.weight", (3, 3, 2, 4)),
    TRUNK + "model/block_1_depthwise/depthwise_weights": ("block_1_depthwise.weight", (3, 3, 3, 1)),
    TRUNK + "conv2d_1/Conv2D/ReadVariableOp": ("conv2d_1.weight", (1, 1, 3, 2)),
    TRUNK + "conv2d_1/BiasAdd/ReadVariableOp": ("conv2d_1.bias", (2,)),
    TRUNK + "separable_conv2d/separable_conv2d/ReadVariableOp": (
        "separable_conv2d/separable_conv2d/depthwise1.weight", (3, 3, 2, 1),
    ),
    TRUNK + "separable_conv2d/separable_conv2d_weights": (
        "separable_conv2d/separable_conv2d.weight", (1, 1, 2, 3),
    ),
    GRAPH + "kpt_heatmap_0/separable_conv2d_4/BiasAdd/ReadVariableOp": (
        "kpt_heatmap_0/separable_conv2d_4/separable_conv2d.bias", (3,),
    ),
}  # fmt: skip


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)
    return {name: chance.normal(size=shape).astype(np.float16) for name, (_, shape) in NAMES.items()}


@pytest.fixture
def converted(arrays: dict[str, np.ndarray], tmp_path: Path) -> dict[str, torch.Tensor]:
    entries = [
        {"name": name, "shape": list(value.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, value in arrays.items()
    ]
    step = {"name": GRAPH + "strided_slice/stack", "shape": [2], "dtype": "int32"}
    manifest = {"weightsManifest": [{"paths": ["model.bin"], "weights": [step, *entries]}]}
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    data = np.zeros(2, "<i4").tobytes() + b"".join(value.tobytes() for value in arrays.values())
    (tmp_path / "model.bin").write_bytes(data)
    out = tmp_path / "model.safetensors"
    movenet_from_tfjs.main(movenet_from_tfjs.Arguments(tmp_path / "model.json", out))
    return {name: value.float() for name, value in load_file(out).items()}


def test_every_layer_gets_the_name_that_load_movenet_asks_for(converted):
    zero_bias = "separable_conv2d/separable_conv2d/depthwise1.bias"
    assert set(converted) == {name for name, _ in NAMES.values()} | {zero_bias}
    assert torch.equal(converted[zero_bias], torch.zeros(2))


def test_kernels_convolve_as_tensorflows_layout_says(arrays, converted):
    picture = np.random.default_rng(1).normal(size=(3, 3, 2)).astype(np.float32)
    kernel = arrays[TRUNK + "model/Conv1/Conv2D_weights"].astype(np.float32)
    by_hand = np.einsum("hwi,hwio->o", picture, kernel)  # TensorFlow: height, width, in, out
    ours = F.conv2d(torch.from_numpy(picture).permute(2, 0, 1)[None], converted["Conv1.weight"])
    assert np.allclose(ours.flatten(), by_hand, atol=1e-5)


def test_depthwise_kernels_filter_each_channel_for_itself(arrays, converted):
    picture = np.random.default_rng(1).normal(size=(3, 3, 3)).astype(np.float32)
    kernel = arrays[TRUNK + "model/block_1_depthwise/depthwise_weights"].astype(np.float32)
    by_hand = np.einsum("hwi,hwi->i", picture, kernel[..., 0])
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    ours = F.conv2d(pixels, converted["block_1_depthwise.weight"], groups=3)
    assert np.allclose(ours.flatten(), by_hand, atol=1e-5)
