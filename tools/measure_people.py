"""Recall and precision of finding everybody: `python tools/measure_people.py COCO_FOLDER SYNTHETIC.pt PLACES...`.

Compared are the boxes of `Recoverer.recover` and of OpenCV's HOG people detector (Dalal and Triggs 2005), judged as in
`measure_finder.py` at IoU 0.5. The photos are those of a COCO folder; wanted is who has a labelled keypoint and is not
marked as a crowd, which leaves out the tiny. The crowds are composed by a fixed recipe of upright rendered people of a
benchmark file (`humanmesh data synthesize --benchmark`) before photos of nobody; wanted is who is to be seen by half.

HOG's boxes are taken as they come, and shrunk by the margin that its training windows have (16 of 128 pixels above and
below, 12 % at the sides), on photos enlarged by 1, 1.5 and 2: the best line is its own. It is in
OpenCV 4 only (`pip install 'opencv-python-headless<5'`).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from finder_pictures import SyntheticFiles
from humanmesh.files.images import bytes_of_pixels, read_photo
from humanmesh.geometry import crops
from humanmesh.inference import Recoverer, load
from measure_finder import Case, coco_cases, curve_of, judge

CROWD_SIZE = (640, 480)
"""Width and height of a crowd picture."""
CROWD_PEOPLE = (2, 6)
"""Fewest and most people in one."""
CROWD_HEIGHTS = (0.35, 0.8)
"""Longer side of a person's outline in units of the picture's height."""
VISIBLE_SHARE = 0.5
"""Share of the outline that must be seen of who is wanted."""
UPRIGHT = 0.8
"""Cosine of the lean from which a rendered person is taken for upright, which HOG was made for."""
WINDOW_MARGIN = (0.12, 0.06)
"""Of HOG's box on each side, across and along."""
HOG_SCORES = (0.0, 0.5, 1.0)

Detector = Callable[[Float[Tensor, "3 height width"]], tuple[Float[Tensor, "finds 4"], list[float]]]
"""A photo -> boxes (x0, y0, x1, y1 in pixels) and scores."""


def crowds(synthetic: Path, places: list[Path], count: int) -> list[Case]:
    """Pictures of several people, the same every time."""
    generator = np.random.default_rng(0)
    people = SyntheticFiles([synthetic])
    up = torch.cat([content["rotations"][:, 0, 1, 1] for content in people.parts])
    people.places = [(part, row) for part, row in people.places if up[row] < -UPRIGHT]
    return [crowd(people, places[number % len(places)], generator) for number in range(count)]


def crowd(people: SyntheticFiles, place: Path, generator: np.random.Generator) -> Case:
    """One picture; the smaller people stand behind the larger."""
    width, height = CROWD_SIZE
    background = read_photo(place)
    rows, columns = background.shape[1:]
    middle = torch.tensor([[columns / 2, rows / 2]])
    side = torch.tensor([min(rows, columns * height / width) * width / height])
    canvas = stretched(background, crops.crop_from_photo(middle, side))
    covers: list[Tensor] = []
    areas: list[float] = []
    number = int(generator.integers(CROWD_PEOPLE[0], CROWD_PEOPLE[1] + 1))
    for share in np.sort(generator.uniform(*CROWD_HEIGHTS, number)):
        layer = people[int(generator.integers(len(people)))].pixels
        y, x = layer[3].nonzero().T
        low, high = torch.stack([x.min(), y.min()]), torch.stack([x.max(), y.max()]) + 1
        scale = float(share) * height / float((high - low).max())
        # Feet come to stand lower the nearer somebody is; the place across is anywhere.
        foot = torch.tensor([[generator.uniform(0.1, 0.9) * width, (0.55 + 0.45 * float(share)) * height]])
        bottom = torch.stack([(low[0] + high[0]) / 2, high[1].float()])[None]
        center = bottom + (torch.tensor([[width / 2, height / 2]]) - foot) / scale
        layer = stretched(layer, crops.crop_from_photo(center, torch.tensor([width / scale])))
        canvas = canvas * (1 - layer[3]) + layer[:3]
        covers = [*(cover * (1 - layer[3]) for cover in covers), layer[3]]
        areas.append(float(layer[3].sum()))
    return Case(canvas.clamp(0, 1), *_outlines(covers, areas))


def stretched(
    photo: Float[Tensor, "channels rows columns"], matrix: Float[Tensor, "1 3 3"]
) -> Float[Tensor, "channels height width"]:
    """The middle strip of a square crop, as large as a crowd picture; black outside the photo."""
    width, height = CROWD_SIZE
    square = crops.sample_crop(photo, matrix[0], width)
    top = (width - height) // 2
    return square[:, top : top + height]


def _outlines(covers: list[Tensor], areas: list[float]) -> tuple[Float[Tensor, "people 4"], Tensor]:
    """Boxes of what is seen of each person, and whether that is enough."""
    boxes, is_wanted = [], []
    for cover, area in zip(covers, areas, strict=True):
        y, x = (cover > 0.5).nonzero().T
        is_wanted.append(len(x) > 0 and float(cover.sum()) >= VISIBLE_SHARE * area)
        corners = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [torch.tensor(0)] * 4
        boxes.append(torch.stack(corners).float())
    return torch.stack(boxes), torch.tensor(is_wanted)


def ours(recoverer: Recoverer) -> Detector:
    """What `recover` finds."""

    def detect(photo: Float[Tensor, "3 height width"]) -> tuple[Float[Tensor, "finds 4"], list[float]]:
        people = recoverer.recover_pixels([photo])[0]
        boxes = [torch.from_numpy(person.box) for person in people]
        return torch.stack([torch.zeros(4), *boxes])[1:], [person.score for person in people]

    return detect


def hog(enlarged: float, *, is_shrunk: bool) -> Detector:
    """OpenCV's, with its standard settings."""
    descriptor = cv2.HOGDescriptor()
    descriptor.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    margin = np.array(WINDOW_MARGIN if is_shrunk else (0.0, 0.0))

    def detect(photo: Float[Tensor, "3 height width"]) -> tuple[Float[Tensor, "finds 4"], list[float]]:
        picture = cv2.resize(bytes_of_pixels(photo)[..., ::-1], None, fx=enlarged, fy=enlarged)
        found, scores = descriptor.detectMultiScale(picture, winStride=(8, 8), padding=(16, 16), scale=1.05)
        rectangles = np.asarray(found, np.float32).reshape(-1, 4) / enlarged
        corner, size = rectangles[:, :2], rectangles[:, 2:]
        boxes = np.concatenate([corner + margin * size, corner + (1 - margin) * size], 1)
        return torch.from_numpy(boxes.astype(np.float32)), np.ravel(scores).astype(float).tolist()

    return detect


def report(name: str, detect: Detector, suites: dict[str, list[Case]], thresholds: tuple[float, ...]) -> None:
    """Print a line a suite: recall and precision from each score on."""
    for suite, cases in suites.items():
        began = time.perf_counter()
        curve = curve_of(cases, [judge(case, *detect(case.pixels)) for case in cases])
        seconds = (time.perf_counter() - began) / len(cases)
        wanted = sum(int(case.is_wanted.sum()) for case in cases)
        pairs = "  ".join(f"{least:g}: {{:.3f}} / {{:.3f}}".format(*curve.at(least)) for least in thresholds)
        print(f"{suite:8} {wanted:4} people  {name:22} recall / precision from score {pairs}", end="")
        print(f"  AP {curve.average_precision:.3f}  {seconds:.2f} s a photo", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("coco", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("places", type=Path, nargs="+", help="photos of nobody")
    parser.add_argument("--count", type=int, default=40, help="pictures of crowds")
    parser.add_argument("--detector", help="measure this one (`humanmesh predict --detector`) as well")
    parser.add_argument("--weights", type=Path, help="of the network; the bundled ones otherwise")
    parser.add_argument("--show", type=Path, help="write the first crowd pictures here as PNG")
    arguments = parser.parse_args()
    suites = {
        "photos": coco_cases(arguments.coco, 0.0),
        "crowds": crowds(arguments.synthetic, arguments.places, arguments.count),
    }
    if arguments.show:
        sheet = torch.cat([case.pixels for case in suites["crowds"][:6]], 2)
        cv2.imwrite(str(arguments.show), bytes_of_pixels(sheet)[..., ::-1])
    report("humanmesh", ours(load(arguments.weights)), suites, (0.0,))
    if arguments.detector:
        recoverer = load(arguments.weights, detector=arguments.detector)
        report(arguments.detector, ours(recoverer), suites, (0.0,))
    if not hasattr(cv2, "HOGDescriptor"):
        print("OpenCV 5 has no HOG; its rows need: pip install 'opencv-python-headless<5'")
        return
    for enlarged in (1.0, 1.5, 2.0):
        for is_shrunk in (False, True):
            name = f"HOG x {enlarged:g}{', shrunk' if is_shrunk else ''}"
            report(name, hog(enlarged, is_shrunk=is_shrunk), suites, HOG_SCORES)


if __name__ == "__main__":
    main()
