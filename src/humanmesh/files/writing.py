"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from humanmesh.errors import BadInputError


@contextmanager
def whole_file(path: Path | str) -> Generator[Path, None, None]:
    """A path beside `path`, of the same suffix, to write to; it takes the name `path` when the block ends well.

    Raises:
        BadInputError: where the folder is missing, cannot be written to or is full, or `path` names no file.
    """
    path = Path(path)
    if not path.name:
        raise BadInputError(f"Cannot write {path}", "it names no file", "Give the name of a file.")
    beside = path.with_name(f".{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInputError(
            f"Cannot write {path}", reason, "Choose another place, or make room and allow writing there."
        ) from error
    finally:
        with suppress(OSError):  # it is not there, or could not be made: the reason is told above
            beside.unlink()


def output_file(path: Path | str) -> Path:
    """The path of a file to write after long work, after a trial that its folder takes files; the folder is made if it is missing.

    Raises:
        BadInputError: where a folder has that name, or its folder cannot be made or written to.
    """
    path = Path(path)
    output_folder(path.parent)
    if path.is_dir():
        raise BadInputError(f"Cannot write {path}", "a folder has that name", "Give the name of a file.")
    return path


def output_folder(path: Path | str) -> Path:
    """The folder `path`, made if it is missing, after a trial that a file can be written there.

    Raises:
        BadInputError: where it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if isinstance(error, FileExistsError) else error.strerror
        raise BadInputError(
            f"Cannot make the output folder {path}", str(reason), "Choose another folder."
        ) from error
    trial = path / f".{uuid.uuid4().hex[:8]}"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise BadInputError(
            f"Cannot write to the output folder {path}", str(error.strerror), "Choose another folder."
        ) from error
    return path
