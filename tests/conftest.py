"""Shared fixtures."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by what it changed.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the photos and motion capture that are not part of the project; skips where it is missing."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets in {folder}")
    return folder
