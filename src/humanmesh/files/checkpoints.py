"""Weights on disk: safetensors with the network's configuration inside. Loading runs no code."""

import json
import pickle
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.priors import bundled_pose_knowledge
from humanmesh.files.rounding import rounded, unrounded
from humanmesh.files.writing import whole_file
from humanmesh.network.encoder import MobileNetV2, ResNet
from humanmesh.network.recovery import Recovery, RecoveryConfig, build_recovery

CHECKPOINT_FORMAT = "humanmesh-recovery-1"
_FETCH_AGAIN = "Fetch or save it again."


@dataclass(frozen=True)
class Checkpoint:
    """A network on disk."""

    config: RecoveryConfig
    """What to build."""
    state: dict[str, Tensor]
    """Tensor by name; floating-point ones as float32."""
    notes: dict[str, str] = field(default_factory=dict)
    """What was written with it: data, steps, licence."""


def save_checkpoint(
    path: Path | str,
    config: RecoveryConfig,
    state: dict[str, Tensor],
    *,
    matrix_dtype: torch.dtype = torch.float32,
    notes: dict[str, str] | None = None,
) -> None:
    """Write a network's state dict with its configuration; the file is there whole or not at all.

    Args:
        path: a .safetensors file.
        config: what `state` belongs to.
        state: `Recovery.state_dict()`.
        matrix_dtype: type of matrices and kernels on disk; float16 halves the file, int8 quarters it: each output channel of
            large ones is then rounded to 255 steps of its own, small ones become float16. Vectors (biases, the mean state,
            statistics of normalisation layers) keep their type.
        notes: anything worth knowing later: data, steps, licence.
    """
    tensors = {}
    for name, value in state.items():
        tensors |= rounded(name, value, matrix_dtype)
    metadata = {
        "format": CHECKPOINT_FORMAT,
        "config": json.dumps(asdict(config)),
        "notes": json.dumps(notes or {}),
    }
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, metadata))  # save_file lets nobody else read the file


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a checkpoint, or was written by a newer version.
    """
    tensors, metadata = _read_safetensors(Path(path))
    if metadata.get("format") != CHECKPOINT_FORMAT:
        found = metadata.get("format", "a file without one")
        raise BadInputError(f"{path} should have the format {CHECKPOINT_FORMAT}", found, _NOT_A_CHECKPOINT)
    try:
        config = _config_from_json(json.loads(metadata["config"]))
        notes = json.loads(metadata["notes"])
    except (KeyError, ValueError, TypeError, HumanMeshError) as error:
        raise BadInputError(
            f"{path} should hold a network's configuration", str(error), _NOT_A_CHECKPOINT
        ) from error
    return Checkpoint(config, tensors, notes)


_NOT_A_CHECKPOINT = "Give a file that this version of humanmesh has saved, or update humanmesh."


def _config_from_json(values: dict[str, Any]) -> RecoveryConfig:
    unknown = set(values) - {entry.name for entry in fields(RecoveryConfig)}
    if unknown:
        raise ValueError(f"unknown setting {', '.join(sorted(unknown))}")
    return RecoveryConfig(**values)


def load_recovery(path: Path | str, body_data: BodyModelData) -> Recovery:
    """The network of a checkpoint, in eval mode.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a checkpoint of this version.
    """
    checkpoint = load_checkpoint(path)
    network = build_recovery(checkpoint.config, body_data, knowledge=bundled_pose_knowledge())
    _fill(network, checkpoint.state, path)
    return network.eval()


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path | str) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        found = str(error).splitlines()[-1].strip()
        raise BadInputError(f"{path} does not fit its network", found, _FETCH_AGAIN) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise MissingAssetError("weights", path, "Give the path of a .safetensors file.")
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path} should be a safetensors file", str(error), _FETCH_AGAIN) from error
    return unrounded(tensors), metadata


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


def movenet_state(tensors: dict[str, Tensor], encoder: MobileNetV2) -> dict[str, Tensor]:
    """MoveNet's tensors under this encoder's names: Lightning's at width 1, Thunder's at 1.75.

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
    """Start an encoder from weights of MoveNet Lightning (width 1) or Thunder (1.75): safetensors, batch norm folded.

    Raises:
        BadInputError: where the file holds other weights.
    """
    try:
        state = movenet_state(_read_safetensors(path)[0], encoder)
    except KeyError as error:
        raise BadInputError(f"{path} should hold MoveNet", f"no {error}", _FETCH_AGAIN) from error
    _fill(encoder, state, path)


def load_imagenet(path: Path, encoder: ResNet) -> None:
    """Start a ResNet's trunk from torchvision's weights: a .pth or .safetensors state dict; its classifier is left out.

    They are https://download.pytorch.org/models/resnet18-f37072fd.pth and resnet50-0676ba61.pth (BSD-3-Clause).

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it holds other weights.
    """
    tensors = read_pth(path) if path.suffix in {".pth", ".pt"} else _read_safetensors(path)[0]
    trunk = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    neck = {name: value for name, value in encoder.state_dict().items() if name.startswith("neck.")}
    _fill(encoder, trunk | neck, path)


def read_pth(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, read without running code.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it holds anything but tensors by name.
    """
    if not path.is_file():
        raise MissingAssetError("weights", path, "Give the path of a .pth file.")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError) as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"{path} should be a state dict saved by torch", found, _FETCH_AGAIN) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise BadInputError(f"{path} should hold tensors by name", type(tensors).__name__, _FETCH_AGAIN)
    return tensors
