"""A camera's intrinsics from a JSON file."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.geometry.cameras import PhotoCamera

SHAPE = (
    'It should hold [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, or {"fx": ..., "fy": ..., "cx": ..., "cy": ...}, '
    'or {"matrix": [[...], ...]}, with "width" and "height" of the pictures if the photos have another size.'
)
LARGEST_SKEW = 1e-3
"""Of the matrix' entry that turns y into x, in units of the focal length."""
_SAME_SHAPE = 0.01
"""Share by which the shapes of calibrated pictures and photo may differ."""


@dataclass(frozen=True)
class Intrinsics:
    """The camera of pictures of one size."""

    camera: PhotoCamera
    size: tuple[int, int] | None
    """Width and height in pixels of the pictures that it was calibrated with; None where they are the photos'."""

    def camera_of(self, width: int, height: int) -> PhotoCamera:
        """The camera of a photo of that many pixels, all of which the camera saw.

        Raises:
            BadInputError: where the photo has another shape than the pictures of the calibration.
        """
        if self.size is None:
            return self.camera
        x, y = width / self.size[0], height / self.size[1]
        if abs(x / y - 1) > _SAME_SHAPE:
            found = (
                f"calibrated with {self.size[0]} x {self.size[1]} pixels, the photo has {width} x {height}"
            )
            raise BadInputError("Intrinsics", found, "Give those of the upright, uncut photo.")
        return self.camera.enlarged(x, y)


def read_intrinsics(path: Path | str) -> Intrinsics:
    """Read a 3 x 3 matrix, or fx, fy, cx, cy, in pixels; lens distortion is not known here.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it holds no camera.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError("file of intrinsics", path, "Check the path.")
    what = f"Intrinsics {path}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BadInputError(what, f"it is no JSON ({error})", SHAPE) from error
    try:
        fx, fy, cx, cy = _numbers(content)
        size = _size(content)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadInputError(what, reason, SHAPE) from error
    if not (fx > 0 and fy > 0):
        raise BadInputError(what, f"focal lengths of {fx:g} and {fy:g} pixels", "Both must be positive.")
    return Intrinsics(PhotoCamera(fx, (cx, cy), fy / fx), size)


def _numbers(content: Any) -> tuple[float, float, float, float]:
    if isinstance(content, dict) and "matrix" not in content:
        fx = _number(content["fx"])
        return fx, _number(content.get("fy", fx)), _number(content["cx"]), _number(content["cy"])
    return _entries(content["matrix"] if isinstance(content, dict) else content)


def _entries(rows: Any) -> tuple[float, float, float, float]:
    if not isinstance(rows, list) or [len(row) if isinstance(row, list) else 0 for row in rows] != [3, 3, 3]:
        raise ValueError("no 3 x 3 matrix")
    (fx, skew, cx), (below, fy, cy), last = [[_number(value) for value in row] for row in rows]
    if last[:2] != [0, 0] or last[2] == 0 or below != 0:
        raise ValueError(
            "the matrix is no camera's: its last row should be 0, 0, 1, and the first of its second 0"
        )
    if fx * fy == 0:
        raise ValueError("the matrix is singular")
    if abs(skew) > LARGEST_SKEW * abs(fx):
        raise ValueError(f"a skew of {skew:g}, which no camera here has")
    return fx / last[2], fy / last[2], cx / last[2], cy / last[2]


def _size(content: Any) -> tuple[int, int] | None:
    if not isinstance(content, dict) or not {"width", "height"} & set(content):
        return None
    width, height = _number(content["width"]), _number(content["height"])
    if not (width >= 1 and height >= 1):
        raise ValueError(f"pictures of {width:g} x {height:g} pixels")
    return round(width), round(height)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number should stand")
    return float(value)
