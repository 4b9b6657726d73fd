"""Write a packed data set again with its crowd's mistakes mended where the network is sure of them.

Left and right of the arms, or of the legs, are exchanged where the heat maps say so clearly; a keypoint far from a sure
heat map counts little. Hold-outs are never to be mended: an error of the labels there is an error of every system alike.

    python tools/repair_labels.py SHARDS NAME NEW_NAME --weights default
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import NO_AUGMENTATION, plain_crops
from humanmesh.data.dataset import Sample, collate
from humanmesh.data.shards import ShardSource, data_sets_in, write_shards
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.network.precision import has_fast_bfloat16
from humanmesh.network.recovery import Recovery

SURE = 0.4
"""Confidence of a heat map from which it is believed against the crowd."""
SWAP_GAIN = 0.5
"""An exchange must bring the mean distance down to this share of it ..."""
SWAP_DISTANCE = 0.12
"""... where it was at least this far, in units of the longer side of the box."""
FAR = 0.25
"""Distance, in units of the box, from which a keypoint that a sure heat map contradicts is taken for a mistake."""
DOUBTED_WEIGHT = 0.2

LIMBS = {
    "arms": ("wrist", "elbow", "shoulder"),
    "legs": ("ankle", "knee", "hip"),
}
_BATCH = 32


@dataclass(frozen=True)
class Arguments:
    """What is mended with what."""

    shards: tyro.conf.Positional[Path]
    """Folder of packed data sets."""
    name: tyro.conf.Positional[str]
    """The data set to mend."""
    new_name: tyro.conf.Positional[str]
    """The data set to write."""
    weights: str = "default"
    """A checkpoint, or the name of a bundled one."""


def seen_keypoints(
    network: Recovery, samples: list[Sample], crop_size: int
) -> tuple[Float[Tensor, "batch 19 2"], Float[Tensor, "batch 19"]]:
    """Offsets of the heat maps' keypoints from the labels, in units of the box, and their confidences."""
    batch = plain_crops(collate(samples), crop_size)
    device = batch.images.device
    with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
        _, seen = network.see(batch.images.contiguous(memory_format=torch.channels_last))
    assert seen is not None
    stretch = NO_AUGMENTATION.margin / 2  # crop half-widths to boxes
    return torch.stack([seen.positions, batch.keypoints_2d], 1) * stretch, seen.confidences


def mended(
    sample: Sample, seen: np.ndarray, labelled: np.ndarray, confidences: np.ndarray
) -> tuple[Sample, list[str]]:
    """The sample with its labels mended, and the names of what was done."""
    mirror, order, done = list(COCOPLUS_19.mirror), np.arange(len(COCOPLUS_19)), []
    visible = (sample.weights_2d > 0) & (confidences > SURE)
    for limb, joints in LIMBS.items():
        rows = [COCOPLUS_19.index[f"{side}_{joint}"] for side in ("left", "right") for joint in joints]
        used = [row for row in rows if visible[row] and sample.weights_2d[mirror[row]] > 0]
        if len(used) < 4:
            continue
        kept = np.linalg.norm(seen[used] - labelled[used], axis=1).mean()
        swapped = np.linalg.norm(seen[used] - labelled[[mirror[row] for row in used]], axis=1).mean()
        if kept > SWAP_DISTANCE and swapped < SWAP_GAIN * kept:
            order[rows] = [mirror[row] for row in rows]
            done.append(limb)
    distance = np.linalg.norm(seen - labelled[order], axis=1)
    doubted = (sample.weights_2d[order] > 0) & (confidences > SURE) & (distance > FAR)
    done += ["keypoint"] * int(doubted.sum())
    weights = np.where(doubted, DOUBTED_WEIGHT, 1).astype(np.float32) * sample.weights_2d[order]
    return replace(sample, keypoints_2d=sample.keypoints_2d[order], weights_2d=weights), done


@torch.no_grad()
def repaired(
    source: ShardSource, network: Recovery, crop_size: int, counts: Counter[str]
) -> Iterator[Sample]:
    """Every sample of the source, mended; `counts` counts what was done."""
    for start in range(0, len(source), _BATCH):
        samples = [source[row] for row in range(start, min(start + _BATCH, len(source)))]
        points, confidences = seen_keypoints(network, samples, crop_size)
        for sample, (seen, labelled), sure in zip(samples, points.numpy(), confidences.numpy(), strict=True):
            changed, done = mended(sample, seen, labelled, sure)
            counts.update(done)
            yield changed


def main(arguments: Arguments) -> None:
    """Mend one data set."""
    path = weights_path(arguments.weights)
    network = load_recovery(path, load_body_data("anny")).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    crop_size = load_checkpoint(path).config.crop_size
    source = ShardSource(arguments.name, data_sets_in(arguments.shards)[arguments.name])
    counts: Counter[str] = Counter()
    people = write_shards(repaired(source, network, crop_size, counts), arguments.shards, arguments.new_name)
    exchanged = ", ".join(f"{counts[limb]:,} pairs of {limb}" for limb in LIMBS)
    print(f"{people:,} people: {exchanged} exchanged, {counts['keypoint']:,} keypoints doubted.")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
