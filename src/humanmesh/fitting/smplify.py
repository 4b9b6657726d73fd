"""Fit a body to keypoints: SMPLify (Bogo et al. 2016) by Levenberg and Marquardt, many people at a time.

From the mean pose (`fit`), from an estimate such as the network's (`fit_from`), or to points in space (`fit_points`).
One view leaves open which way a bone points in depth; both answers are tried for every limb (`stages.flipped`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.errors import BadInputError
from humanmesh.fitting.energy import (
    BodyState,
    DataWeights,
    FittingBody,
    FittingEnergy,
    Keypoints2D,
    Keypoints3D,
    KeypointsWithDepths,
    Weights,
    depths_from_mean,
)
from humanmesh.fitting.silhouette import Silhouette, SilhouetteTerm
from humanmesh.fitting.solver import joined, minimise, taken
from humanmesh.fitting.stages import (
    FINE_STEPS,
    FLIPS,
    MIDDLE,
    RIGID,
    ROUGH,
    STAGES_3D,
    Candidates,
    Stage,
    flipped,
    from_points,
    from_views,
    run_stage,
)
from humanmesh.geometry.cameras import PerspectiveCamera

BATCH = 16
"""People fitted at once, which bounds the memory."""
FEWEST_KEYPOINTS = 6
"""Known keypoints that a fit needs."""
LARGEST_CONFIDENCE = 1.5
"""Peaks of other tools' heat maps overshoot 1 a little; 2 is COCO's mark of what is visible, and 100 is percent."""
DEVIATION = 0.02
"""How far a keypoint with full confidence may be off, in units of half the longer side of the box of the keypoints."""
TOLD_BY = Weights(DataWeights(DEVIATION, 0.3))
"""The weights under which every fit's misfit is told."""
NEAR = Stage(Weights(DataWeights(DEVIATION, 0.2)), MIDDLE.steps, 1)
NEAREST = Stage(Weights(DataWeights(DEVIATION, 0.1)), FINE_STEPS, 1)
"""The last stages, when the body is near already: keypoints far from it are rather wrong than far away."""
OUTLINE_WEIGHTS = DataWeights(0.04, 0.08)
"""How far outlines may be apart, in the same unit: clothes and hair are no body."""
OUTLINE_STEPS = 20
LARGEST_MISFIT = 35.9
"""Final energy per known keypoint above which a fit has failed: equal errors on held-out people (`tools/measure_fit.py`, docs/fitting.md)."""
_WIDEST = 3.0
"""Most that half the box of keypoints may be of their median distance from their middle, or a wild one would loosen the pull of all;
1.6 is usual, and 99 % of LSPET's people are below."""


@dataclass(frozen=True)
class Fit:
    """Bodies as they were fitted."""

    state: BodyState
    misfit: Float[Tensor, "people"]
    """Final energy per known keypoint."""

    @property
    def is_failed(self) -> Bool[Tensor, "people"]:
        """Whether the body found is none to be trusted."""
        return ~(self.misfit <= LARGEST_MISFIT)


def seen_keypoints(
    positions: Float[Tensor, "people keypoints 2"],
    confidences: Float[Tensor, "people keypoints"],
    camera: PerspectiveCamera,
    name: str = "Keypoints",
) -> Keypoints2D:
    """Keypoints of a photo with their size; those without confidence have no say, whatever their position.

    Raises:
        BadInputError: where a person has too few of them, or no extent.
    """
    known = confidences > 0
    check_keypoints(positions, confidences, name)
    size = _size(positions, known)
    if not bool((size > 0).all()):
        raise BadInputError(name, "all of them at one place", "Check their order and their unit (pixels).")
    return Keypoints2D(torch.where(known[..., None], positions, 0.0), confidences, camera, size)


def _size(
    positions: Float[Tensor, "people keypoints 2"], known: Bool[Tensor, "people keypoints"]
) -> Float[Tensor, "people"]:
    """Half the longer side of the box of the known keypoints; less where a few of them are far from all others."""
    seen = torch.where(known[..., None], positions, torch.nan)
    low = torch.where(known[..., None], positions, torch.inf).amin(1)
    high = torch.where(known[..., None], positions, -torch.inf).amax(1)
    size = (high - low).amax(1) / 2
    spread = (seen - seen.nanmedian(1, keepdim=True).values).norm(dim=2).nanmedian(1).values
    return torch.where(spread > 0, torch.minimum(size, _WIDEST * spread), size)


def check_keypoints(
    positions: Float[Tensor, "people keypoints axes"],
    confidences: Float[Tensor, "people keypoints"],
    name: str = "Keypoints",
) -> None:
    """Refuse what no body can be fitted to.

    Raises:
        BadInputError: where there are too few known keypoints, or a number is none or out of its range.
    """
    if not bool(((confidences >= 0) & (confidences <= LARGEST_CONFIDENCE)).all()):
        raise BadInputError(name, "a confidence that is no number from 0 to 1", "Scale them to that.")
    known = confidences > 0
    if not bool(positions[known].isfinite().all()):
        raise BadInputError(
            name, "a position that is not a number", "Give unknown keypoints the confidence 0."
        )
    fewest = int(known.sum(1).min())
    if fewest == 0:
        raise BadInputError(name, "all confidences are zero", f"At least {FEWEST_KEYPOINTS} are needed.")
    if fewest < FEWEST_KEYPOINTS:
        remedy = f"At least {FEWEST_KEYPOINTS} are needed."
        raise BadInputError(name, f"only {fewest} with a confidence above zero", remedy)


def fit(body: FittingBody, keypoints: Keypoints2D) -> Fit:
    """From the mean pose, and those of the prior's components, in several views.

    Args:
        body: from `energy.fitting_body`, for the keypoint set of the keypoints.
        keypoints: from `seen_keypoints`; at least `FEWEST_KEYPOINTS` of each person.
    """

    def fit_some(known: Keypoints2D) -> Fit:
        prior = body.pose_prior
        mean = (prior.weights[:, None] * prior.means).sum(0, keepdim=True)
        candidates = from_views(known, body, torch.cat([mean, prior.means]))
        for stage in (RIGID, ROUGH, MIDDLE):
            candidates = run_stage(candidates, body, known, stage)
        return _judged(_finished(candidates, body, known), body, known)

    return _in_batches(fit_some, keypoints)


def fit_from(body: FittingBody, keypoints: Keypoints2D, start: BodyState) -> Fit:
    """From an estimate of each person, which stands before the camera of the keypoints and whose depths are kept about as they are."""
    rows = torch.arange(len(keypoints.size), device=keypoints.size.device)
    fits = []
    for some in rows.split(BATCH):
        known, estimate = taken(keypoints, some), taken(start, some)
        candidates = Candidates(estimate, torch.arange(len(some)).to(some), torch.zeros_like(known.size))
        fits.append(_judged(_finished(candidates, body, with_depths(known, body, estimate)), body, known))
    return joined(fits)


def with_depths(keypoints: Keypoints2D, body: FittingBody, estimate: BodyState) -> KeypointsWithDepths:
    """The keypoints with their depths in an estimate of the same people."""
    points = body.keypoints(estimate.rotations, estimate.shape)[1][:, : keypoints.positions.shape[1]]
    return KeypointsWithDepths(**vars(keypoints), depths=depths_from_mean(points))


def fit_outline(
    body: FittingBody,
    keypoints: Keypoints2D,
    start: BodyState,
    silhouette: Silhouette,
    surface: KeypointBody,
) -> Fit:
    """From a fit of each person on to the true silhouette, too ("oracle").

    Args:
        body: as of the fit.
        keypoints: as of the fit; `with_depths` of a fit that began with an estimate, to keep them.
        start: what the fit found.
        silhouette: of each person.
        surface: from `silhouette.surface_body`.
    """
    rows = torch.arange(len(keypoints.size), device=keypoints.size.device)
    fits = []
    for some in rows.split(BATCH):
        known = taken(keypoints, some)
        outline = SilhouetteTerm(surface, taken(silhouette, some), known.camera, known.size, OUTLINE_WEIGHTS)
        with_outline = FittingEnergy(body, known, TOLD_BY, (outline,))
        found = minimise(with_outline, taken(start, some), OUTLINE_STEPS).state
        fits.append(_judged(Candidates(found, rows[: len(some)], known.size), body, known))
    return joined(fits)


def fit_points(body: FittingBody, keypoints: Keypoints3D) -> Fit:
    """To points in space, from the mean pose, turned to where the points are."""

    def fit_some(known: Keypoints3D) -> Fit:
        candidates = from_points(known, body)
        for stage in STAGES_3D:
            candidates = run_stage(candidates, body, known, stage)
        return _judged(candidates, body, known)

    return _in_batches(fit_some, keypoints)


def _in_batches(work: Callable[..., Fit], keypoints: Keypoints2D | Keypoints3D) -> Fit:
    rows = torch.arange(len(keypoints.positions), device=keypoints.positions.device)
    return joined([work(taken(keypoints, some)) for some in rows.split(BATCH)])


def _finished(candidates: Candidates, body: FittingBody, keypoints: Keypoints2D) -> Candidates:
    """Candidates that are near, the best of them and of their mirrored limbs, fitted to the end."""
    candidates = run_stage(candidates, body, keypoints, NEAR)
    for _ in range(FLIPS):
        candidates = run_stage(flipped(candidates, body), body, keypoints, NEAR)
    return run_stage(candidates, body, keypoints, NEAREST)


def _judged(candidates: Candidates, body: FittingBody, keypoints: Keypoints2D | Keypoints3D) -> Fit:
    energy = FittingEnergy(body, keypoints, TOLD_BY).quadratic(candidates.state).energy
    return Fit(candidates.state, energy / (keypoints.confidences > 0).sum(1))
