"""Backgrounds and cloth for rendered people from photos that allow any use, for weights without other photos.

    python tools/open_pictures.py CCP EXERCISES --out DIR     # writes DIR/backgrounds and DIR/cloth

CCP is Clothing Co-Parsing (Apache-2.0), EXERCISES free-exercise-db (public domain), each with its keypoints.json. A background is a
photo of the training part whose person, by CCP's pixel labels or else round the keypoints, is filled with the nearest background
pixels to the left and right, and blurred there; cloth is the largest square cut out of each labelled garment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from humanmesh.data.annotation import Annotation
from humanmesh.data.readers import read_ccp
from humanmesh.data.readers.coco import read_coco
from humanmesh.data.splits import split

GROWN = 7
"""Pixels by which a person is widened before the filling: labels are tight, hair is not."""
REACH_AROUND_KEYPOINTS = 0.12
"""How far about the hull of the keypoints an unlabelled person is taken to reach, shares of the longer side of their box."""
SOFTNESS = 6.0
"""Standard deviation in pixels of the blur of what was filled in."""
NO_CLOTH = frozenset({0, 1, 2, 9, 15, 17, 19, 29, 33, 34, 41, 47, 56, 57})
"""Labels of background, bags, jewellery, hair and skin."""
SMALLEST_CLOTH = 40
"""Pixels a side."""


@dataclass(frozen=True)
class Arguments:
    """Where to read and where to write."""

    street: Annotated[Path, tyro.conf.Positional]
    """Clothing Co-Parsing: a folder with images/, labels/ and keypoints.json."""
    exercises: Annotated[Path, tyro.conf.Positional]
    """free-exercise-db: a folder with images/ and keypoints.json."""
    out: Path


def around_keypoints(person: Annotation, size: tuple[int, int]) -> np.ndarray:
    """(height, width) bool: the hull of the keypoints of a photo of that size (width, height), grown."""
    points = person.keypoints_2d[person.weights_2d > 0]
    around = Image.new("1", size)
    draw = ImageDraw.Draw(around)
    reach = REACH_AROUND_KEYPOINTS * float(np.ptp(points, axis=0).max())
    hull = [tuple(point) for point in points[ConvexHull(points).vertices].tolist()]
    draw.polygon(hull, fill=1)
    draw.line([*hull, hull[0]], fill=1, width=round(2 * reach))
    for x, y in hull:
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=1)
    return np.asarray(around)


def without_person(photo: np.ndarray, person: np.ndarray) -> np.ndarray:
    """The photo (H, W, 3) with its person (H, W bool) filled by what stands beside, row by row where there is anything."""
    if person.all():
        return photo
    # Upright distances count ten times: what lies beside a person goes on behind them sooner than what lies above.
    nearest = ndimage.distance_transform_edt(
        person, sampling=(10, 1), return_distances=False, return_indices=True
    )
    filled = photo[tuple(nearest)].astype(np.float32)
    blurred = ndimage.gaussian_filter(filled, (SOFTNESS, SOFTNESS, 0))
    share = ndimage.gaussian_filter(person.astype(np.float32), 2)[..., None]
    return (share * blurred + (1 - share) * filled).round().astype(np.uint8)


def cloth(photo: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """The largest square within each garment that is large enough."""
    for label in np.unique(labels):
        if int(label) in NO_CLOTH:
            continue
        room = ndimage.distance_transform_cdt(np.pad(labels == label, 1), "chessboard")[1:-1, 1:-1]
        half = int(room.max()) - 1
        if 2 * half + 1 >= SMALLEST_CLOTH:
            y, x = np.unravel_index(room.argmax(), room.shape)
            yield photo[y - half : y + half + 1, x - half : x + half + 1]


def pictures(person: Annotation) -> dict[str, list[np.ndarray]]:
    """Backgrounds and pieces of cloth of one photo."""
    photo = np.asarray(Image.open(person.image).convert("RGB"))
    if person.mask is None:
        around = around_keypoints(person, photo.shape[1::-1])
        return {"backgrounds": [without_person(photo, around)], "cloth": []}
    labels = np.asarray(Image.open(person.mask))
    around = ndimage.binary_dilation(labels > 0, iterations=GROWN)
    return {"backgrounds": [without_person(photo, around)], "cloth": list(cloth(photo, labels))}


def main(arguments: Arguments) -> None:
    """Write both folders."""
    folders = {name: arguments.out / name for name in ("backgrounds", "cloth")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    gym = arguments.exercises
    people = read_ccp(arguments.street) + read_coco(
        gym / "keypoints.json", gym / "images", source="exercises"
    )
    counts = dict.fromkeys(folders, 0)
    for person in split(people)[0]:
        for name, found in pictures(person).items():
            for number, picture in enumerate(found):
                Image.fromarray(picture).save(folders[name] / f"{person.image.stem}_{number}.jpg", quality=90)
            counts[name] += len(found)
    print(f"{counts['backgrounds']:,} backgrounds, {counts['cloth']:,} pieces of cloth in {arguments.out}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
