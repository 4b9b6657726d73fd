"""Pickles as data: arrays, numbers, text and containers; no pickle runs code here."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.errors import BadInputError

_INERT_PACKAGES = ("chumpy.", "scipy.sparse.")


class PickledRecord:
    """Stands in for an object of chumpy or scipy.sparse: keeps what was pickled of it and can do nothing."""

    pickled_class = ""
    """Full name of the class that the pickle asked for."""

    def __new__(cls, *_arguments: object, **_named: object) -> "PickledRecord":
        """An empty record, whatever the pickled class was made from."""
        return super().__new__(cls)

    def __init__(self, *_arguments: object, **_named: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}


def read_pickle(path: Path) -> Any:
    """The content of a pickle of Python 2 or 3; objects of chumpy and scipy.sparse come as `PickledRecord`.

    Raises:
        BadInputError: where the file asks for any other class or function, naming it, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _DataUnpickler(file, encoding="latin1").load()
    except _ForbiddenNameError as error:
        raise BadInputError(
            f"Pickle {path}",
            f"it asks to run {error}",
            "It was not opened, because it could do harm. Get the file from its authors.",
        ) from error
    except Exception as error:  # a damaged pickle can fail in any way
        found = f"it is damaged ({error or type(error).__name__})"
        raise BadInputError(f"Pickle {path}", found, "Get a fresh copy of it.") from error


class _ForbiddenNameError(Exception):
    """A pickle asked for a class or function that data does not need."""


class _DataUnpickler(pickle.Unpickler):  # ruff: ignore[suspicious-pickle-usage]
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if f"{module}.".startswith(_INERT_PACKAGES):
            return type(name, (PickledRecord,), {"pickled_class": f"{module}.{name}"})
        raise _ForbiddenNameError(f"{module}.{name}")


def _reconstruct_record(record_class: type, base: type, _state: object) -> PickledRecord:
    """`copyreg._reconstructor`, for records only: protocols 0 and 1 make objects by it."""
    if not issubclass(record_class, PickledRecord) or base is not object:
        raise _ForbiddenNameError(f"copyreg._reconstructor of {record_class.__name__}")
    return record_class()


def _encode_latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise _ForbiddenNameError(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


def _known() -> dict[tuple[str, str], Any]:
    array: Any = np.zeros(1)
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode_latin1,
    }
    for package in ("numpy.core", "numpy._core"):
        names[f"{package}.multiarray", "_reconstruct"] = array.__reduce__()[0]
        names[f"{package}.multiarray", "scalar"] = array[0].__reduce__()[0]
        names[f"{package}.numeric", "_frombuffer"] = array.__reduce_ex__(5)[0]
    for copyreg, builtins in (("copyreg", "builtins"), ("copy_reg", "__builtin__")):
        names[copyreg, "_reconstructor"] = _reconstruct_record
        names[builtins, "object"] = object
    return names


_KNOWN = _known()
