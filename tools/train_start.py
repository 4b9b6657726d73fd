"""Teach the modern regressor's lifted start from motion capture, without pictures: `python tools/train_start.py --help`.

Recorded poses with drawn shapes are seen by drawn cameras; what the heat maps would say of them is the true keypoints with
the errors (of depths, too), confidences and spreads that the network's own maps showed of one rendered person, drawn anew each time.
"""

import math
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from humanmesh.data.augmentation import AugmentationConfig, augment
from humanmesh.data.dataset import Batch, collate
from humanmesh.data.shards import ShardSource, data_sets_in
from humanmesh.data.synthetic_poses import PoseConfig
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint
from humanmesh.fitting.projected_people import (
    ProjectedPeople,
    ProjectionConfig,
    project_people,
    read_training_poses,
)
from humanmesh.network.encoder import EncoderOutput
from humanmesh.network.recovery import Recovery, RecoveryOutput, build_recovery
from humanmesh.network.regressor import HeatmapKeypoints, depths_of
from humanmesh.training.config import MODERN, LossWeights
from humanmesh.training.step import OBJECTIVES, total

_ENCODED_AT_ONCE = 48
_DRAWN_AT_ONCE = 8192
_OUTSIDE = 0.95
"""Crop half-widths: where the heat maps place a keypoint that lies outside, at most."""


@dataclass(frozen=True)
class Arguments:
    """What is taught, from what, for how long."""

    motion: Path
    """.npz that `humanmesh data motion` wrote."""
    shards: Path
    """Folder of packed data sets."""
    out: Path
    """Weights to write (.safetensors): those given, with a start."""
    name: str = "synthetic"
    """The rendered data set that the errors of the heat maps are taken from."""
    weights: str = "default"
    """Weights to start from, of the modern regressor: a checkpoint, or the name of a bundled one."""
    people: int = 6000
    """Rendered people whose errors are taken."""
    seconds: float = 600.0
    """Length of the training."""
    batch_size: int = 512
    learning_rate: float = 1e-3
    """Of AdamW; it falls to 0 along a cosine."""
    roll_degrees: float = 20.0
    """Standard deviation of the turn in the picture's plane."""
    arbitrary_view_share: float = 0.2
    """People turned at random in all three dimensions."""
    seed: int = 0


@dataclass(frozen=True)
class HeatmapErrors:
    """What heat maps said of rendered people whose keypoints are known."""

    offsets: Float[Tensor, "people 19 2"]
    """From the true keypoints, crop half-widths; of unknown ones 0."""
    confidences: Float[Tensor, "people 19"]
    spreads: Float[Tensor, "people 19"]
    known: Float[Tensor, "people 19"]
    """1 where the true keypoint lay in the crop."""
    depths: Float[Tensor, "people 19"] | None = None
    """From the true depths, metres; None of a network that reads none."""

    def seen(self, people: ProjectedPeople, generator: torch.Generator) -> HeatmapKeypoints:
        """What heat maps might say of these people."""
        rows = torch.randint(len(self.known), (len(people.shape),), generator=generator)
        # A person with a keypoint outside borrows, for it, from somebody whose keypoint is unknown, and the reverse.
        fits = self.known[rows] == people.weights
        other = torch.stack([self._rows_like(people.weights[:, k], k, generator) for k in range(19)], 1)
        rows = torch.where(fits, rows[:, None], other)
        keypoint = torch.arange(19)
        positions = people.points_2d + self.offsets[rows, keypoint]
        return HeatmapKeypoints(
            positions.clamp(-_OUTSIDE, _OUTSIDE),
            self.confidences[rows, keypoint],
            self.spreads[rows, keypoint],
            None if self.depths is None else depths_of(people.points_3d) + self.depths[rows, keypoint],
        )

    def _rows_like(
        self, weights: Float[Tensor, "people"], keypoint: int, generator: torch.Generator
    ) -> Tensor:
        """A row for each person whose keypoint is known as theirs is, or any where there is none."""
        rows = torch.randint(len(self.known), (len(weights),), generator=generator)
        for known in (0.0, 1.0):
            of_kind = (self.known[:, keypoint] == known).nonzero().squeeze(1)
            if len(of_kind):
                drawn = of_kind[torch.randint(len(of_kind), (len(weights),), generator=generator)]
                rows = torch.where(weights == known, drawn, rows)
        return rows


@torch.no_grad()
def heatmap_errors(network: Recovery, source: ShardSource, people: int, size: int) -> HeatmapErrors:
    """Errors of the network's heat maps on augmented people of a source."""
    parts = []
    for first in range(0, min(people, len(source)), _ENCODED_AT_ONCE):
        rows = range(first, min(first + _ENCODED_AT_ONCE, len(source), people))
        stored = collate([source[row] for row in rows])
        batch = augment(stored, AugmentationConfig(), size, torch.Generator().manual_seed(first))
        seen = network(batch.images).seen
        assert seen is not None
        known = (batch.weights_2d > 0).float() * (batch.keypoints_2d.abs() < 1).all(-1)
        offsets = (seen.positions - batch.keypoints_2d) * known[..., None]
        depths = None if seen.depths is None else seen.depths - depths_of(batch.keypoints_3d)
        parts.append(HeatmapErrors(offsets, seen.confidences, seen.spreads, known, depths))
    names = [field.name for field in fields(HeatmapErrors) if getattr(parts[0], field.name) is not None]
    return HeatmapErrors(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def as_batch(people: ProjectedPeople) -> Batch:
    """The labels of projected people, without pictures."""
    count = len(people.shape)
    ones = torch.ones(count)
    return Batch(
        images=torch.zeros(count, 3, 1, 1),
        keypoints_2d=people.points_2d,
        weights_2d=people.weights,
        boxes=torch.zeros(count, 4),
        keypoints_3d=people.points_3d,
        weights_3d=torch.ones_like(people.weights),
        rotations=people.rotations,
        pose_weights=ones,
        shapes=people.shape,
        shape_weights=ones,
        records=("",) * count,
    )


def teach(network: Recovery, errors: HeatmapErrors, arguments: Arguments) -> None:
    """Train the start; nothing else of the network changes."""
    start = network.regressor.start
    generator = torch.Generator().manual_seed(arguments.seed)
    library = read_training_poses(arguments.motion)
    poses = PoseConfig(
        roll_degrees=arguments.roll_degrees, arbitrary_view_share=arguments.arbitrary_view_share
    )
    optimizer = torch.optim.AdamW(start.parameters(), arguments.learning_rate, weight_decay=1e-2)
    weights = replace(MODERN.losses, heatmaps=0.0, seen_keypoints=0.0)
    began, step = time.monotonic(), 0
    while (share := (time.monotonic() - began) / arguments.seconds) < 1:
        drawn = project_people(_DRAWN_AT_ONCE, network.body, library, generator, ProjectionConfig(poses))
        for rows in torch.arange(len(drawn.shape)).split(arguments.batch_size):
            people = ProjectedPeople(**{name: value[rows] for name, value in vars(drawn).items()})
            optimizer.param_groups[0]["lr"] = arguments.learning_rate * (1 + math.cos(math.pi * share)) / 2
            report = _step(network, people, errors.seen(people, generator), weights, optimizer)
            step += 1
        print(f"{step} steps, {time.monotonic() - began:.0f} s: {report}", flush=True)


def _step(
    network: Recovery,
    people: ProjectedPeople,
    seen: HeatmapKeypoints,
    weights: LossWeights,
    optimizer: torch.optim.Optimizer,
) -> str:
    start, mean = network.regressor.start, network.regressor.state.mean.detach()
    estimate = network.interpret(start(seen, mean))
    output = RecoveryOutput((estimate,), EncoderOutput(torch.zeros(len(people.shape), 1)), None)
    terms = OBJECTIVES["modern"](output, as_batch(people))
    loss = total(terms, weights)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return ", ".join(f"{name} {float(term.value.detach()):.4f}" for name, term in terms.items())


def main(arguments: Arguments) -> None:
    """Teach the start of a network and write the whole of it."""
    checkpoint = load_checkpoint(weights_path(arguments.weights))
    config = replace(checkpoint.config, lifted_start=True, lens_slope=MODERN.network.lens_slope)
    network = build_recovery(config, load_body_data("anny")).eval()
    network.load_state_dict(checkpoint.state, strict=False)
    network.refinements = 0
    source = ShardSource(arguments.name, data_sets_in(arguments.shards)[arguments.name])
    errors = heatmap_errors(network, source, arguments.people, config.crop_size)
    teach(network, errors, arguments)
    save_checkpoint(arguments.out, config, network.state_dict(), notes=checkpoint.notes)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
