"""Where the files that come with the package lie."""

from importlib.resources import files
from pathlib import Path

from humanmesh.errors import MissingAssetError


def asset_path(name: str) -> Path:
    """Path of a file in `humanmesh/assets`.

    Raises:
        MissingAssetError: where the installation lacks it.
    """
    path = Path(str(files("humanmesh"))) / "assets" / name
    if not path.is_file():
        raise MissingAssetError(
            "bundled file", path, "Reinstall the package: python -m pip install --force-reinstall humanmesh."
        )
    return path
