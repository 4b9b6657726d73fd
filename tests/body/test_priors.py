"""The pose prior is a mixture's largest term; hinges bend one way; capsules cover the body and leave it alone at rest."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from humanmesh.body.priors import PosePrior, fit_capsules, hinge_prior
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.files.priors import load_pose_prior


def made_prior(components: int = 3) -> tuple[PosePrior, np.ndarray]:
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 0.3, (components, 69, 69))
    covariances = spread @ spread.transpose(0, 2, 1) + 0.1 * np.eye(69)
    factors = np.linalg.cholesky(np.linalg.inv(covariances))
    means, shares = rng.normal(0, 0.5, (components, 69)), rng.dirichlet(np.ones(components))
    return PosePrior(*map(torch.from_numpy, (means, factors, shares))), covariances


def test_differences_of_energy_are_those_of_the_largest_term_of_the_mixture():
    prior, covariances = made_prior()
    poses = np.random.default_rng(1).normal(0, 0.6, (20, 69))
    terms = [
        np.log(share) + multivariate_normal(mean, covariance).logpdf(poses)
        for share, mean, covariance in zip(
            prior.weights.numpy(), prior.means.numpy(), covariances, strict=True
        )
    ]
    expected = -2 * np.max(terms, axis=0)
    energy = prior.energy(torch.from_numpy(poses)).numpy()
    np.testing.assert_allclose(energy - energy[0], expected - expected[0], rtol=1e-8)


def test_the_least_energy_is_zero_at_a_mean():
    prior, _ = made_prior()
    assert float(prior.energy(prior.means).min()) == pytest.approx(0, abs=1e-12)


def test_to_the_bundled_prior_a_knee_bent_forwards_is_a_wonder():
    prior = load_pose_prior()
    assert float(prior.weights.sum()) == pytest.approx(1, abs=1e-5)
    standing = torch.zeros(1, 69)
    for shoulder, angle in (("left_shoulder", -1.2), ("right_shoulder", 1.2)):
        standing[0, 3 * (SMPL_24.index[shoulder] - 1) + 2] = angle
    broken = standing.clone()
    broken[0, 3 * (SMPL_24.index["left_knee"] - 1)] = -1.5
    assert float(prior.energy(standing)) + 20 < float(prior.energy(broken))


@pytest.mark.parametrize(
    ("joint", "axis", "bent"),
    [("left_knee", 0, 1.0), ("right_knee", 0, 1.0), ("left_elbow", 1, -1.0), ("right_elbow", 1, 1.0)],
)
def test_a_hinge_resists_only_the_wrong_way(joint, axis, bent):
    pose = torch.zeros(2, 69)
    column = 3 * (SMPL_24.index[joint] - 1) + axis
    pose[0, column], pose[1, column] = bent, -bent
    violations = hinge_prior().violations(pose)
    assert not bool(violations[0].any())
    assert float(violations[1].sum()) == pytest.approx(1.0)


def test_capsules_are_as_thick_as_limbs_and_alike_on_both_sides():
    capsules = fit_capsules(load_body_data("anny"))
    radius = {
        SMPL_24.joints[int(start)]: float(r) for start, r in zip(capsules.starts, capsules.radii, strict=True)
    }
    assert 0.02 < radius["left_elbow"] < 0.06
    assert 0.05 < radius["left_hip"] < 0.12
    for joint in ("shoulder", "elbow", "hip", "knee"):
        assert radius[f"left_{joint}"] == pytest.approx(radius[f"right_{joint}"], abs=2e-3)
