"""Clothing Co-Parsing (Yang, Luo and Lin, CVPR 2014): street photos with a label of clothing for every pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, ReadReport, ReadRules
from humanmesh.data.readers.coco import read_coco
from humanmesh.errors import BadInputError
from humanmesh.files.images import damage_told

_NOT_BODY = (0, 2, 33, 56)
"""Background, bag, purse, wallet."""


def read_ccp(
    folder: Path, rules: ReadRules = DEFAULT_RULES, report: ReadReport | None = None
) -> list[Annotation]:
    """Photos with the keypoints of `keypoints.json` (COCO form), and `labels/NNNN.png` as mask where it is there."""
    folder = Path(folder)
    people = read_coco(folder / "keypoints.json", folder / "images", rules, report, source="ccp")
    return [_with_mask(person, folder / "labels" / f"{person.image.stem}.png") for person in people]


def _with_mask(person: Annotation, mask: Path) -> Annotation:
    return replace(person, mask=mask if mask.is_file() else None)


def read_person_mask(path: Path) -> np.ndarray:
    """(H, W) bool: the person with clothes, without bags, purses and wallets.

    Raises:
        BadInputError: where the picture is damaged, or none of labels.
    """
    with damage_told(f"Labels {path}"), Image.open(path) as labels:
        if labels.mode not in {"L", "P"}:
            found = f"mode {labels.mode}"
            raise BadInputError(f"{path} should be a picture of labels", found, "Give an 8-bit grey PNG.")
        return ~np.isin(np.asarray(labels), _NOT_BODY)
