"""The arithmetic of a network: its names, where the short one is fast, and weights that are rounded to it once."""

import torch
from torch import nn

PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Arithmetic of encoder and regressor, by name; body and camera are always in float32."""


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; elsewhere it is emulated, and many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _processor_has_bfloat16()


def _processor_has_bfloat16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")  # before torch 2.11


def round_weights(network: nn.Module, arithmetic: torch.dtype) -> None:
    """Round the weights of convolutions and linear layers to `arithmetic`, in place.

    Autocast rounds them at every call; rounded once they give the same answers, sooner. Only for networks that learn no more.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(arithmetic)
