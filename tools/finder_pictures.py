"""Pictures to train the person finder on: photos, tiles of photos, and people cut out and put before empty places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.data.readers import read_ccp, read_coco, read_lspet
from humanmesh.data.readers.ccp import read_person_mask
from humanmesh.data.splits import split
from humanmesh.geometry import crops

STORED_PIXELS = 288
"""Longer side at which photos are kept in memory."""
MOST_PEOPLE = 6
"""People in a picture at most."""
CLOSE_MARGIN = 1.4
"""Side of a close picture in units of the longer side of the box of the keypoints, as at the finder's closer look."""
SMALLEST_PERSON = 0.11
"""Longer side of the box of the keypoints, as a share of the picture's, from which a person should be found."""
VISIBLE_SHARE = 0.35
"""Share of a person that must be in sight."""

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_FEWEST_KEYPOINTS = 10
_LOWEST_SCORE = 0.3
"""Mean weight of the keypoints from which a label says that there is a person."""
_EVERY_RESERVED = 20


@dataclass(frozen=True)
class People:
    """The people in a picture, the farthest first."""

    keypoints: Float[Tensor, "people 17 2"]
    """`COCO_17`; pixels or crop coordinates, as the owner says."""
    weights: Float[Tensor, "people 17"]
    centers: Float[Tensor, "people 2"]
    """Mean of all 17 keypoints, which is where MoveNet's heat of centres peaks."""
    is_clear: Bool[Tensor, "people"]
    """Whether the finder should find the person; otherwise either answer is right."""

    def moved(self, matrix: Float[Tensor, "3 3"], *, mirrored: bool = False) -> "People":
        """The same under an affine map; `mirrored` where that map turns left into right."""
        order = list(COCO_17.mirror) if mirrored else list(range(len(COCO_17)))
        keypoints = crops.apply(matrix.expand(len(self.centers), 3, 3), self.keypoints)[:, order]
        centers = crops.apply(matrix[None], self.centers[None])[0]
        return replace(self, keypoints=keypoints, weights=self.weights[:, order], centers=centers)


@dataclass(frozen=True)
class Picture:
    """A square picture."""

    pixels: Float[Tensor, "3 size size"]
    """RGB in [0, 1]."""
    people: People
    """In crop coordinates."""
    has_strangers: bool
    """Whether there may be people without a label."""


@dataclass(frozen=True)
class Photo:
    """A photo in memory."""

    pixels: Float[Tensor, "channels height width"]
    """RGB in [0, 1]; a cut-out has a fourth channel, the person's mask, and is black outside of it."""
    people: People
    """In pixels."""


def nobody() -> People:
    """No people."""
    return People(
        torch.zeros(0, 17, 2), torch.zeros(0, 17), torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool)
    )


def together(groups: Sequence[People]) -> People:
    """All the people of several groups."""
    return People(
        torch.cat([group.keypoints for group in groups]),
        torch.cat([group.weights for group in groups]),
        torch.cat([group.centers for group in groups]),
        torch.cat([group.is_clear for group in groups]),
    )


def boxes_of(people: People) -> Float[Tensor, "people 4"]:
    """Smallest boxes round the known keypoints."""
    return crops.box_of_keypoints(people.keypoints, people.weights)


class PhotoFiles:
    """Photos by number, read from disk once, small."""

    def __init__(self, annotations: Sequence[Annotation | Path], *, cut_out: bool = False) -> None:
        self.annotations = annotations
        self.cut_out = cut_out
        self._kept: dict[int, tuple[np.ndarray, People]] = {}

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, number: int) -> Photo:
        if number not in self._kept:
            self._kept[number] = self._read(self.annotations[number])
        pixels, people = self._kept[number]
        return Photo(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, people)

    def _read(self, annotation: Annotation | Path) -> tuple[np.ndarray, People]:
        path = annotation if isinstance(annotation, Path) else annotation.image
        with Image.open(path) as image:
            size = image.size
            image.draft("RGB", (STORED_PIXELS, STORED_PIXELS))
            photo = image.convert("RGB")
        photo.thumbnail((STORED_PIXELS, STORED_PIXELS), Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.array(photo)
        if isinstance(annotation, Path):
            return pixels, nobody()
        scale = torch.tensor([photo.size[0] / size[0], photo.size[1] / size[1], 1.0])
        people = people_of(annotation).moved(scale.diag())
        if self.cut_out and annotation.mask is not None:
            mask = Image.fromarray(read_person_mask(annotation.mask)).convert("L").resize(photo.size)
            cover = np.asarray(mask)[..., None]
            pixels = np.concatenate([(pixels * (cover / 255.0)).astype(np.uint8), cover], 2)
        return pixels, people


class SyntheticFiles:
    """Rendered people cut out of their pictures, of the files of `humanmesh data synthesize --benchmark`; whole people only."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.parts = [torch.load(path, mmap=True, weights_only=True) for path in paths]
        self.places = [(part, row) for part, content in enumerate(self.parts) for row in _whole(content)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Photo:
        part, row = self.places[number]
        content = self.parts[part]
        mask = content["mask"][row].float()
        pixels = content["images"][row].float() / 255 * mask
        keypoints = content["keypoints_2d"][row][COCO_17.indices_in(COCOPLUS_19)]
        keypoints = (keypoints + 1) * (mask.shape[-1] / 2)
        people = People(
            keypoints[None], torch.ones(1, 17), keypoints.mean(0)[None], torch.ones(1, dtype=torch.bool)
        )
        return Photo(torch.cat([pixels, mask[None]]), people)


def _whole(content: dict[str, Tensor]) -> list[int]:
    mask = content["mask"]
    edges = torch.cat([mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]], 1)
    is_inside = (content["keypoints_2d"].abs() < 1).all(-1).all(-1)
    return (is_inside & ~(edges > 0).any(1)).nonzero()[:, 0].tolist()


def people_of(annotation: Annotation) -> People:
    """One labelled person, in pixels of the photo; LSP's head and neck stand in for the face in the centre."""
    person = to_skeleton(annotation, COCO_17)
    keypoints, weights = torch.from_numpy(person.keypoints_2d), torch.from_numpy(person.weights_2d)
    counted, amounts = keypoints, (weights > 0).float()
    index = annotation.skeleton.index
    if "head_top" in index and (annotation.weights_2d[[index["head_top"], index["neck"]]] > 0).all():
        face = torch.from_numpy(annotation.keypoints_2d[[index["head_top"], index["neck"]]]).mean(0)
        counted, amounts = torch.cat([keypoints, face[None]]), torch.cat([amounts, torch.tensor([5.0])])
    center = (counted * amounts[:, None]).sum(0) / amounts.sum()
    is_known = (
        bool(amounts.sum() >= _FEWEST_KEYPOINTS) and float(weights[weights > 0].mean()) >= _LOWEST_SCORE
    )
    is_clear = torch.tensor([is_known])
    return People(keypoints[None], weights[None], center[None], is_clear)


@dataclass(frozen=True)
class Sources:
    """What pictures are made of."""

    photos: tuple[PhotoFiles, ...]
    """Data sets of photos of people."""
    shares: tuple[float, ...]
    """Share of each of `photos`."""
    cut_outs: tuple[PhotoFiles | SyntheticFiles, ...]
    """Rendered and photographed people without their background."""
    places: PhotoFiles
    """Photos of nobody."""


def read_sources(data: Path, synthetic: Sequence[Path]) -> tuple[Sources, Sources]:
    """What to train on, and a part of the training data kept back for choosing thresholds.

    The held-out people of `data.splits` are in neither.
    """
    exercises = read_coco(data / "exercises/keypoints.json", data / "exercises/images", source="exercises")
    fashion = split(read_ccp(data / "clothing_coparsing"))[0]
    sports = split(read_lspet(data / "lspet"))[0]
    people = [_labelled(sports), _labelled(split(exercises)[0]), _labelled(fashion)]
    cut_outs = [person for person in _labelled(fashion) if person.mask is not None]
    places = sorted((data / "backgrounds").glob("rooms/*.jpg")) + sorted(
        (data / "backgrounds").glob("outdoor/*.jpg")
    )
    rendered = sorted(path for folder in synthetic for path in folder.glob("part_*.pt"))

    def sources(choose: Callable[[list], list], parts: list[Path]) -> Sources:
        return Sources(
            tuple(PhotoFiles(choose(some)) for some in people),
            (0.45, 0.3, 0.25),
            (SyntheticFiles(parts), PhotoFiles(choose(cut_outs), cut_out=True)),
            PhotoFiles(choose(places)),
        )

    kept_back = sources(lambda some: some[::_EVERY_RESERVED], rendered[-1:])
    return sources(_without_reserved, rendered[:-1]), kept_back


def _without_reserved(some: list) -> list:
    return [entry for number, entry in enumerate(some) if number % _EVERY_RESERVED]


def _labelled(annotations: Sequence[Annotation]) -> list[Annotation]:
    """People with enough keypoints for a box and a centre."""
    return [person for person in annotations if (person.weights_2d > 0).sum() >= _FEWEST_KEYPOINTS]


class Composer:
    """Makes pictures of `size` pixels from sources, one after the other."""

    def __init__(self, sources: Sources, size: int, generator: np.random.Generator) -> None:
        self.sources = sources
        self.size = size
        self.generator = generator

    def picture(self) -> Picture:
        """A new one of any kind."""
        kinds = (self.photo, self.tiles, self.cut_outs)
        made = kinds[self.generator.choice(3, p=(0.4, 0.15, 0.45))]()
        people = made.people
        box = boxes_of(people)
        is_large = (box[:, 2:] - box[:, :2]).amax(-1) >= 2 * SMALLEST_PERSON
        is_inside = (people.centers.abs() < 1).all(-1)
        people = replace(people, is_clear=people.is_clear & is_large & is_inside)
        return replace(made, pixels=self._colored(made.pixels), people=people)

    def photo(self) -> Picture:
        """One photo: the whole of it, or close round its person."""
        photo = self._draw_photo()
        height, width = photo.pixels.shape[1:]
        if self.generator.random() < 0.5:
            center = torch.tensor([[width / 2, height / 2]])
            side = torch.tensor([float(max(width, height))]) * self._spread(-0.15, 0.6)
        else:
            box = boxes_of(photo.people)
            center, side = crops.box_center(box), crops.margin_crop_side(box, CLOSE_MARGIN)
            side = side * self._spread(-0.3, 0.4)
        center = center + side[:, None] * self._normal(0.06, 2)
        matrix, mirrored = self._turned(center, side, 0.2)
        pixels = crops.sample_crop(photo.pixels, matrix, self.size)
        return Picture(pixels, photo.people.moved(matrix, mirrored=mirrored), has_strangers=True)

    def tiles(self) -> Picture:
        """Several photos side by side, some of nobody."""
        canvas = torch.zeros(3, self.size, self.size)
        people = []
        for x0, y0, x1, y1 in self._grid():
            longer = max(x1 - x0, y1 - y0)
            if self.generator.random() < 0.2:
                photo = self.sources.places[self._below(len(self.sources.places))]
                matrix, mirrored = self._any_part(photo.pixels)
            else:
                photo = self._draw_photo()
                box = boxes_of(photo.people)
                side = crops.margin_crop_side(box, 1.0) * self._spread(0.1, 0.8)
                matrix, mirrored = self._turned(crops.box_center(box), side, 0.1)
            tile = crops.sample_crop(photo.pixels, matrix, longer)
            left, top = (longer - (x1 - x0)) // 2, (longer - (y1 - y0)) // 2
            canvas[:, y0:y1, x0:x1] = tile[:, top : top + y1 - y0, left : left + x1 - x0]
            share = longer / self.size
            shift = torch.tensor([[x0 + x1, y0 + y1]]) / self.size - 1
            canvas_from_tile = crops.similarity(torch.tensor([share]), torch.zeros(1), shift)[0]
            moved = photo.people.moved(canvas_from_tile @ matrix, mirrored=mirrored)
            tile_box = torch.tensor([x0, y0, x1, y1]) / (self.size / 2) - 1
            people.append(_cut_by(moved, tile_box))
        return Picture(canvas, together(people), has_strangers=True)

    def cut_outs(self) -> Picture:
        """People cut out of their pictures before an empty place, with things that are no people."""
        place = self.sources.places[self._below(len(self.sources.places))]
        matrix, _ = self._any_part(place.pixels)
        canvas = crops.sample_crop(place.pixels, matrix, self.size)
        people, covers = [], []
        for _ in range(self.generator.choice(6, p=(0.12, 0.26, 0.22, 0.18, 0.12, 0.10))):
            if self.generator.random() < 0.15:
                canvas, cover = self._thing_over(canvas)
                covers = [before * (1 - cover) for before in covers]
            person, matrix, mirrored = self._placed_person()
            layer = crops.sample_crop(person.pixels, matrix, self.size)
            cover = layer[3]
            color = 1 + self._normal(0.12, 3)[:, None, None]
            canvas = canvas * (1 - cover) + layer[:3] * color
            covers = [*(before * (1 - cover) for before in covers), cover]
            people.append((person, matrix, mirrored))
        if self.generator.random() < 0.2:
            canvas, cover = self._thing_over(canvas)
            covers = [before * (1 - cover) for before in covers]
        index, within = self._bars()
        groups = [nobody()]
        for (person, matrix, mirrored), cover in zip(people, covers, strict=True):
            moved = person.people.moved(matrix, mirrored=mirrored)
            area = person.pixels[3].sum() * (matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]).abs()
            visible = (cover * within).sum() / (area * self.size**2 / 4)
            groups.append(replace(moved, is_clear=moved.is_clear & (visible >= VISIBLE_SHARE)))
        canvas = canvas.clamp(0, 1)[:, index[0]][:, :, index[1]]
        return Picture(canvas, together(groups), has_strangers=False)

    def _placed_person(self) -> tuple[Photo, Tensor, bool]:
        """A cut-out and the map from its pixels to crop coordinates."""
        cut_outs = self.sources.cut_outs[0 if self.generator.random() < 0.65 else 1]
        person = cut_outs[self._below(len(cut_outs))]
        box = boxes_of(person.people)
        share = float(np.exp(self.generator.uniform(np.log(0.15), np.log(0.95))))
        side = crops.margin_crop_side(box, 1 / share)
        # The middle of the box comes to lie at `place` in crop coordinates.
        place = torch.from_numpy(self.generator.uniform(-0.85, 0.85, (1, 2))).float()
        place = place * (1 - 0.5 * share)
        matrix, mirrored = self._turned(crops.box_center(box), side, 0.15)
        matrix = matrix.clone()
        matrix[:2, 2] += place[0]
        return person, matrix, mirrored

    def _thing_over(self, canvas: Tensor) -> tuple[Tensor, Tensor]:
        """A turned rectangle or ellipse cut out of some place, over the picture; also what it covers."""
        place = self.sources.places[self._below(len(self.sources.places))]
        matrix, _ = self._any_part(place.pixels)
        filling = crops.sample_crop(place.pixels, matrix, self.size)
        steps = (torch.arange(self.size) + 0.5) / (self.size / 2) - 1
        x0, y0 = self.generator.uniform(-0.9, 0.9, 2)
        half_width, half_height = np.exp(self.generator.uniform(np.log(0.08), np.log(0.5), 2))
        angle = self.generator.uniform(-0.5, 0.5)
        x, y = steps[None] - x0, steps[:, None] - y0
        u = (np.cos(angle) * x + np.sin(angle) * y) / half_width
        v = (np.cos(angle) * y - np.sin(angle) * x) / half_height
        is_round = self.generator.random() < 0.5
        inside = u.square() + v.square() < 1 if is_round else (u.abs() < 1) & (v.abs() < 1)
        cover = inside.float()
        return canvas * (1 - cover) + filling * cover, cover

    def _bars(self) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Rows and columns that repeat the edge on two sides, as the finder sees a photo that is no square.

        Also 1 where the photo itself is.
        """
        shorter = 1 if self.generator.random() < 0.4 else 1 / self.generator.uniform(1.1, 1.8)
        edge = round(self.size * (1 - shorter) / 2)
        whole = torch.arange(self.size)
        part = whole.clamp(edge, self.size - 1 - edge)
        within = (whole == part).float()
        if self.generator.random() < 0.4:
            return (whole, part), within[None, :]
        return (part, whole), within[:, None]

    def _grid(self) -> list[tuple[int, int, int, int]]:
        """Two or three columns, each cut in one or two; x0, y0, x1, y1 in pixels."""
        size = self.size
        columns = int(self.generator.integers(2, 4))
        edges = [round(size * (n + self.generator.uniform(-0.15, 0.15)) / columns) for n in range(1, columns)]
        tiles = []
        for x0, x1 in zip([0, *edges], [*edges, size], strict=True):
            if self.generator.random() < 0.5:
                tiles.append((x0, 0, x1, size))
            else:
                y = round(size * self.generator.uniform(0.35, 0.65))
                tiles += [(x0, 0, x1, y), (x0, y, x1, size)]
        return tiles

    def _any_part(self, pixels: Tensor) -> tuple[Tensor, bool]:
        """The whole of a photo or a square in it."""
        height, width = pixels.shape[-2:]
        side = torch.tensor([float(min(height, width))]) * self._spread(-0.6, 0.25)
        free = (torch.tensor([[float(width), float(height)]]) - side[:, None]).clamp_min(0)
        middle = torch.tensor([[width / 2, height / 2]])
        center = middle + free * torch.from_numpy(self.generator.uniform(-0.5, 0.5, (1, 2))).float()
        return self._turned(center, side, 0.05)

    def _turned(self, center: Tensor, side: Tensor, angle: float) -> tuple[Tensor, bool]:
        """The map to crop coordinates, turned by some angle with that deviation (radians), mirrored or not."""
        turn = self._normal(angle, 1) if self.generator.random() < 0.3 else torch.zeros(1)
        matrix = crops.crop_from_photo(center, side, turn)
        mirrored = bool(self.generator.random() < 0.5)
        return (crops.mirror_crop(matrix) if mirrored else matrix)[0], mirrored

    def _colored(self, pixels: Tensor) -> Tensor:
        gain = torch.exp(0.2 * self._normal(1.0, 1) + 0.07 * self._normal(1.0, 3))[:, None, None]
        contrast = float(np.exp(self.generator.normal(0, 0.15)))
        middle = pixels.mean()
        pixels = ((pixels - middle) * contrast + middle) * gain
        if self.generator.random() < 0.05:
            pixels = pixels.mean(0, keepdim=True).expand(3, -1, -1)
        if self.generator.random() < 0.15:
            pixels = F.interpolate(
                F.avg_pool2d(pixels[None], 2), pixels.shape[-2:], mode="bilinear", align_corners=False
            )[0]
        return pixels.clamp(0, 1)

    def _draw_photo(self) -> Photo:
        files = self.sources.photos[self.generator.choice(len(self.sources.photos), p=self.sources.shares)]
        return files[self._below(len(files))]

    def _below(self, count: int) -> int:
        return int(self.generator.integers(count))

    def _spread(self, low: float, high: float) -> float:
        return float(np.exp(self.generator.uniform(low, high)))

    def _normal(self, deviation: float, count: int) -> Tensor:
        return torch.from_numpy(
            self.generator.normal(0, deviation, count).clip(-2 * deviation, 2 * deviation)
        ).float()


def _cut_by(people: People, box: Float[Tensor, "4"]) -> People:
    """People of whom a tile shows a part: clear where it shows most of their keypoints and their centre."""
    inside = ((people.keypoints > box[:2]) & (people.keypoints < box[2:])).all(-1) & (people.weights > 0)
    share = inside.sum(1) / (people.weights > 0).sum(1).clamp_min(1)
    has_center = ((people.centers > box[:2]) & (people.centers < box[2:])).all(-1)
    return replace(people, is_clear=people.is_clear & (share >= 0.75) & has_center)
