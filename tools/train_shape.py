"""Teach the modern regressor to read shapes, from rendered people alone: `python tools/train_shape.py --help`.

The network's trunk sees each person once; then the reader learns from what it saw at the true keypoints, moved about as much as the
network's own are off. Nothing else of the network changes. Do this last: the reader fits the trunk that it was taught with.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.data.augmentation import plain_crops
from humanmesh.data.dataset import collate
from humanmesh.data.shards import ShardSource, data_sets_in
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint
from humanmesh.network.recovery import Recovery, build_recovery
from humanmesh.network.regressor import ShapeReader

_ENCODED_AT_ONCE = 50
_BATCH = 128
_KEYPOINTS_OFF = 0.03
"""Crop half-widths: standard deviation by which the reader's keypoints are moved."""


@dataclass(frozen=True)
class Arguments:
    """What is taught, from what, for how long."""

    shards: Path
    """Folder of packed data sets."""
    out: Path
    """Weights to write (.safetensors): those given, with a reader of shapes."""
    names: tuple[str, ...] = ("synthetic",)
    """Rendered data sets."""
    weights: str = "default"
    """Weights to start from, of the modern regressor: a checkpoint, or the name of a bundled one."""
    people: int = 20_000
    """Rendered people; a tenth of them is kept to measure on."""
    epochs: int = 20
    learning_rate: float = 2e-3
    """Largest of AdamW, in one cycle."""
    weight_decay: float = 0.05
    dropout: float = 0.1
    """Of the trunk's features, in training."""
    share: float = 0.5
    """Of what it learned to read that it says in the end: photos are less sure than rendered pictures (docs/weights.md)."""
    seed: int = 0


@dataclass(frozen=True)
class SeenPeople:
    """What the trunk saw of people whose shapes are known."""

    features: Float[Tensor, "people channels height width"]
    """At stride 16."""
    keypoints_2d: Float[Tensor, "people 19 2"]
    """Crop coordinates; far outside where a keypoint is not in the picture."""
    shapes: Float[Tensor, "people 10"]
    """Standard deviations."""

    def of(self, rows: Tensor) -> "SeenPeople":
        """Some of them."""
        return SeenPeople(self.features[rows].float(), self.keypoints_2d[rows], self.shapes[rows])

    def __len__(self) -> int:
        return len(self.shapes)


@torch.no_grad()
def see(network: Recovery, arguments: Arguments, crop_size: int) -> SeenPeople:
    """The trunk's features of the first people of each data set."""
    parts: list[SeenPeople] = []
    known = data_sets_in(arguments.shards)
    each = arguments.people // len(arguments.names)
    for source in (ShardSource(name, known[name]) for name in arguments.names):
        for start in range(0, min(each, len(source)), _ENCODED_AT_ONCE):
            rows = range(start, min(start + _ENCODED_AT_ONCE, each, len(source)))
            batch = plain_crops(collate([source[row] for row in rows]), crop_size)
            encoded = network.encoder(batch.images.contiguous(memory_format=torch.channels_last))
            places = torch.where(batch.weights_2d[..., None] > 0, batch.keypoints_2d, 9.0)
            parts.append(SeenPeople(encoded.trunk_features.to(torch.bfloat16), places, batch.shapes))
    seen = SeenPeople(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(arguments.seed))
    return SeenPeople(seen.features[order], seen.keypoints_2d[order], seen.shapes[order])


def teach(reader: ShapeReader, people: SeenPeople, body: BodyModelData, arguments: Arguments) -> None:
    """Train the reader, whose inputs have mean 0 and deviation 1 meanwhile; its errors weigh as much as vertices move."""
    people, middle, spread = _standardised(people)
    moved = body.shape_directions.square().sum(1).mean(0)
    weights = moved / moved.sum()
    kept = len(people) // 10
    steps = arguments.epochs * ((len(people) - kept) // _BATCH)
    optimizer = torch.optim.AdamW(
        reader.parameters(), arguments.learning_rate, weight_decay=arguments.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, arguments.learning_rate, steps)
    for epoch in range(arguments.epochs):
        order = kept + torch.randperm(len(people) - kept)
        for rows in order[: len(order) // _BATCH * _BATCH].split(_BATCH):
            drawn = people.of(rows)
            places = drawn.keypoints_2d + _KEYPOINTS_OFF * torch.randn_like(drawn.keypoints_2d)
            features = torch.nn.functional.dropout(drawn.features, arguments.dropout)
            loss = ((reader(features, places) - drawn.shapes).square() * weights).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: {report(reader, people, weights)}", flush=True)
    with torch.no_grad():
        reader.reduce.weight /= spread
        reader.reduce.bias -= (reader.reduce.weight * middle).sum((1, 2, 3))
        for parameter in reader.last.parameters():
            parameter *= arguments.share


def _standardised(people: SeenPeople) -> tuple[SeenPeople, Tensor, Tensor]:
    """The people with features of mean 0 and deviation 1, and what these were before."""
    sample = people.features[:: max(1, len(people) // 1000)].float()
    middle = sample.mean((0, 2, 3), keepdim=True).bfloat16()
    spread = sample.std((0, 2, 3), keepdim=True).clamp_min(1e-3).bfloat16()
    return replace(people, features=(people.features - middle) / spread), middle.float(), spread.float()


@torch.no_grad()
def report(reader: ShapeReader, people: SeenPeople, weights: Float[Tensor, "10"]) -> str:
    """How the reader does on the people who were kept."""
    kept = people.of(torch.arange(len(people) // 10))
    guess, truth = reader(kept.features, kept.keypoints_2d), kept.shapes
    left = ((guess - truth).square() * weights).sum() / (truth.square() * weights).sum()
    agreement = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(guess.T, truth.T, strict=True)]
    return f"{100 * left:.1f} % of the variance left; " + " ".join(f"{value:.2f}" for value in agreement)


def main(arguments: Arguments) -> None:
    """Teach the reader of a network and write the whole of it."""
    torch.manual_seed(arguments.seed)
    checkpoint = load_checkpoint(weights_path(arguments.weights))
    config, body = replace(checkpoint.config, shapes=True), load_body_data("anny")
    network = build_recovery(config, body).eval().to(memory_format=torch.channels_last)
    network.load_state_dict(checkpoint.state, strict=False)
    # Not the one that the weights may have: it fits another trunk.
    reader = network.regressor.shape_reader = ShapeReader(network.encoder.neck.trunk_channels)
    teach(reader, see(network, arguments, config.crop_size), body, arguments)
    save_checkpoint(arguments.out, config, network.state_dict(), notes=checkpoint.notes)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
