"""Pack the photos of LSPET, CCP and the exercises into shards: NAME for training, NAME_held_out for choosing weights.

    python tools/pack_photos.py DATA_FOLDER OUT_FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from humanmesh.data.annotation import Annotation
from humanmesh.data.dataset import Sample
from humanmesh.data.readers import read_coco, read_lspet
from humanmesh.data.shards import sample_of, write_shards
from humanmesh.data.splits import split
from humanmesh.errors import BadInputError


def samples_of(annotations: list[Annotation]) -> Iterator[Sample]:
    """Cut the annotated people out, saying what is left out."""
    for annotation in annotations:
        with Image.open(annotation.image) as photo:
            pixels = np.asarray(photo.convert("RGB"))
        try:
            yield sample_of(annotation, pixels)
        except BadInputError as error:
            print(f"left out: {error}")


def main(data: Path, out: Path) -> None:
    """Pack every data set, its held-out part apart."""
    people = {
        "exercises": read_coco(data / "exercises/keypoints.json", data / "exercises/images", source="exercises"),
        "ccp": read_coco(
            data / "clothing_coparsing/keypoints.json", data / "clothing_coparsing/images", source="ccp"
        ),
        "lspet": read_lspet(data / "lspet"),
    }
    for name, annotations in people.items():
        training, held_out = split(annotations)
        print(name, write_shards(samples_of(training), out, name), flush=True)
        print(name, "held out", write_shards(samples_of(held_out), out, f"{name}_held_out"), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
