"""Arrays in NPZ files."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from humanmesh.errors import BadInputError


def read_arrays(
    path: Path | str, what: str, remedy: str, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of an NPZ file by their names; no pickle is opened.

    Args:
        path: the file.
        what: names it in the error, such as "Clip walk.npz".
        remedy: what the user can do about it.
        names: read these only, as far as they are there; all where None.

    Raises:
        BadInputError: where there is no such file, or it is damaged or no NPZ file.
    """
    try:
        # Not by np.load, which takes whatever is no archive for a pickle and tells how to open that.
        with open(path, "rb") as file, NpzFile(file, allow_pickle=False) as content:
            wanted = [name for name in content.files if names is None or name in names]
            arrays = {name: content[name] for name in wanted}
    except Exception as error:  # a damaged archive can fail in any way
        raise BadInputError(what, f"it cannot be read ({_reason(error)})", remedy) from error
    # A member that is no array, such as a note beside them, comes as bytes.
    return {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"it is no whole NPZ file of plain arrays: {error or type(error).__name__}"
