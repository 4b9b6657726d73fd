"""Train the person finder: `python tools/train_finder.py --help`.

It starts from another finder, as `build_finder.py` makes one, and learns from photos of one person, tiles of
them, and composed pictures of several people or of nobody (`finder_pictures.py`).
"""

import argparse
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from finder_pictures import MOST_PEOPLE, Composer, People, Picture, Sources, boxes_of, read_sources
from humanmesh.body.skeletons import COCO_17
from humanmesh.files.finders import load_finder, save_finder
from humanmesh.losses import gaussian_heatmaps, heatmap_loss, weighted_mean
from humanmesh.network.encoder import KEYPOINTS, EncoderOutput
from humanmesh.network.finder import FINDER_PIXELS

ENCODER = "mobilenet_v2_fpn"
CELLS = FINDER_PIXELS // 4
NOTES = {
    "source": "trained with tools/train_finder.py on composed and real photos, from MoveNet Lightning (Google)",
    "licence": "Apache-2.0",
    "purpose": "finds people in a whole photo: centre, keypoint offsets, keypoint heat maps",
}


@dataclass(frozen=True)
class TrainingConfig:
    """How the finder is trained."""

    batch_size: int = 32
    learning_rate: float = 1e-4
    """Of AdamW for pyramid and heads at its highest; it falls as a cosine to 0 at the end of the time."""
    trunk_rate: float = 0.15
    """Learning rate of the layers before the pyramid, in units of the others'."""
    weight_decay: float = 1e-2
    warm_up: float = 0.04
    """Share of the time in which the learning rate rises."""
    center_sigma: float = 1.3
    """Spread of the target of a centre in cells."""
    keypoint_sigma: float = 1.0
    """Spread of the target of a keypoint in cells."""
    keypoint_weight: float = 0.3
    """Weight of the loss of the keypoints' heat."""
    offset_weight: float = 20.0
    """Weight of the error of the offsets in units of the person's size."""
    average_decay: float = 0.99
    """Of the running average of the weights, which is what is saved."""
    stranger_heat: float = 0.1
    """Heat of the network at the start from which an unlabelled place of a photo may hold a person."""


@dataclass(frozen=True)
class PictureBatch:
    """Pictures with their people, padded to one number."""

    pixels: Float[Tensor, "batch 3 size size"]
    people: People
    """The people of all pictures in one row: `MOST_PEOPLE` a picture, those without weight none at all."""
    has_strangers: Bool[Tensor, "batch"]


class PictureStream(IterableDataset):
    """Endless batches of new pictures; each worker and each pass draws its own."""

    def __init__(self, sources: Sources, batch_size: int, seed: int) -> None:
        self.sources = sources
        self.batch_size = batch_size
        self.seed = seed

    def __iter__(self) -> Iterator[PictureBatch]:
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        number = 0 if worker is None else worker.id
        composer = Composer(self.sources, FINDER_PIXELS, np.random.default_rng((self.seed, number)))
        while True:
            yield batch_of([composer.picture() for _ in range(self.batch_size)])


def batch_of(pictures: list[Picture]) -> PictureBatch:
    """Stack pictures; of too many people the farthest are left out."""
    people = [_padded(picture.people) for picture in pictures]
    return PictureBatch(
        torch.stack([picture.pixels for picture in pictures]),
        People(*(torch.cat([getattr(one, name) for one in people]) for name in vars(people[0]))),
        torch.tensor([picture.has_strangers for picture in pictures]),
    )


def _padded(people: People) -> People:
    def padded(values: Tensor) -> Tensor:
        values = values[-MOST_PEOPLE:]
        missing = MOST_PEOPLE - len(values)
        return torch.cat([values, values.new_zeros(missing, *values.shape[1:])])

    return People(*(padded(values) for values in vars(people).values()))


@dataclass(frozen=True)
class Targets:
    """What the person heads should say."""

    centers: Float[Tensor, "batch 1 cells cells"]
    keypoints: Float[Tensor, "batch 17 cells cells"]
    keypoint_weights: Float[Tensor, "batch 17"]
    """0 where not every person of the picture has that keypoint."""


def targets_of(
    batch: PictureBatch, strangers: Bool[Tensor, "batch 18 cells cells"], config: TrainingConfig
) -> Targets:
    """Gaussians at the people; just below 1, where the loss is silent, at what may or may not be a person.

    Args:
        strangers: where somebody without a label may have the centre, and each of 17 keypoints.
    """
    count = len(batch.pixels)
    people = batch.people
    exists = (people.weights > 0).any(1).view(count, MOST_PEOPLE)
    is_clear = people.is_clear.view(count, MOST_PEOPLE) & exists
    centers = people.centers.view(count, MOST_PEOPLE, 2)
    height = gaussian_heatmaps(centers, CELLS, config.center_sigma)
    clear = (height * is_clear[..., None, None]).amax(1, keepdim=True)
    distance = _distances(centers) / _sizes(people).view(count, MOST_PEOPLE)[..., None, None]
    near_unclear = ((distance < 0.35) & (exists & ~is_clear)[..., None, None]).any(1, keepdim=True)
    near_clear = ((distance < 0.35) & is_clear[..., None, None]).any(1, keepdim=True)
    hot = F.max_pool2d(strangers[:, :1].float(), 3, 1, 1) > 0
    silent = (near_unclear | hot) & ~near_clear
    points = people.keypoints.view(count, MOST_PEOPLE * 17, 2)
    drawn = gaussian_heatmaps(points, CELLS, config.keypoint_sigma).unflatten(1, (MOST_PEOPLE, 17))
    has = (people.weights > 0).view(count, MOST_PEOPLE, 17)
    lit = (drawn * (has & is_clear[..., None])[..., None, None]).amax(1)
    dim = (drawn * (has & ~is_clear[..., None])[..., None, None]).amax(1) > 0.1
    dim |= strangers[:, 1:]
    complete = (has | ~exists[..., None]).all(1).float()
    return Targets(_silenced(clear, silent), _silenced(lit, dim), complete)


def _silenced(target: Tensor, silent: Tensor) -> Tensor:
    return torch.where(silent & (target < 1), 0.999, target)


def _distances(centers: Float[Tensor, "batch people 2"]) -> Float[Tensor, "batch people cells cells"]:
    """From each centre to the middle of each cell, in crop units."""
    steps = (torch.arange(CELLS, device=centers.device) + 0.5) * (2 / CELLS) - 1
    x, y = (steps - centers[..., None]).square().unbind(-2)
    return (y[..., :, None] + x[..., None, :]).sqrt()


def _sizes(people: People) -> Float[Tensor, "people"]:
    """Longer side of the box of the keypoints in crop units; 1 for nobody."""
    box = boxes_of(people)
    size = (box[:, 2:] - box[:, :2]).amax(1)
    return torch.where(size > 0, size, 1.0)


def loss_of(output: EncoderOutput, batch: PictureBatch, targets: Targets, config: TrainingConfig) -> Tensor:
    """Heat of centres and keypoints, and the offsets at and round the centres."""
    assert output.center_heatmap is not None
    assert output.center_offsets is not None
    assert output.heatmaps is not None
    everyone = torch.ones(len(batch.pixels), 1, device=output.center_heatmap.device)
    center = heatmap_loss(output.center_heatmap.float(), targets.centers, everyone)
    rows = COCO_17.indices_in(KEYPOINTS)
    keypoint = heatmap_loss(output.heatmaps[:, rows].float(), targets.keypoints, targets.keypoint_weights)
    return (
        center
        + config.keypoint_weight * keypoint
        + config.offset_weight * _offset_loss(output.center_offsets.float(), batch.people)
    )


def _offset_loss(offsets: Float[Tensor, "batch 34 cells cells"], people: People) -> Float[Tensor, ""]:
    """Mean absolute error at the 3 x 3 cells round each centre, in units of the person's size."""
    pictures = torch.arange(len(offsets), device=offsets.device).repeat_interleave(MOST_PEOPLE)
    cell = ((people.centers + 1) * (CELLS / 2)).floor().long()
    wanted = (people.keypoints + 1) * (CELLS / 2) - 0.5
    sizes = _sizes(people) * (CELLS / 2)
    errors, weights = [], []
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            x, y = cell[:, 0] + step_x, cell[:, 1] + step_y
            inside = (x >= 0) & (x < CELLS) & (y >= 0) & (y < CELLS) & people.is_clear
            x, y = x.clamp(0, CELLS - 1), y.clamp(0, CELLS - 1)
            found = offsets[pictures, :, y, x].unflatten(1, (17, 2)).flip(-1)
            found = found + torch.stack([x, y], -1)[:, None]
            errors.append((found - wanted).abs().mean(-1) / sizes[:, None])
            weights.append(people.weights * inside[:, None] * (1.0 if step_x == step_y == 0 else 0.25))
    return weighted_mean(torch.stack(errors), torch.stack(weights))


class FinderTrainer:
    """An encoder with person heads in training, its average, and the network that it started from."""

    def __init__(self, encoder: nn.Module, config: TrainingConfig) -> None:
        self.config = config
        self.encoder = encoder.to(memory_format=torch.channels_last).train()
        self.teacher = deepcopy(encoder).eval().requires_grad_(requires_grad=False)
        self.average = deepcopy(encoder).eval().requires_grad_(requires_grad=False)
        named = list(encoder.named_parameters())
        groups = [
            {"params": [value for name, value in named if name.startswith("neck.")], "share": 1.0},
            {
                "params": [value for name, value in named if not name.startswith("neck.")],
                "share": config.trunk_rate,
            },
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.steps = 0
        self.elapsed = 0.0

    def step(self, batch: PictureBatch, progress: float) -> float:
        """One step of the optimiser at that share of the time; returns the loss."""
        rate = self.config.learning_rate * min(progress / self.config.warm_up, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * rate * (1 + math.cos(math.pi * progress)) / 2
        pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            strangers = self._strangers(pixels, batch.has_strangers)
            output = self.encoder(pixels)
        loss = loss_of(output, batch, targets_of(batch, strangers, self.config), self.config)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 5.0)
        self.optimizer.step()
        self.steps += 1
        decay = min(self.config.average_decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.encoder.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def _strangers(self, pixels: Tensor, has_strangers: Tensor) -> Tensor:
        """Where the network at the start sees anyone: its centre and its 17 keypoints; nowhere in other pictures."""
        seen = torch.zeros(len(pixels), 18, CELLS, CELLS, dtype=torch.bool)
        if has_strangers.any():
            output = self.teacher(pixels[has_strangers])
            heat = torch.cat([output.center_heatmap, output.heatmaps[:, COCO_17.indices_in(KEYPOINTS)]], 1)
            seen[has_strangers] = heat.float().sigmoid() > self.config.stranger_heat
        return seen

    def save(self, path: Path) -> None:
        """Write everything that goes on changing."""
        parts = {"encoder": self.encoder, "average": self.average, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        partial = path.with_suffix(".part")
        torch.save({**state, "steps": self.steps, "elapsed": self.elapsed}, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on where `save` was called; the teacher stays what the trainer was made with."""
        state = torch.load(path, weights_only=True)
        for name, part in (
            ("encoder", self.encoder), ("average", self.average), ("optimizer", self.optimizer)
        ):  # fmt: skip
            part.load_state_dict(state[name])
        self.steps, self.elapsed = state["steps"], state["elapsed"]


def train(trainer: FinderTrainer, batches: Iterator[PictureBatch], max_time: float, run: Path) -> None:
    """Train for `max_time` seconds in all, with a checkpoint a minute."""
    last, saved, losses = time.monotonic(), time.monotonic(), []
    while trainer.elapsed < max_time:
        losses.append(trainer.step(next(batches), trainer.elapsed / max_time))
        now = time.monotonic()
        trainer.elapsed, last = trainer.elapsed + now - last, now
        if trainer.steps % 20 == 0:
            mean = sum(losses) / len(losses)
            print(f"step {trainer.steps}  {trainer.elapsed:.0f} s  loss {mean:.4f}", flush=True)
            losses.clear()
        if now - saved > 60:
            trainer.save(run / "checkpoint.pt")
            saved = now
    trainer.save(run / "checkpoint.pt")


@torch.no_grad()
def blended(encoder: nn.Module, origin: nn.Module, share: float) -> nn.Module:
    """Weights between those of the origin and the trained ones (Wortsman et al. 2022).

    They keep more of what the origin knows of photos unlike those trained on.

    Args:
        share: that of the trained weights.
    """
    result = deepcopy(origin)
    for value, trained in zip(result.parameters(), encoder.parameters(), strict=True):
        value.lerp_(trained, share)
    return result


def contact_sheet(pictures: list[Picture], path: Path) -> None:
    """Pictures in rows of eight with their people: green those to find, red the others; the centre is a square."""
    size = pictures[0].pixels.shape[-1]
    sheet = Image.new("RGB", (8 * size, -(-len(pictures) // 8) * size))
    for number, picture in enumerate(pictures):
        pixels = (picture.pixels.permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
        image = Image.fromarray(np.ascontiguousarray(pixels))
        draw = ImageDraw.Draw(image)
        people = picture.people
        for person in range(len(people.centers)):
            color = "lime" if people.is_clear[person] else "red"
            points = ((people.keypoints[person] + 1) * (size / 2))[people.weights[person] > 0].tolist()
            for x, y in points:
                draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=color)
            x, y = ((people.centers[person] + 1) * (size / 2)).tolist()
            draw.rectangle((x - 2, y - 2, x + 2, y + 2), outline=color)
        sheet.paste(image, (number % 8 * size, number // 8 * size))
    sheet.save(path)


def main() -> None:
    """Train, or draw a sheet of the pictures to train on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, help="folder of lspet/, clothing_coparsing/, exercises/, backgrounds/"
    )
    parser.add_argument("run", type=Path, help="folder for the checkpoint and finder.safetensors")
    parser.add_argument("--synthetic", type=Path, nargs="+", required=True, help="folders of part_*.pt")
    parser.add_argument("--start", type=Path, required=True, help="finder to start from")
    parser.add_argument(
        "--origin", type=Path, help="finder to blend with at the end; that of --start if not given"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the trained weights in the blend, 0 to 1"
    )
    parser.add_argument("--max-time", type=float, default=360, help="seconds")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=int, help="draw this many pictures into sheet.png instead")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    config = TrainingConfig()
    sources, _ = read_sources(arguments.data, arguments.synthetic)
    if arguments.sheet:
        composer = Composer(sources, FINDER_PIXELS, np.random.default_rng(arguments.seed))
        contact_sheet([composer.picture() for _ in range(arguments.sheet)], arguments.run / "sheet.png")
        return
    trainer = FinderTrainer(load_finder(arguments.start).encoder, config)
    checkpoint = arguments.run / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(checkpoint)
    # A resumed run draws other pictures than the run before it.
    stream = PictureStream(sources, config.batch_size, arguments.seed + trainer.steps)
    loader = DataLoader(stream, batch_size=None, num_workers=arguments.workers)
    train(trainer, iter(loader), arguments.max_time, arguments.run)
    origin = load_finder(arguments.origin or arguments.start).encoder
    blend = blended(trainer.average, origin, arguments.share)
    save_finder(arguments.run / "finder.safetensors", ENCODER, blend, NOTES)


if __name__ == "__main__":
    main()
