"""3D labels for packed people whose photos carry 2D ones alone: bodies of a trained network that was told the 2D labels.

A fit that agrees with its photo is a better teacher than the network was (Kolotouros et al. 2019, who fit in every step of the training;
here it is done once beforehand). Of limbs whose places are known the length in the picture tells how far they turn out of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import NO_AUGMENTATION, plain_crops
from humanmesh.data.dataset import Batch, Sample, SampleSource, collate, unlabelled_3d
from humanmesh.errors import BadInputError
from humanmesh.geometry.rotations import matrix_to_axis_angle
from humanmesh.losses import root_relative
from humanmesh.network.recovery import Recovery
from humanmesh.network.regressor import Estimate

NEAR, FAR = 0.05, 0.12
"""Distance of the fit's keypoint from its label, in longer sides of the person's box: trusted wholly below, not at all above."""
FEWEST = 8
"""Joints of arms and legs that the fit must meet; both hips, about which 3D is measured, among them."""
JOINT_WEIGHT = 0.5
"""Of a joint that the fit meets, where one known from rendering or measuring has 1."""
POSE_WEIGHT = 0.3
"""Of the fit's rotations, but for those of feet and hands, which teach nothing (`training.step`); less than 1 says that 3D is guessed (`Sample.has_known_3d`)."""

_HIPS = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]
LIMBS = [
    COCOPLUS_19.index[f"{side}_{joint}"]
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
"""Rows of the joints of arms and legs."""
_BATCH = 32


@dataclass
class LabelReport:
    """What came of the people so far."""

    people: int = 0
    labelled: int = 0
    """Got 3D labels."""
    known: int = 0
    """Had measured or rendered ones, and kept them."""


def with_fitted_labels(
    source: Sequence[Sample] | SampleSource, network: Recovery, crop_size: int, report: LabelReport
) -> Iterator[Sample]:
    """Every sample of the source; those whose 3D is not known get that of a fit, as far as it meets the 2D labels.

    Args:
        source: packed people. Labels of an earlier fit are made anew.
        network: with heat maps, in eval mode.
        crop_size: pixels, of its crops.
        report: counts them.

    Raises:
        BadInputError: where the network's answers are no bodies.
    """
    for start in range(0, len(source), _BATCH):
        samples = [source[row] for row in range(start, min(start + _BATCH, len(source)))]
        unknown = [replace(sample, **unlabelled_3d()) for sample in samples if not sample.has_known_3d]
        fitted = iter(_fitted(unknown, network, crop_size) if unknown else [])
        for sample in samples:
            result = sample if sample.has_known_3d else next(fitted)
            report.people += 1
            report.known += sample.has_known_3d
            report.labelled += result is not sample and bool(result.weights_3d.any())
            yield result


@torch.no_grad()
def _fitted(samples: list[Sample], network: Recovery, crop_size: int) -> list[Sample]:
    device = next(network.parameters()).device
    batch = plain_crops(collate(samples).to(device), crop_size)
    crops = batch.images.contiguous(memory_format=torch.channels_last)
    # Not in bfloat16, which moved joints of three people by up to 1.6 cm: labels are made once and last.
    estimate = network.told(crops, batch.keypoints_2d, batch.weights_2d).last
    trust = agreement(estimate, batch)
    joints = root_relative(estimate.keypoints_3d, *_HIPS)
    poses = matrix_to_axis_angle(estimate.rotations).flatten(1)
    if not bool(trust.isfinite().all() and joints.isfinite().all() and poses.isfinite().all()):
        raise BadInputError("Weights", "their answer is no body", "Use weights whose training went well.")
    values = (tensor.float().cpu().numpy() for tensor in (trust, joints * (trust > 0)[..., None], poses))
    return [_labelled(*each) for each in zip(samples, *values, strict=True)]


def agreement(estimate: Estimate, batch: Batch) -> Float[Tensor, "batch 19"]:
    """How far each keypoint of a fit is trusted, from 0 to 1, by its distance from its label in a batch of plain crops; all 0 where
    too few agree, or where the camera sees the body in a mirror (a negative scale)."""
    in_boxes = NO_AUGMENTATION.margin / 2
    distances = in_boxes * (estimate.keypoints_2d - batch.keypoints_2d).norm(dim=-1)
    trust = batch.weights_2d * ((FAR - distances) / (FAR - NEAR)).clamp(0, 1)
    meets = (trust[:, _HIPS] > 0).all(1) & ((trust[:, LIMBS] > 0).sum(1) >= FEWEST)
    return trust * (meets & (estimate.camera.scale > 0))[:, None]


def _labelled(sample: Sample, trust: np.ndarray, joints: np.ndarray, pose: np.ndarray) -> Sample:
    if not trust.any():
        return sample
    return replace(
        sample, keypoints_3d=joints, weights_3d=JOINT_WEIGHT * trust, pose=pose, pose_weight=POSE_WEIGHT
    )
