"""Backgrounds and cloth for rendered people from Clothing Co-Parsing alone (Apache-2.0), for weights without other photos.

    python tools/open_pictures.py CCP --out DIR     # writes DIR/backgrounds and DIR/cloth

A background is a labelled photo of the training part whose person is filled with the nearest background pixels to the left and
right, and blurred there; cloth is the largest square cut out of each garment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image
from scipy import ndimage

from humanmesh.data.splits import CCP_HOLD_OUT_STRIDE

GROWN = 7
"""Pixels by which a person is widened before the filling: labels are tight, hair is not."""
SOFTNESS = 6.0
"""Standard deviation in pixels of the blur of what was filled in."""
NO_CLOTH = frozenset({0, 1, 2, 9, 15, 17, 19, 29, 33, 34, 41, 47, 56, 57})
"""Labels of background, bags, jewellery, hair and skin."""
SMALLEST_CLOTH = 40
"""Pixels a side."""


@dataclass(frozen=True)
class Arguments:
    """Where to read and where to write."""

    photos: Annotated[Path, tyro.conf.Positional]
    """Folder with images/ and labels/."""
    out: Path


def without_person(photo: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The photo (H, W, 3) with its person filled by what stands beside, row by row where there is anything."""
    person = ndimage.binary_dilation(labels > 0, iterations=GROWN)
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


def main(arguments: Arguments) -> None:
    """Write both folders."""
    folders = {name: arguments.out / name for name in ("backgrounds", "cloth")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(folders, 0)
    for path in sorted((arguments.photos / "labels").glob("*.png")):
        if int(path.stem) % CCP_HOLD_OUT_STRIDE == 0:
            continue
        labels = np.asarray(Image.open(path))
        photo = np.asarray(Image.open(arguments.photos / "images" / f"{path.stem}.jpg").convert("RGB"))
        found = {"backgrounds": [without_person(photo, labels)], "cloth": list(cloth(photo, labels))}
        for name, pictures in found.items():
            for number, picture in enumerate(pictures):
                Image.fromarray(picture).save(folders[name] / f"{path.stem}_{number}.jpg", quality=90)
            counts[name] += len(pictures)
    print(f"{counts['backgrounds']:,} backgrounds, {counts['cloth']:,} pieces of cloth in {arguments.out}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
