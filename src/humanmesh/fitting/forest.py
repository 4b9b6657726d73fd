"""A regression forest from 91 surface points to pose and shape (Lassner et al. 2017, "Unite the People", section 5).

They train a forest a joint on detected points; here one forest predicts all rotations (6D) and the shape at once, and the
camera follows in closed form. Training needs scikit-learn (`fitting.forest_training`); using a forest needs nothing.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.arrays import read_arrays
from humanmesh.files.writing import whole_file
from humanmesh.fitting.projected_people import points_in_box
from humanmesh.fitting.surface_points import SURFACE_91
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.rotations import rotation_6d_to_matrix

FOREST_FORMAT = "humanmesh-forest-1"
UNKNOWN_POINT = -3.0
"""What a tree sees in place of a coordinate that is not known; known ones lie in [-1, 1]."""
_ROTATION_NUMBERS = 6 * len(SMPL_24)
_MAKE_ANOTHER = "Make one with: humanmesh train-forest."


@dataclass(frozen=True)
class ForestAnswer:
    """Bodies that a forest predicts."""

    rotations: Float[Tensor, "people 24 3 3"]
    """The first takes the body to the camera frame."""
    shape: Float[Tensor, "people shapes"]
    """Standard deviations."""


@dataclass(frozen=True)
class Forest:
    """All trees in one table of nodes, children after parents. A leaf is its own child."""

    roots: Int32[np.ndarray, "trees"]
    """Row of each tree's first node."""
    feature: Int32[np.ndarray, "nodes"]
    """Number that a node looks at; 0 in leaves."""
    threshold: Float64[np.ndarray, "nodes"]
    """A number up to this goes left."""
    left: Int32[np.ndarray, "nodes"]
    right: Int32[np.ndarray, "nodes"]
    leaf: Int32[np.ndarray, "nodes"]
    """Row of a leaf's values; 0 elsewhere."""
    values: Float32[np.ndarray, "leaves outputs"]
    """6D rotations of the 24 joints, then the shape."""

    def predict(
        self, points_2d: Float[Tensor, "people 91 2"], weights: Float[Tensor, "people 91"]
    ) -> ForestAnswer:
        """Bodies of people whose surface points are seen there (any unit); weight 0 where a point is not known.

        Raises:
            BadInputError: where too few points of a person are known.
        """
        outputs = torch.from_numpy(self.outputs(forest_features(points_2d, weights))).to(points_2d)
        six = outputs[:, :_ROTATION_NUMBERS].unflatten(1, (-1, 6))
        return ForestAnswer(rotation_6d_to_matrix(six), outputs[:, _ROTATION_NUMBERS:])

    def outputs(
        self, features: Float32[np.ndarray, "people features"]
    ) -> Float32[np.ndarray, "people outputs"]:
        """Mean over the trees of the leaves that people fall into."""
        people = np.arange(len(features))[:, None]
        nodes = np.broadcast_to(self.roots, (len(features), len(self.roots)))
        while True:
            is_left = features[people, self.feature[nodes]] <= self.threshold[nodes]
            following = np.where(is_left, self.left[nodes], self.right[nodes])
            if np.array_equal(following, nodes):
                break
            nodes = following
        total = np.zeros((len(features), self.values.shape[1]), np.float64)
        for tree in range(len(self.roots)):
            total += self.values[self.leaf[nodes[:, tree]]]
        return (total / len(self.roots)).astype(np.float32)


def camera_of_best_fit(
    points_camera: Float[Tensor, "people points 3"],
    points_2d: Float[Tensor, "people points 2"],
    weights: Float[Tensor, "people points"],
) -> WeakPerspectiveCamera:
    """The camera that sees turned bodies' points nearest to where they should be: least squares, in the unit of those."""
    share = (weights / weights.sum(1, keepdim=True))[..., None]
    flat = points_camera[..., :2]
    mean, mean_2d = (share * flat).sum(1), (share * points_2d).sum(1)
    centred = flat - mean[:, None]
    along = (share * centred * (points_2d - mean_2d[:, None])).sum((1, 2))
    scale = along / (share * centred.square()).sum((1, 2))
    return WeakPerspectiveCamera(scale, mean_2d / scale[:, None] - mean)


def forest_features(
    points_2d: Float[Tensor, "people 91 2"], weights: Float[Tensor, "people 91"]
) -> Float32[np.ndarray, "people 182"]:
    """What the trees see: points in their own box, `UNKNOWN_POINT` where not known."""
    seen = points_in_box(points_2d, weights)
    known = (weights > 0)[..., None]
    return torch.where(known, seen, UNKNOWN_POINT).flatten(1).float().cpu().numpy()


def save_forest(path: Path | str, forest: Forest) -> None:
    """Write a forest as plain arrays (.npz), the leaves' values in 16 bits; whole or not at all."""
    arrays = {entry.name: getattr(forest, entry.name) for entry in fields(Forest)}
    arrays["values"] = forest.values.astype(np.float16)
    with whole_file(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, format=np.array(FOREST_FORMAT), **arrays)


def load_forest(path: Path | str) -> Forest:
    """Read what `save_forest` wrote; no pickle is opened.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is damaged or from another version.
    """
    if not Path(path).is_file():
        raise MissingAssetError("forest", path, _MAKE_ANOTHER)
    arrays = read_arrays(path, f"Forest {path}", _MAKE_ANOTHER)
    written = str(arrays.get("format", "a file without a format"))
    if written != FOREST_FORMAT:
        raise BadInputError(f"Forest {path} should have the format {FOREST_FORMAT}", written, _MAKE_ANOTHER)
    problem = _problem(arrays)
    if problem:
        raise BadInputError(f"Forest {path}", f"it is damaged ({problem})", _MAKE_ANOTHER)
    values = {entry.name: arrays[entry.name] for entry in fields(Forest)}
    return Forest(**{**values, "values": values["values"].astype(np.float32)})


_TYPES = {
    "roots": "i4",
    "feature": "i4",
    "threshold": "f8",
    "left": "i4",
    "right": "i4",
    "leaf": "i4",
    "values": "f2",
}


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    """What keeps the arrays from being a forest whose every walk ends; None where nothing does."""
    wrong = [
        name for name, kind in _TYPES.items() if name not in arrays or arrays[name].dtype != np.dtype(kind)
    ]
    if wrong:
        return f"{wrong[0]} is missing or of another type"
    nodes, values = len(arrays["feature"]), arrays["values"]
    columns = [arrays[name] for name in ("threshold", "left", "right", "leaf")]
    if values.ndim != 2 or values.shape[1] <= _ROTATION_NUMBERS or any(c.shape != (nodes,) for c in columns):
        return "arrays of unlike length"
    limits = {
        "roots": nodes,
        "feature": 2 * len(SURFACE_91),
        "left": nodes,
        "right": nodes,
        "leaf": len(values),
    }
    outside = [name for name, top in limits.items() if ((arrays[name] < 0) | (arrays[name] >= top)).any()]
    if outside or not len(arrays["roots"]):
        return f"{outside[0] if outside else 'roots'} leads nowhere"
    own = np.arange(nodes)
    is_leaf = (arrays["left"] == own) & (arrays["right"] == own)
    is_forward = (arrays["left"] > own) & (arrays["right"] > own)
    if not bool((is_leaf | is_forward).all()):
        return "a node leads back"
    return None if bool(np.isfinite(values).all()) else "values that are no numbers"
