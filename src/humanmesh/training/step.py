"""One step: prediction, terms, adversary. The same functions serve every preset and mode."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from humanmesh import losses
from humanmesh.body.skeletons import COCOPLUS_19, LSP_14, SMPL_24
from humanmesh.data.dataset import Batch
from humanmesh.errors import HumanMeshError
from humanmesh.network.recovery import RecoveryOutput
from humanmesh.network.regressor import Estimate
from humanmesh.training.config import LossWeights, Mode

HEATMAP_SIGMA = 1.5
"""Standard deviation of the target Gaussians, stride-4 cells."""

_LEFT_HIP, _RIGHT_HIP = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]
_LSP_ROWS = LSP_14.indices_in(COCOPLUS_19)
_KNEES = [SMPL_24.index["left_knee"], SMPL_24.index["right_knee"]]

Terms = dict[str, Tensor]
"""Unweighted terms by the names of `LossWeights`."""


class DivergedError(HumanMeshError):
    """A term of the objective stopped being a number."""


def without_3d(batch: Batch) -> Batch:
    """The same batch with every 3D label's weight at zero."""
    zeros = torch.zeros_like
    return replace(
        batch,
        weights_3d=zeros(batch.weights_3d),
        pose_weights=zeros(batch.pose_weights),
        shape_weights=zeros(batch.shape_weights),
    )


def allowed_labels(batch: Batch, mode: Mode) -> Batch:
    """The labels that the mode may see."""
    return batch if mode in ("paired", "no-prior-paired") else without_3d(batch)


def _root_relative(points: Tensor) -> Tensor:
    return losses.root_relative(points, _LEFT_HIP, _RIGHT_HIP)


def hmr_terms(output: RecoveryOutput, batch: Batch) -> Terms:
    """The paper's terms, on the last round (section 3.2); 3D on the 14 LSP joints."""
    last = output.last
    return {
        "reprojection": losses.reprojection_loss(last.keypoints_2d, batch.keypoints_2d, batch.weights_2d),
        "joints_3d": losses.squared_joint_loss(
            _root_relative(last.keypoints_3d)[:, _LSP_ROWS],
            _root_relative(batch.keypoints_3d)[:, _LSP_ROWS],
            batch.weights_3d[:, _LSP_ROWS],
        ),
        "parameters": losses.squared_parameter_loss(
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
    terms = {name: torch.stack([terms[name] for terms in rounds]).mean() for name in rounds[0]}
    return terms | _heatmap_terms(output, batch)


def _modern_round_terms(estimate: Estimate, batch: Batch) -> Terms:
    return {
        "reprojection": losses.reprojection_loss(estimate.keypoints_2d, batch.keypoints_2d, batch.weights_2d),
        "joints_3d": losses.absolute_joint_loss(
            _root_relative(estimate.keypoints_3d), _root_relative(batch.keypoints_3d), batch.weights_3d
        ),
        "rotations": losses.rotation_loss(estimate.rotations, batch.rotations, batch.pose_weights),
        "shape": losses.shape_loss(estimate.shape, batch.shapes, batch.shape_weights),
        "shape_prior": losses.shape_prior(estimate.shape),
        "knees": losses.hinge_prior(estimate.rotations, _KNEES),
    }


def _heatmap_terms(output: RecoveryOutput, batch: Batch) -> Terms:
    logits, seen = output.encoded.heatmaps, output.seen
    if logits is None or seen is None:
        return {}
    target = losses.gaussian_heatmaps(batch.keypoints_2d, logits.shape[-1], HEATMAP_SIGMA)
    inside = (batch.keypoints_2d.abs() < 1).all(-1).float()
    return {
        "heatmaps": losses.heatmap_loss(logits.float(), target, batch.weights_2d),
        "seen_keypoints": losses.reprojection_loss(
            seen.positions, batch.keypoints_2d, batch.weights_2d * inside
        ),
    }


OBJECTIVES: dict[str, Callable[[RecoveryOutput, Batch], Terms]] = {"hmr": hmr_terms, "modern": modern_terms}


def total(terms: Terms, weights: LossWeights, records: tuple[str, ...]) -> Tensor:
    """The weighted sum.

    Raises:
        DivergedError: where a term is not finite, naming it and the batch's first samples.
    """
    for name, value in terms.items():
        if not torch.isfinite(value):
            raise DivergedError(
                f"The term {name} is {value.item()} on a batch with {', '.join(records[:4])}, ... "
                "Lower the learning rate, or look at these samples."
            )
    return torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()


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
