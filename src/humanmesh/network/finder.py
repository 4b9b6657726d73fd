"""Where people are in a photo, by an encoder with person heads: a look at the whole, looks at its parts, a closer one at each candidate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from humanmesh.body.skeletons import COCO_17
from humanmesh.geometry import crops
from humanmesh.network.encoder import KEYPOINTS, EncoderOutput

FINDER_PIXELS = 192
"""Side of the picture that the encoder looks at."""
PART = 0.5
"""Side of a part of a photo that is looked at by itself, in units of the photo's longer side; parts overlap by half. In
the whole photo people small in it are a few cells high."""
CANDIDATES = 16
"""People seen in one look, the clearest."""
CANDIDATE_SCORE = 0.12
"""Score in a look at the photo or a part from which a person gets a closer look."""
PERSON_SCORE = 0.35
"""Score in the closer look from which it is a person: something reached it in 5 of 25 pictures of nobody, and in 86 of 100
held-out sports photos the largest person found was the right one (`tools/measure_finder.py --candidate 0.12 --threshold 0.35`, 100 photos of each kind)."""
CROP_MARGIN = 1.4
"""Side of the closer look in units of the longer side of the box of the keypoints."""

_SAME_PERSON = 0.15
"""Mean distance of the keypoints, in units of the box's diagonal, below which two finds are one person."""
_CHUNK = 16
"""Crops that go through the network at once, which bounds the memory."""
_PEAK_CELLS = 5
"""Side in cells of the square in which a centre is the highest."""
_KEYPOINT_CELLS = 7
"""Side in cells of the square in which a keypoint's heat counts for it."""
_NEARNESS = 1.8
"""Cells added to the distance that divides a keypoint's heat; MoveNet's number."""
_FAINT = 0.02
"""Score below which nobody reads the keypoints, so that they stay the regressed ones."""
_WARM = 0.15
"""Heat from which a heat map is believed."""
_CENTRALITY = 0.35
"""Spread in crop half-widths of the weight on people near the middle of a closer look."""


@dataclass(frozen=True)
class Sightings:
    """The clearest people in each picture, the clearest first."""

    keypoints: Float[Tensor, "batch people 17 2"]
    """`COCO_17` in crop coordinates, also those that lie outside the picture."""
    scores: Float[Tensor, "batch people"]
    """Geometric mean of the heat of the centre and the mean heat of the keypoints; 0 where there are fewer people."""
    centralities: Float[Tensor, "batch people"]
    """1 for a centre in the middle of the picture, falling to 0 away from it."""


@dataclass(frozen=True)
class FoundPerson:
    """One person in a photo."""

    keypoints: Float[Tensor, "17 2"]
    """`COCO_17`, photo pixels."""
    score: float
    """In [0, 1]; at least the finder's `person_score`."""


class PersonFinder(nn.Module):
    """Finds people with the centre, offset and keypoint maps of an encoder built with `person_heads=True`."""

    def __init__(
        self,
        encoder: nn.Module,
        *,
        candidate_score: float = CANDIDATE_SCORE,
        person_score: float = PERSON_SCORE,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.candidate_score = candidate_score
        self.person_score = person_score

    @torch.no_grad()
    def find(self, photos: Sequence[Tensor], least_score: float | None = None) -> list[list[FoundPerson]]:
        """The people in each photo (3, height, width), the largest first; empty lists where there are none.

        Args:
            photos: RGB in [0, 1], of any sizes.
            least_score: score from which it is a person; the finder's `person_score` where None.
        """
        least = self.person_score if least_score is None else least_score
        candidates = [self._candidates(photo) for photo in photos]
        numbers = [number for number, some in enumerate(candidates) for _ in some]
        people: list[list[FoundPerson]] = [[] for _ in photos]
        if not numbers:
            return people
        keypoints = torch.stack([person.keypoints for some in candidates for person in some])
        keypoints, scores = self._closer_look([photos[number] for number in numbers], keypoints)
        for number, points, score in zip(numbers, keypoints, scores.tolist(), strict=True):
            if score >= least:
                people[number].append(FoundPerson(points, score))
        return [sorted(_once_each(some), key=_size, reverse=True) for some in people]

    def scores_of(
        self, photos: Sequence[Tensor], boxes: Float[Tensor, "photos 4"]
    ) -> Float[Tensor, "photos"]:
        """How clearly each photo shows a person in its box (x0, y0, x1, y1 in pixels)."""
        side = crops.margin_crop_side(boxes, CROP_MARGIN)
        sighted = self._sight(photos, crops.crop_from_photo(crops.box_center(boxes), side))
        return (sighted.scores * sighted.centralities).amax(1)

    def _candidates(self, photo: Float[Tensor, "3 height width"]) -> list[FoundPerson]:
        """Everyone whom a look at the whole photo or at a part of it shows, once each."""
        centers, sides = _looks(photo.shape[2], photo.shape[1])
        matrix = crops.crop_from_photo(centers, sides)
        sighted = self._sight([photo] * len(sides), matrix)
        looks, people = (sighted.scores >= self.candidate_score).nonzero(as_tuple=True)
        keypoints = crops.apply(torch.linalg.inv(matrix)[looks], sighted.keypoints[looks, people])
        scores = sighted.scores[looks, people].tolist()
        return _once_each(list(map(FoundPerson, keypoints, scores)))

    def _closer_look(
        self, photos: Sequence[Tensor], keypoints: Float[Tensor, "photos 17 2"]
    ) -> tuple[Float[Tensor, "photos 17 2"], Float[Tensor, "photos"]]:
        """Keypoints (photo pixels) and score of the person in the middle of a crop round the keypoints."""
        boxes = torch.cat([keypoints.amin(1), keypoints.amax(1)], 1)
        side = crops.margin_crop_side(boxes, CROP_MARGIN).clamp_min(1)
        matrix = crops.crop_from_photo(crops.box_center(boxes), side)
        sighted = self._sight(photos, matrix)
        people = (sighted.scores * sighted.centralities).argmax(1)
        rows = torch.arange(len(people))
        in_photo = crops.apply(torch.linalg.inv(matrix), sighted.keypoints[rows, people])
        return in_photo, sighted.scores[rows, people]

    def _sight(self, photos: Sequence[Tensor], crop_from_photo: Float[Tensor, "photos 3 3"]) -> Sightings:
        device = next(self.parameters()).device
        parts = []
        for start in range(0, len(photos), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(photos)))
            pixels = [crops.sample_crop(photos[n], crop_from_photo[n], FINDER_PIXELS) for n in chunk]
            pictures = torch.stack(pixels).to(device, memory_format=torch.channels_last)
            parts.append(sight_people(self.encoder(pictures)))
        return Sightings(
            torch.cat([part.keypoints for part in parts]).cpu(),
            torch.cat([part.scores for part in parts]).cpu(),
            torch.cat([part.centralities for part in parts]).cpu(),
        )


def _looks(width: int, height: int) -> tuple[Float[Tensor, "looks 2"], Float[Tensor, "looks"]]:
    """Centres and sides in pixels of the squares that are looked at: the whole photo, and parts of one with pixels enough."""
    longer = max(width, height)
    centers, sides = [(width / 2, height / 2)], [float(longer)]
    part = PART * longer
    if part >= FINDER_PIXELS:
        parts = [(x, y) for y in _middles(height, part) for x in _middles(width, part)]
        centers, sides = centers + parts, sides + [part] * len(parts)
    return torch.tensor(centers), torch.tensor(sides)


def _middles(length: int, part: float) -> list[float]:
    """Middles of as few parts as cover a length evenly, each overlapping the next by half at least."""
    steps = math.ceil(max(length - part, 0) / (part / 2))
    if not steps:
        return [length / 2]
    return [part / 2 + (length - part) * step / steps for step in range(steps + 1)]


def _once_each(people: list[FoundPerson]) -> list[FoundPerson]:
    """Finds that are one person, as the clearest of them; the clearest person first."""
    kept: list[FoundPerson] = []
    for person in sorted(people, key=lambda person: person.score, reverse=True):
        if not any(_is_same(person, other) for other in kept):
            kept.append(person)
    return kept


def _size(person: FoundPerson) -> float:
    """Diagonal of the box of the keypoints in pixels."""
    return float((person.keypoints.amax(0) - person.keypoints.amin(0)).norm())


def _is_same(person: FoundPerson, other: FoundPerson) -> bool:
    distance = float((person.keypoints - other.keypoints).norm(dim=-1).mean())
    return distance < _SAME_PERSON * max(_size(person), _size(other))


def sight_people(encoded: EncoderOutput) -> Sightings:
    """Read the person heads.

    Raises:
        ValueError: where the encoder has none.
    """
    center_logits, offsets, heatmaps = encoded.center_heatmap, encoded.center_offsets, encoded.heatmaps
    if center_logits is None or offsets is None or heatmaps is None:
        raise ValueError("people are found by an encoder with person_heads=True")
    heat, row, column = _peaks(center_logits.float().sigmoid()[:, 0])
    height, width = heatmaps.shape[-2:]
    places = (row * width + column)[:, None].expand(-1, offsets.shape[1], -1)
    cells = offsets.float().flatten(2).gather(2, places).transpose(1, 2).unflatten(2, (-1, 2))
    regressed = torch.stack([row, column], -1)[:, :, None] + cells
    keypoint_maps = heatmaps[:, COCO_17.indices_in(KEYPOINTS)].float().sigmoid()
    scores = (heat * _heat_at(keypoint_maps, *regressed.unbind(-1))).sqrt()
    picture, person = (scores >= _FAINT).nonzero(as_tuple=True)
    found = regressed.index_put(
        (picture, person), _snapped(keypoint_maps[picture], regressed[picture, person])
    )
    y, x = found.unbind(-1)
    cells_per_crop_unit = torch.tensor([width / 2, height / 2], device=x.device)
    centers = (torch.stack([column, row], -1) + 0.5) / cells_per_crop_unit - 1
    return Sightings(
        keypoints=(torch.stack([x, y], -1) + 0.5) / cells_per_crop_unit - 1,
        scores=scores,
        centralities=(-centers.square().sum(-1) / (2 * _CENTRALITY**2)).exp(),
    )


def _peaks(
    heat: Float[Tensor, "batch height width"],
) -> tuple[Float[Tensor, "batch people"], Int[Tensor, "batch people"], Int[Tensor, "batch people"]]:
    """Height, row and column of the highest local maxima; height 0 for what is none."""
    highest = F.max_pool2d(heat[:, None], _PEAK_CELLS, 1, _PEAK_CELLS // 2)[:, 0]
    is_peak = heat == highest
    peaks, places = torch.where(is_peak, heat, torch.zeros_like(heat)).flatten(1).topk(CANDIDATES, 1)
    return peaks, places // heat.shape[-1], places % heat.shape[-1]


def _snapped(
    heat: Float[Tensor, "people 17 height width"], regressed: Float[Tensor, "people 17 2"]
) -> Float[Tensor, "people 17 2"]:
    """Row and column of the heat that belongs to each regressed keypoint, as MoveNet chooses it; the regressed where all is cold.

    The regression falls short for stretched limbs; the heat map does not, but shows everybody's.
    """
    height, width = heat.shape[-2:]
    rows, columns = (torch.arange(size, device=heat.device) for size in (height, width))
    y, x = regressed[..., 0, None, None], regressed[..., 1, None, None]
    distance = torch.hypot(rows[:, None] - y, columns - x)
    place = (heat / (distance + _NEARNESS)).flatten(2).argmax(-1)
    chosen = torch.stack([place // width, place % width], -1).to(regressed.dtype)
    warmth = heat.flatten(2).gather(2, place[..., None])
    return torch.where(warmth >= _WARM, chosen, regressed)


def _heat_at(
    heat: Float[Tensor, "batch 17 height width"],
    y: Float[Tensor, "batch people 17"],
    x: Float[Tensor, "batch people 17"],
) -> Float[Tensor, "batch people"]:
    """Mean over the keypoints of the highest heat near each; places outside count at the edge."""
    height, width = heat.shape[-2:]
    cells, edge = _KEYPOINT_CELLS, _KEYPOINT_CELLS // 2
    # The highest of a square along its columns, then along its rows: nearly twice as fast as in one step.
    of_columns = F.max_pool2d(heat, (cells, 1), 1, (edge, 0))
    near = F.max_pool2d(of_columns, (1, cells), 1, (0, edge)).flatten(2)
    places = y.round().long().clamp(0, height - 1) * width + x.round().long().clamp(0, width - 1)
    return near.gather(2, places.transpose(1, 2)).mean(1)
