"""One step: prediction, terms, adversary. The same functions serve every preset and mode."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanmesh import losses
from humanmesh.body.skeletons import COCOPLUS_19, LSP_14, SMPL_24
from humanmesh.data.dataset import Batch
from humanmesh.errors import HumanMeshError
from humanmesh.network.recovery import RecoveryOutput
from humanmesh.network.regressor import Estimate, depths_of
from humanmesh.training.config import LossWeights, Mode

HEATMAP_SIGMA = 1.5
"""Standard deviation of the target Gaussians, stride-4 cells."""

_LEFT_HIP, _RIGHT_HIP = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]
_LSP_ROWS = LSP_14.indices_in(COCOPLUS_19)
_NOT_SHOWN = [
    SMPL_24.index[f"{side}_{joint}"]
    for side in ("left", "right")
    for joint in ("ankle", "foot", "wrist", "hand")
]
"""Joints whose rotations no keypoint shows."""
_KNEES = [SMPL_24.index["left_knee"], SMPL_24.index["right_knee"]]


class Term(NamedTuple):
    """One term of the objective on the rows of a batch that this process has."""

    value: Tensor
    """The mean, before the factor of `LossWeights`."""
    weight: Tensor
    """Sum of the weights under that mean, so that the means of several processes can become the whole batch's."""


Terms = dict[str, Term]
"""Terms by the names of `LossWeights`."""


class DivergedError(HumanMeshError):
    """A term of the objective, or its gradient, stopped being a number."""


def without_3d(batch: Batch) -> Batch:
    """The same batch without 3D labels: their weights are zero, their values those of an unlabelled sample."""
    zeros = torch.zeros_like
    return replace(
        batch,
        keypoints_3d=zeros(batch.keypoints_3d),
        weights_3d=zeros(batch.weights_3d),
        rotations=torch.eye(3, device=batch.rotations.device).expand_as(batch.rotations),
        pose_weights=zeros(batch.pose_weights),
        shapes=zeros(batch.shapes),
        shape_weights=zeros(batch.shape_weights),
    )


def allowed_labels(batch: Batch, mode: Mode) -> Batch:
    """The labels that the mode may see."""
    return batch if mode in ("paired", "no-prior-paired") else without_3d(batch)


def _root_relative(points: Tensor) -> Tensor:
    return losses.root_relative(points, _LEFT_HIP, _RIGHT_HIP)


def _term(loss: Callable[..., Tensor], *values_and_weights: Tensor) -> Term:
    """A mean under weights, which are the loss's last argument."""
    return Term(loss(*values_and_weights), values_and_weights[-1].sum())


def mean_over_people(value: Tensor, batch: Batch) -> Term:
    """A mean over the people of the batch, each counted once."""
    return Term(value, value.new_tensor(len(batch.images)))


def hmr_terms(output: RecoveryOutput, batch: Batch) -> Terms:
    """The paper's terms, on the last round (section 3.2); 3D on the 14 LSP joints."""
    last = output.last
    return {
        "reprojection": _term(
            losses.reprojection_loss, last.keypoints_2d, batch.keypoints_2d, batch.weights_2d
        ),
        "joints_3d": _term(
            losses.squared_joint_loss,
            _root_relative(last.keypoints_3d)[:, _LSP_ROWS],
            _root_relative(batch.keypoints_3d)[:, _LSP_ROWS],
            batch.weights_3d[:, _LSP_ROWS],
        ),
        "parameters": _term(
            losses.squared_parameter_loss,
            last.rotations,
            batch.rotations,
            last.shape,
            batch.shapes,
            batch.pose_weights * batch.shape_weights,
        ),
    }


def modern_terms(output: RecoveryOutput, batch: Batch) -> Terms:
    """L1 terms, the mean over all rounds, and the heat maps."""
    rounds = [_modern_round_terms(estimate, batch) for estimate in output.rounds]
    terms = {
        name: Term(torch.stack([terms[name].value for terms in rounds]).mean(), first.weight)
        for name, first in rounds[0].items()
    }
    return terms | _heatmap_terms(output, batch)


def _modern_round_terms(estimate: Estimate, batch: Batch) -> Terms:
    return {
        "reprojection": _term(
            losses.reprojection_loss, estimate.keypoints_2d, batch.keypoints_2d, batch.weights_2d
        ),
        "joints_3d": _term(
            losses.absolute_joint_loss,
            _root_relative(estimate.keypoints_3d),
            _root_relative(batch.keypoints_3d),
            batch.weights_3d,
        ),
        "rotations": _term(
            losses.rotation_loss, estimate.rotations, batch.rotations, _rotation_weights(batch)
        ),
        "shape": _term(losses.shape_loss, estimate.shape, batch.shapes, batch.shape_weights),
        "shape_prior": mean_over_people(losses.shape_prior(estimate.shape), batch),
        "knees": mean_over_people(losses.hinge_prior(estimate.rotations, _KNEES), batch),
    }


def _rotation_weights(batch: Batch) -> Float[Tensor, "batch 24"]:
    """Weight of each joint's rotation: its person's, but 0 of feet and hands (`_NOT_SHOWN`) where the pose is guessed."""
    weights = batch.pose_weights[:, None].repeat(1, len(SMPL_24))
    weights[:, _NOT_SHOWN] *= (batch.pose_weights == 1).float()[:, None]
    return weights


def _heatmap_terms(output: RecoveryOutput, batch: Batch) -> Terms:
    logits, seen = output.encoded.heatmaps, output.seen
    if logits is None or seen is None:
        return {}
    target = losses.gaussian_heatmaps(batch.keypoints_2d, logits.shape[-1], HEATMAP_SIGMA)
    inside = (batch.keypoints_2d.abs() < 1).all(-1).float()
    terms = {
        "heatmaps": _term(losses.heatmap_loss, logits.float(), target, batch.weights_2d),
        "seen_keypoints": _term(
            losses.reprojection_loss, seen.positions, batch.keypoints_2d, batch.weights_2d * inside
        ),
    }
    if seen.depths is not None:
        terms["seen_depths"] = _term(
            losses.depth_loss, seen.depths, depths_of(batch.keypoints_3d), batch.weights_3d * inside
        )
    return terms


OBJECTIVES: dict[str, Callable[[RecoveryOutput, Batch], Terms]] = {"hmr": hmr_terms, "modern": modern_terms}


def total(terms: Terms, weights: LossWeights) -> Float[Tensor, ""]:
    """The weighted sum."""
    return torch.stack([getattr(weights, name) * term.value for name, term in terms.items()]).sum()


def suspects(batch: Batch, output: RecoveryOutput) -> tuple[str, ...]:
    """The samples to look at when a term is no number.

    Those whose own labels are not finite; where there are none, those whose own predictions are not; else all.
    """
    last = output.last
    labels = [batch.keypoints_2d, batch.weights_2d, batch.boxes, batch.keypoints_3d, batch.weights_3d]
    labels += [batch.rotations, batch.pose_weights[:, None], batch.shapes, batch.shape_weights[:, None]]
    for values in (labels, [last.rotations, last.shape, last.keypoints_3d, last.keypoints_2d]):
        rows = _not_finite(values)
        if rows.any():
            return tuple(record for record, row in zip(batch.records, rows.tolist(), strict=True) if row)
    return batch.records


def _not_finite(values: list[Tensor]) -> Bool[Tensor, "batch"]:
    return torch.stack([~value.isfinite().flatten(1).all(1) for value in values]).any(0)


def diverged(what: str, value: float, records: tuple[str, ...]) -> DivergedError:
    """The error for a term or a gradient norm that is no number, with the first of the samples to look at."""
    named = ", ".join(records[:4]) + (f" and {len(records) - 4} more" if len(records) > 4 else "")
    return DivergedError(
        f"The {what} is {value} on a batch with {named}. Lower the learning rate, or look at these samples."
    )


@dataclass(frozen=True)
class AdversaryStep:
    """What the adversary says of one batch."""

    encoder_term: Tensor
    """For the encoder: how far the bodies are from being taken for real."""
    discriminator_loss: Tensor
    """For the adversary itself."""
    real_scores: Tensor
    """(25,) mean score of real bodies, of each output."""
    fake_scores: Tensor
    """(25,) mean score of predicted bodies."""


def adversary_step(
    discriminator: nn.Module, output: RecoveryOutput, real_rotations: Tensor, real_shapes: Tensor
) -> AdversaryStep:
    """Score the bodies of all rounds against real ones; the encoder's term does not move the adversary."""
    rotations = torch.cat([estimate.rotations for estimate in output.rounds])
    shapes = torch.cat([estimate.shape for estimate in output.rounds])
    discriminator.requires_grad_(False)  # ruff: ignore[boolean-positional-value-in-call]
    encoder_term = losses.encoder_adversarial_loss(discriminator(rotations[:, 1:], shapes))
    discriminator.requires_grad_(True)  # ruff: ignore[boolean-positional-value-in-call]
    both = discriminator(
        torch.cat([real_rotations, rotations.detach()])[:, 1:], torch.cat([real_shapes, shapes.detach()])
    )
    real, fake = both[: len(real_shapes)], both[len(real_shapes) :]
    return AdversaryStep(
        encoder_term, losses.discriminator_loss(real, fake), real.mean(0).detach(), fake.mean(0).detach()
    )
