"""A GPU where there is none: tensors that say they lie on the device "pretended" and compute on the processor.

PyTorch takes it for one of its accelerators. Inside `pretended_gpu()` it makes such tensors wherever code names the device, and an operation
that takes some from there and some from here fails, as it would on a GPU. What this cannot show: kernels that a GPU lacks,
chance from a generator of the other device, memory, speed.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretended"


class GpuTensor(torch.Tensor):
    """Says that it lies on the GPU; its values lie on the processor."""

    values: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "GpuTensor":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.values = values
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({self.values!r})"

    def tolist(self) -> Any:
        return self.values.tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["values"], None

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, torch.Tensor], *_: Any) -> "GpuTensor":
        return GpuTensor(parts["values"])

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


class GpuGenerator(torch.Generator):
    """Chance for tensors on the GPU."""

    @property
    def device(self) -> torch.device:
        return torch.device(NAME, 0)


class _Pretence(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


_aten = torch.ops.aten
_CROSSING = {_aten._to_copy.default, _aten.copy_.default}
_INDEXING = {
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten.index_put.default,
    _aten._index_put_impl_.default,
}


def _computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = _tensors((args, kwargs))
    is_there = any(isinstance(value, GpuTensor) for value in tensors)
    if function is _aten.copy_.default:
        is_there = isinstance(args[0], GpuTensor)
    if kwargs.get("device") is not None:
        is_there = torch.device(kwargs["device"]).type == NAME
        kwargs = kwargs | {"device": torch.device("cpu")}
    if function not in _CROSSING:
        _check_together(function, args, kwargs)
    result = function(*_here(args), **_here(kwargs))
    changed = [value for value in tensors if _here(value) is result]
    if changed:  # in place
        return changed[0]
    return tree_map(_there, result) if is_there else result


def _check_together(function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    # A GPU's tensor may be indexed by the processor's, and any scalar may join.
    joined = (
        (args[0], args[2:]) if function in _INDEXING and isinstance(args[0], GpuTensor) else (args, kwargs)
    )
    places = {value.device for value in _tensors(joined) if value.dim() or isinstance(value, GpuTensor)}
    if len(places) > 1:
        raise RuntimeError(f"{function} expects all tensors on one device, found {sorted(map(str, places))}")


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_iter(values) if isinstance(value, torch.Tensor)]


def _here(values: Any) -> Any:
    return tree_map(lambda value: value.values if isinstance(value, GpuTensor) else value, values)


def _there(value: Any) -> Any:
    return GpuTensor(value) if isinstance(value, torch.Tensor) else value


_FALLBACKS = torch.library.Library("_", "IMPL")
"""Under autocast every operation runs as it is."""
_KERNELS = torch.library.Library("aten", "IMPL")
"""For PyTorch's own code, which makes tensors of the lists by which others are indexed."""


def _empty(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> GpuTensor:
    return GpuTensor(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy(source: torch.Tensor, target: torch.Tensor, *_: Any) -> torch.Tensor:
    _here(target).copy_(_here(source))
    return target


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@cache
def register() -> None:
    """Make the device known to PyTorch, once and before the first gradients, which count devices."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    _FALLBACKS.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _KERNELS.impl("empty_strided", _empty, "PrivateUse1")
    _KERNELS.impl("_copy_from", _copy, "PrivateUse1")


@contextmanager
def pretended_gpu() -> Generator[torch.device, None, None]:
    """The device, for the calls within."""
    register()
    with _Pretence():
        yield torch.device(NAME, 0)
