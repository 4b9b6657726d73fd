"""Reading of folders: what keeps us from it in one sentence, and the order of numbered names."""

import re
from collections.abc import Generator
from contextlib import contextmanager

from humanmesh.errors import BadInputError


@contextmanager
def readable(what: str) -> Generator[None, None, None]:
    """A block that looks into folders or at files.

    Args:
        what: names them in the error, such as "Folder shots".

    Raises:
        BadInputError: where the operating system refuses.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Check the path, and that you may read it."
        raise BadInputError(what, f"it cannot be read ({reason})", remedy) from error


def by_numbers(name: str) -> list[tuple[int, str]]:
    """Key that puts frame10 after frame9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
