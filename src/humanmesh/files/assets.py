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
            "bundled file",
            path,
            "Reinstall the package from its clone: python -m pip install --force-reinstall .",
        )
    return path


DEFAULT_WEIGHTS = "default"
BUNDLED_WEIGHTS = (DEFAULT_WEIGHTS, "open")
"""Names of the weights that come with the package: the best, and those of sources that allow any use alone."""


def weights_path(name_or_path: str | Path) -> Path:
    """Path of bundled weights by name, or the path that was given."""
    name = str(name_or_path)
    return asset_path(f"weights_{name}.safetensors") if name in BUNDLED_WEIGHTS else Path(name)


def finder_path(weights: str | Path) -> Path:
    """Path of the finder that goes with weights: the default one was trained on research photos, so that "open" has its own."""
    name = "weights_finder_open" if str(weights) == "open" else "weights_finder"
    return asset_path(f"{name}.safetensors")
