"""Measure person finders: `python tools/measure_finder.py DATA FINDER... --synthetic FOLDER...`.

Boxes: that of the 17 keypoints found, grown on all sides as `inference` takes a body to be larger than its keypoints,
and cut at the photo's edges. It is right where it overlaps a person's own by IoU 0.5 or more. As in COCO's own rules, a
find does not count that overlaps so a person who need not be found, or lies for half of its area in a crowd. The threshold is
the one of the highest F1 on composed pictures that were kept back from training.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from finder_pictures import Composer, Sources, read_sources
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.data.annotation import Annotation, to_skeleton
from humanmesh.data.readers import read_ccp, read_coco, read_lspet
from humanmesh.data.splits import split
from humanmesh.files.finders import load_finder
from humanmesh.files.images import read_photo
from humanmesh.inference import KEYPOINTS_OF_BODY
from humanmesh.network.finder import PERSON_SCORE, FoundPerson, PersonFinder

LOWEST_SCORE = 0.02
LARGE_SHARE = 0.15
"""Longer side of a box, as a share of the photo's, from which a person is a large one."""
COMPOSED_PIXELS = 384


@dataclass(frozen=True)
class Case:
    """A photo and who is in it."""

    pixels: Float[Tensor, "3 height width"]
    boxes: Float[Tensor, "people 4"]
    """Pixels."""
    is_wanted: Bool[Tensor, "people"]
    """Whether the finder should find the person; otherwise either answer is right."""
    crowds: Float[Tensor, "crowds 4"] = field(default_factory=lambda: torch.zeros(0, 4))
    """Pixels; boxes of crowds in which nobody was labelled alone."""


@dataclass(frozen=True)
class Find:
    """One answer of a finder, judged."""

    score: float
    person: int
    """Row of the wanted person it is; -1 where it is nobody, -2 where either answer is right."""


def grown_box(keypoints: Float[Tensor, "keypoints 2"], width: int, height: int) -> Float[Tensor, "4"]:
    """Box of the body round the box of its keypoints, within the photo."""
    low, high = keypoints.amin(0), keypoints.amax(0)
    more = float((high - low).amax()) * (1 / KEYPOINTS_OF_BODY - 1) / 2
    size = torch.tensor([width, height], dtype=torch.float32)
    zero = torch.zeros(2)
    return torch.cat([torch.clamp(low - more, zero, size), torch.clamp(high + more, zero, size)])


def overlaps(box: Float[Tensor, "4"], boxes: Float[Tensor, "boxes 4"]) -> Float[Tensor, "boxes"]:
    """Intersection over union of a box with others."""
    low, high = torch.maximum(box[:2], boxes[:, :2]), torch.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clamp_min(0).prod(1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared
    return shared / area.clamp_min(1e-6)


def share_within(box: Float[Tensor, "4"], others: Float[Tensor, "boxes 4"]) -> Float[Tensor, "boxes"]:
    """Share of the box that lies in each of the others."""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    return (high - low).clamp_min(0).prod(1) / (box[2:] - box[:2]).prod().clamp_min(1e-6)


def judge(case: Case, boxes: Float[Tensor, "finds 4"], scores: list[float]) -> list[Find]:
    """Each find, the clearest first: the wanted person that it overlaps most and nobody found before."""
    taken = torch.zeros(len(case.boxes), dtype=torch.bool)
    finds = []
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        overlap = torch.cat([overlaps(boxes[row], case.boxes), torch.zeros(1)])  # the last is nobody
        is_free = torch.cat([case.is_wanted & ~taken, torch.ones(1, dtype=torch.bool)])
        best = int(overlap.masked_fill(~is_free, -1).argmax())
        others = overlap[:-1].masked_fill(case.is_wanted, 0)
        if overlap[best] >= 0.5:
            taken[best] = True
            finds.append(Find(scores[row], best))
        elif bool((others >= 0.5).any() or (share_within(boxes[row], case.crowds) >= 0.5).any()):
            finds.append(Find(scores[row], -2))
        else:
            finds.append(Find(scores[row], -1))
    return finds


def judge_found(case: Case, people: list[FoundPerson]) -> list[Find]:
    """The same for what the finder says."""
    height, width = case.pixels.shape[1:]
    boxes = [grown_box(person.keypoints, width, height) for person in people]
    return judge(case, torch.stack([torch.zeros(4), *boxes])[1:], [person.score for person in people])


@dataclass(frozen=True)
class Curve:
    """Recall and precision by threshold."""

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray

    @property
    def average_precision(self) -> float:
        """Area under the curve, the precision made falling."""
        falling = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(self.recall, prepend=0) * falling).sum())

    def best_threshold(self) -> float:
        """Score of the highest F1."""
        total = np.maximum(self.recall + self.precision, 1e-9)
        return float(self.scores[(2 * self.recall * self.precision / total).argmax()])

    def at(self, threshold: float) -> tuple[float, float]:
        """Recall and precision where finds of that score and more count."""
        kept = int((self.scores >= threshold).sum())
        return (float(self.recall[kept - 1]), float(self.precision[kept - 1])) if kept else (0.0, 1.0)


def curve_of(cases: list[Case], judged: list[list[Find]]) -> Curve:
    """Over all photos at once."""
    finds = sorted((find for some in judged for find in some if find.person != -2), key=lambda f: -f.score)
    right = np.array([find.person >= 0 for find in finds], dtype=float).cumsum()
    wanted = sum(int(case.is_wanted.sum()) for case in cases)
    count = np.arange(1, len(finds) + 1)
    return Curve(np.array([find.score for find in finds]), right / max(wanted, 1), right / count)


def composed_cases(sources: Sources, count: int) -> list[Case]:
    """Pictures like those to train on, of records that are not, a fifth of them of nobody at all."""
    composer = Composer(sources, COMPOSED_PIXELS, np.random.default_rng(0))
    cases = []
    for number in range(count):
        if number % 5 == 4:
            cases.append(
                Case(sources.places[number // 5].pixels, torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
            )
            continue
        picture = composer.picture()
        half = COMPOSED_PIXELS / 2
        boxes = [
            grown_box((points[known] + 1) * half, COMPOSED_PIXELS, COMPOSED_PIXELS)
            for points, known in zip(picture.people.keypoints, picture.people.weights > 0, strict=True)
        ]
        cases.append(Case(picture.pixels, torch.stack([torch.zeros(4), *boxes])[1:], picture.people.is_clear))
    return cases


def coco_cases(folder: Path, least_share: float) -> list[Case]:
    """Photos of a COCO file: wanted is who has keypoints and is that large."""
    content = json.loads((folder / "annotations/person_keypoints_train2017.json").read_text())
    cases = []
    for image in content["images"]:
        entries = [entry for entry in content["annotations"] if entry["image_id"] == image["id"]]
        pixels = read_photo(folder / "train2017" / image["file_name"])
        boxes = torch.tensor([entry["bbox"] for entry in entries]).float().view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        least = least_share * max(pixels.shape[1:])
        is_wanted = [
            not entry["iscrowd"] and entry["num_keypoints"] > 0 and max(entry["bbox"][2:]) >= least
            for entry in entries
        ]
        is_crowd = torch.tensor([bool(entry["iscrowd"]) for entry in entries])
        cases.append(Case(pixels, boxes, torch.tensor(is_wanted, dtype=torch.bool), boxes[is_crowd]))
    return cases


def held_out_cases(annotations: list[Annotation], count: int) -> list[Case]:
    """Evenly chosen photos of one labelled person."""
    step = max(len(annotations) // count, 1)
    cases = []
    for annotation in annotations[::step][:count]:
        pixels = read_photo(annotation.image)
        skeleton = COCO_17 if annotation.skeleton is COCO_17 else COCOPLUS_19
        person = to_skeleton(annotation, skeleton)
        points = torch.from_numpy(person.keypoints_2d)[torch.from_numpy(person.weights_2d > 0)]
        box = grown_box(points, pixels.shape[2], pixels.shape[1])
        cases.append(Case(pixels, box[None], torch.ones(1, dtype=torch.bool)))
    return cases


def largest_is_right(case: Case, people: list[FoundPerson], threshold: float) -> bool:
    """Whether the largest person found, which is the one that is recovered, is the labelled one."""
    largest = next((person for person in people if person.score >= threshold), None)
    if largest is None:
        return False
    height, width = case.pixels.shape[1:]
    return bool(overlaps(grown_box(largest.keypoints, width, height), case.boxes)[0] >= 0.5)


def find_all(finder: PersonFinder, cases: list[Case]) -> list[list[FoundPerson]]:
    """Everyone of any score."""
    return [finder.find([case.pixels])[0] for case in cases]


def report(name: str, finder: PersonFinder, suites: dict[str, list[Case]], chosen: float | None) -> None:
    """Print the table of one finder."""
    found = {suite: find_all(finder, cases) for suite, cases in suites.items()}
    curves = {
        suite: curve_of(
            cases, [judge_found(case, some) for case, some in zip(cases, found[suite], strict=True)]
        )
        for suite, cases in suites.items()
    }
    threshold = curves["composed"].best_threshold() if chosen is None else chosen
    print(f"{name}: threshold {threshold:.3f}")
    for suite, cases in suites.items():
        recall, precision = curves[suite].at(threshold)
        line = f"  {suite:12} n {len(cases):4}  recall {recall:.3f}  precision {precision:.3f}"
        print(f"{line}  AP {curves[suite].average_precision:.3f}", end="")
        if suite.startswith("held out"):
            pairs = zip(cases, found[suite], strict=True)
            share = np.mean([largest_is_right(case, some, threshold) for case, some in pairs])
            print(f"  largest right {share:.3f}", end="")
        if suite == "composed":
            empty = [some for case, some in zip(cases, found[suite], strict=True) if not len(case.boxes)]
            alarms = np.mean([any(one.score >= threshold for one in some) for some in empty])
            print(f"  false alarms in {alarms:.3f} of the pictures of nobody", end="")
        print(flush=True)


def main() -> None:
    """Print a table for each finder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("finders", type=Path, nargs="+")
    parser.add_argument("--synthetic", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=200, help="photos of each kind")
    parser.add_argument("--threshold", type=float, help=f"instead of the chosen one; shipped: {PERSON_SCORE}")
    parser.add_argument(
        "--candidate", type=float, default=0.05, help="score of a candidate in the first look"
    )
    arguments = parser.parse_args()
    data: Path = arguments.data
    _, kept_back = read_sources(data, arguments.synthetic)
    exercises = read_coco(data / "exercises/keypoints.json", data / "exercises/images", source="exercises")
    suites = {
        "composed": composed_cases(kept_back, arguments.count),
        "coco": coco_cases(data / "samples/coco_mini", 0.0),
        "coco large": coco_cases(data / "samples/coco_mini", LARGE_SHARE),
        "held out lspet": held_out_cases(split(read_lspet(data / "lspet"))[1], arguments.count),
        "held out exercises": held_out_cases(split(exercises)[1], arguments.count),
        "held out ccp": held_out_cases(split(read_ccp(data / "clothing_coparsing"))[1], arguments.count),
    }
    for path in arguments.finders:
        encoder = load_finder(path).encoder
        finder = PersonFinder(encoder, candidate_score=arguments.candidate, person_score=LOWEST_SCORE).eval()
        report(path.name, finder, suites, arguments.threshold)


if __name__ == "__main__":
    main()
