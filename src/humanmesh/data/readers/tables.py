"""What several data sets of photos share: arrays in .npz files, boxes of 200 pixels times a scale, millimetres."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from humanmesh.data.readers.checks import need_file
from humanmesh.errors import BadInputError
from humanmesh.files.arrays import read_arrays as read_all_arrays

_LARGEST_IN_METRES = 50.0
"""No studio is larger, and no person in millimetres is smaller."""


def read_json(path: Path, remedy: str) -> Any:
    """Content of a JSON file.

    Raises:
        BadInputError: where there is no file, or it is no JSON.
    """
    need_file("JSON file", path, remedy)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # with or without a byte-order mark
    except ValueError as error:
        raise BadInputError(f"{path} should be JSON", str(error), remedy) from error


def read_mat(path: Path, remedy: str) -> dict[str, Any]:
    """Variables of a MATLAB file, structs as objects with attributes, frames on the last axis as MATLAB shows them.

    Raises:
        BadInputError: where there is no file, it is damaged, or it is of version 7.3 and h5py is not installed.
    """
    need_file("MATLAB file", path, remedy)
    try:
        return scipy.io.loadmat(path, struct_as_record=False)
    except NotImplementedError:
        return _read_hdf5(path)
    except (MatReadError, ValueError, TypeError, OSError, zlib.error, KeyError, IndexError) as error:
        raise BadInputError(f"{path} should be a MATLAB file", str(error) or "damaged", remedy) from error


def _read_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInputError(
            f"{path}", "a MATLAB 7.3 file, which needs h5py", "Run: pip install h5py"
        ) from error
    with h5py.File(path) as content:
        # HDF5 lists the axes of MATLAB's arrays in reverse.
        return {name: np.asarray(item).T for name, item in content.items() if isinstance(item, h5py.Dataset)}


def read_arrays(path: Path, needed: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, after a check of those that are needed.

    Args:
        needed: shape of each needed array, without its first axis (the records).

    Raises:
        BadInputError: where the file is no .npz, holds pickled objects, or lacks an array of that shape.
    """
    remedy = f"Give an .npz file with {', '.join(sorted(needed))}."
    need_file(".npz file", path, remedy)
    arrays = read_all_arrays(path, f"Table {path}", remedy)
    for name, shape in needed.items():
        found = arrays[name].shape if name in arrays else None
        if found is None or found != (len(arrays["imgname"]), *shape):
            wanted = ", ".join(["N", *(str(length) for length in shape)])
            raise BadInputError(f"{path} should hold {name} of shape ({wanted})", f"{found}", remedy)
    return arrays


def text(value: object) -> str:
    """A name from an array, which Python 2 wrote as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def square_box(center: np.ndarray, scale: float) -> np.ndarray:
    """Corners x0, y0, x1, y1 of MPII's square: 200 pixels times the scale, round the centre."""
    return np.concatenate([center - 100 * scale, center + 100 * scale]).astype(np.float32)


def metres(points: np.ndarray) -> np.ndarray:
    """Points in metres, from metres or millimetres (told by their size)."""
    largest = np.abs(points[np.isfinite(points)]).max(initial=0)
    return points / 1000 if largest > _LARGEST_IN_METRES else points


def folder_holding(name: str, candidates: list[Path]) -> Path:
    """The first folder in which a file of that name is, else the first of all."""
    return next((folder for folder in candidates if (folder / name).is_file()), candidates[0])
