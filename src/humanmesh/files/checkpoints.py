"""Weights on disk: safetensors with the network's configuration inside. Loading runs no code."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.network.encoder import MobileNetV2

_MOVENET_TRUNK = {"stem": "Conv1", "last": "Conv_1"}
_MOVENET_PYRAMID = {
    "neck.pyramid.top": "conv2d",
    "neck.pyramid.laterals.2": "conv2d_1",
    "neck.pyramid.laterals.1": "conv2d_2",
    "neck.pyramid.laterals.0": "conv2d_3",
    "neck.pyramid.smooths.2.0": "separable_conv2d/separable_conv2d/depthwise1",
    "neck.pyramid.smooths.2.1": "separable_conv2d/separable_conv2d",
    "neck.pyramid.smooths.1.0": "separable_conv2d_1/separable_conv2d/depthwise1",
    "neck.pyramid.smooths.1.1": "separable_conv2d_1/separable_conv2d",
    "neck.pyramid.smooths.0.0": "separable_conv2d_2/separable_conv2d/depthwise",
    "neck.pyramid.smooths.0.1": "separable_conv2d_2/separable_conv2d",
}
_MOVENET_HEADS = {
    "neck.keypoint_head": (
        "kpt_heatmap_0/separable_conv2d_4/separable_conv2d",
        "/depthwise",
        "kpt_heatmap_0/conv2d_5",
    ),
    "neck.center_head": ("center_0/separable_conv2d_3/separable_conv2d", "/depthwise", "center_0/conv2d_4"),
    "neck.offset_head": (
        "kpt_regress_0/separable_conv2d_5/separable_conv2d",
        "/depthwise11",
        "kpt_regress_0/conv2d_6",
    ),
}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, floating-point ones as float32.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a safetensors file.
    """
    if not path.is_file():
        raise MissingAssetError("weights", path, "Give the path of a .safetensors file.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInputError(
            f"{path} should be a safetensors file", str(error), "Fetch or save it again."
        ) from error
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def movenet_state(tensors: dict[str, Tensor], encoder: MobileNetV2) -> dict[str, Tensor]:
    """MoveNet Lightning's tensors under this encoder's names.

    The heat maps of neck and head top, which MoveNet lacks, start flat at the mean of its biases.
    """
    names = _movenet_names()
    state = {}
    for ours in encoder.state_dict():
        module, kind = ours.rsplit(".", 1)
        value = tensors[f"{names[module]}.{kind}"]
        state[ours] = _add_missing_keypoints(value) if module == "neck.keypoint_head.3" else value
    return state


def _movenet_names() -> dict[str, str]:
    names = _MOVENET_TRUNK | _MOVENET_PYRAMID
    for head, (separable, depthwise, last) in _MOVENET_HEADS.items():
        names |= {f"{head}.0": separable + depthwise, f"{head}.1": separable, f"{head}.3": last}
    for number in range(17):
        prefix = "expanded_conv" if number == 0 else f"block_{number}"
        names |= {
            f"blocks.{number}.{part}": f"{prefix}_{part}" for part in ("expand", "depthwise", "project")
        }
    return names


def _add_missing_keypoints(coco: Tensor) -> Tensor:
    filling = (
        torch.full(coco.shape[1:], float(coco.mean())) if coco.dim() == 1 else torch.zeros(coco.shape[1:])
    )
    rows = [coco[COCO_17.index[name]] if name in COCO_17.index else filling for name in COCOPLUS_19.joints]
    return torch.stack(rows)


def load_movenet(path: Path, encoder: MobileNetV2) -> None:
    """Start an encoder from MoveNet Lightning's weights (safetensors, batch norm folded).

    Raises:
        BadInputError: where the file holds other weights.
    """
    try:
        encoder.load_state_dict(movenet_state(read_tensors(path), encoder))
    except (KeyError, RuntimeError) as error:
        found = str(error).splitlines()[-1].strip()
        raise BadInputError(
            f"{path} should hold MoveNet Lightning", found, "Give its safetensors file."
        ) from error
