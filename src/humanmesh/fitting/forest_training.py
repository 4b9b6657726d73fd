"""Growing a regression forest on projected people, by scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from humanmesh.body.model import KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.errors import MissingAssetError
from humanmesh.fitting.forest import Forest, forest_features
from humanmesh.fitting.projected_people import ProjectedPeople, project_people
from humanmesh.fitting.surface_points import SURFACE_91, with_surface_points
from humanmesh.geometry.rotations import matrix_to_rotation_6d


@dataclass(frozen=True)
class ForestConfig:
    """Size of a forest and of what it learns from."""

    people: int = 20_000
    """Projected people to learn from."""
    trees: int = 32
    smallest_leaf: int = 4
    """People in a leaf, at least."""
    features_share: float = 0.33
    """Share of the 182 coordinates that a split may choose from."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("people", "trees", "smallest_leaf"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.features_share <= 1:
            raise ValueError(f"features_share must lie in (0, 1], got {self.features_share}")


def train_forest(
    data: BodyModelData,
    library: PoseLibrary,
    config: ForestConfig,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Forest:
    """Grow a forest for a body.

    Args:
        data: Whose pose and shape are predicted.
        library: Poses to draw from.
        config: How large.
        advance: Told after each tree how many are done, of how many.

    Raises:
        MissingAssetError: where scikit-learn is not installed.
    """
    ensemble = _scikit_learn()
    body = KeypointBody(with_surface_points(data), SURFACE_91.name)
    generator = torch.Generator().manual_seed(config.seed)
    people = project_people(config.people, body, library, generator)
    features = forest_features(people.points_2d, people.weights)
    targets = forest_targets(people)
    grower = ensemble.RandomForestRegressor(
        n_estimators=0, min_samples_leaf=config.smallest_leaf, max_features=config.features_share,
        random_state=config.seed, warm_start=True,
    )  # fmt: skip
    for done in range(1, config.trees + 1):
        grower.set_params(n_estimators=done)
        grower.fit(features, targets)
        advance(done, config.trees)
    return forest_of([tree.tree_ for tree in grower.estimators_])


def forest_targets(people: ProjectedPeople) -> Float32[np.ndarray, "people outputs"]:
    """6D rotations of the 24 joints, then the shape."""
    return torch.cat([matrix_to_rotation_6d(people.rotations).flatten(1), people.shape], 1).float().numpy()


def forest_of(trees: list[Any]) -> Forest:
    """One table of the trees of scikit-learn (`sklearn.tree._tree.Tree`)."""
    counts = [tree.node_count for tree in trees]
    roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    own = np.arange(sum(counts), dtype=np.int32)
    is_leaf = np.concatenate([tree.children_left for tree in trees]) < 0
    offsets = np.repeat(roots, counts)

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    return Forest(
        roots=roots,
        feature=np.where(is_leaf, 0, column("feature")).astype(np.int32),
        threshold=np.where(is_leaf, 0, column("threshold")).astype(np.float64),
        left=np.where(is_leaf, own, column("children_left") + offsets).astype(np.int32),
        right=np.where(is_leaf, own, column("children_right") + offsets).astype(np.int32),
        leaf=np.where(is_leaf, np.cumsum(is_leaf) - 1, 0).astype(np.int32),
        values=column("value")[is_leaf, :, 0].astype(np.float32),
    )


def _scikit_learn() -> ModuleType:
    try:
        from sklearn import ensemble
    except ImportError as error:
        remedy = 'Run: pip install "humanmesh[forest]"'
        raise MissingAssetError("scikit-learn", "this installation of Python", remedy) from error
    return ensemble
