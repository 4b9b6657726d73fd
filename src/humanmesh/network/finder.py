"""Where people are in a photo, by an encoder with person heads: one look at the whole, one closer at each candidate."""

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
CANDIDATES = 16
"""People looked at in one photo, the clearest."""
CANDIDATE_SCORE = 0.12
"""Score in the whole photo from which a person gets a closer look."""
PERSON_SCORE = 0.35
"""Score in the closer look from which it is a person: 2 of 19 pictures of nobody reached it, and in 85 of 100
held-out sports photos the largest person found was the right one (`tools/measure_finder.py`)."""
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
        numbers, keypoints = self._candidates(photos) if photos else ([], torch.zeros(0, 17, 2))
        if not numbers:
            return [[] for _ in photos]
        keypoints, scores = self._closer_look([photos[number] for number in numbers], keypoints)
        people: list[list[FoundPerson]] = [[] for _ in photos]
        for row in scores.argsort(descending=True).tolist():
            person = FoundPerson(keypoints[row], float(scores[row]))
            already = people[numbers[row]]
            if person.score >= least and not any(_is_same(person, other) for other in already):
                already.append(person)
        return [sorted(some, key=_size, reverse=True) for some in people]

    def scores_of(
        self, photos: Sequence[Tensor], boxes: Float[Tensor, "photos 4"]
    ) -> Float[Tensor, "photos"]:
        """How clearly each photo shows a person in its box (x0, y0, x1, y1 in pixels)."""
        side = crops.margin_crop_side(boxes, CROP_MARGIN)
        sighted = self._sight(photos, crops.crop_from_photo(crops.box_center(boxes), side))
        return (sighted.scores * sighted.centralities).amax(1)

    def _candidates(self, photos: Sequence[Tensor]) -> tuple[list[int], Float[Tensor, "candidates 17 2"]]:
        """Everyone whom a look at the whole photo shows: photo numbers, and keypoints in photo pixels."""
        sizes = torch.tensor([[photo.shape[2], photo.shape[1]] for photo in photos], dtype=torch.float32)
        matrix = crops.crop_from_photo(sizes / 2, sizes.amax(1))
        sighted = self._sight(photos, matrix)
        rows, people = (sighted.scores >= self.candidate_score).nonzero(as_tuple=True)
        photo_from_crop = torch.linalg.inv(matrix)[rows]
        return rows.tolist(), crops.apply(photo_from_crop, sighted.keypoints[rows, people])

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
            parts.append(sight_people(self.encoder(torch.stack(pixels).to(device))))
        return Sightings(
            torch.cat([part.keypoints for part in parts]).cpu(),
            torch.cat([part.scores for part in parts]).cpu(),
            torch.cat([part.centralities for part in parts]).cpu(),
        )


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
    y, x = _snapped(keypoint_maps, regressed).unbind(-1)
    cells_per_crop_unit = torch.tensor([width / 2, height / 2], device=x.device)
    centers = (torch.stack([column, row], -1) + 0.5) / cells_per_crop_unit - 1
    keypoint_heat = _heat_at(keypoint_maps, *regressed.unbind(-1))
    return Sightings(
        keypoints=(torch.stack([x, y], -1) + 0.5) / cells_per_crop_unit - 1,
        scores=(heat * keypoint_heat).sqrt(),
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
    heat: Float[Tensor, "batch 17 height width"], regressed: Float[Tensor, "batch people 17 2"]
) -> Float[Tensor, "batch people 17 2"]:
    """Row and column of the heat that belongs to each regressed keypoint, as MoveNet chooses it; the regressed where all is cold.

    The regression falls short for stretched limbs; the heat map does not, but shows everybody's.
    """
    height, width = heat.shape[-2:]
    rows, columns = (torch.arange(size, device=heat.device) for size in (height, width))
    y, x = regressed[..., 0, None, None], regressed[..., 1, None, None]
    distance = torch.hypot(rows[:, None] - y, columns - x)
    weighted = (heat[:, None] / (distance + _NEARNESS)).flatten(3)
    place = weighted.argmax(-1)
    chosen = torch.stack([place // width, place % width], -1).to(regressed.dtype)
    warmth = heat.flatten(2).gather(2, place.transpose(1, 2)).transpose(1, 2)
    return torch.where(warmth[..., None] >= _WARM, chosen, regressed)


def _heat_at(
    heat: Float[Tensor, "batch 17 height width"],
    y: Float[Tensor, "batch people 17"],
    x: Float[Tensor, "batch people 17"],
) -> Float[Tensor, "batch people"]:
    """Mean over the keypoints of the highest heat near each; places outside count at the edge."""
    height, width = heat.shape[-2:]
    near = F.max_pool2d(heat, _KEYPOINT_CELLS, 1, _KEYPOINT_CELLS // 2).flatten(2)
    places = y.round().long().clamp(0, height - 1) * width + x.round().long().clamp(0, width - 1)
    return near.gather(2, places.transpose(1, 2)).mean(1)
