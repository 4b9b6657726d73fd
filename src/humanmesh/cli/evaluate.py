"""Measure weights, or the predictions of another system, by a published protocol.

It prints the protocol in one line, how many people were measured, the figures with their 95 % intervals, and what others
printed. Protocols and layouts of the data sets are described in docs/evaluation.md.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError

if TYPE_CHECKING:
    from humanmesh.body.model import BodyModel
    from humanmesh.body.parameters import BodyModelData
    from humanmesh.evaluation.cases import Case
    from humanmesh.evaluation.measuring import TruthBodies
    from humanmesh.evaluation.predictors import Predictor
    from humanmesh.evaluation.results import Result


@dataclass(frozen=True)
class Arguments:
    """Options of `humanmesh evaluate`."""

    protocol: str
    """Name of a protocol, such as lspet-pck, ccp-silhouette, exercises-pck, synthetic, h36m-p1; a wrong name lists all."""
    data: Path
    """Folder (or file) of the data set."""
    images: Path | None = None
    """Folder of the photos of a file in COCO form; looked for in the usual places where None."""
    weights: Path | None = None
    """Checkpoint (.safetensors), or "open" for the bundled weights from sources that allow any use; the default ones where None."""
    predictions: Path | None = None
    """Predictions of another system (.npz or .pkl) to measure instead of weights; docs/evaluation.md names the arrays."""
    unit: Literal["m", "mm"] = "m"
    """Unit of the predictions."""
    body: str = "anny"
    """Body of the weights or predictions: "anny" (bundled) or the path of a body file such as SMPL's."""
    truth_bodies: Path | None = None
    """Folder with SMPL's male and female files, for data sets that give pose and shape of a gendered body (3DPW)."""
    limit: int | None = None
    """Measure only so many people, evenly spaced."""
    resume: Path | None = None
    """File that keeps what is measured; an interrupted run goes on from it."""
    device: str | None = None
    """Device as PyTorch names it, such as cpu or cuda:0; a GPU where there is one, where None."""
    report: Path | None = None
    """Folder for report.html (figures, plots, people at percentiles of error), report.md and result.json."""
    occlusion: bool = False
    """With --report: measure the people again with 10 to 60 % of each covered or cut off; takes 14 times as long."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the result as JSON on standard output, and nothing else there."""


def run(arguments: Arguments) -> int:
    """Measure and print.

    Raises:
        HumanMeshError: where the protocol, the data or the weights cannot be used.
    """
    from humanmesh.data.readers import ReadReport
    from humanmesh.evaluation.benchmark import evaluate, some_of
    from humanmesh.evaluation.data_sets import load_cases, protocol_on
    from humanmesh.evaluation.protocols import protocol_by_name
    from humanmesh.evaluation.tables import text_table
    from humanmesh.files.writing import output_folder

    _check(arguments)
    protocol = protocol_by_name(arguments.protocol)
    folder = None if arguments.report is None else output_folder(arguments.report)
    report = ReadReport()
    everyone = load_cases(protocol, arguments.data, report, arguments.images)
    protocol = protocol_on(protocol, arguments.data)
    predictor, bodies = _system(arguments, everyone)
    cases, protocol = some_of(everyone, protocol, arguments.limit)
    with PatientBar("people") as bar:
        result = evaluate(
            cases, predictor, protocol, bodies,
            left_out=dict(report.counts), resume=arguments.resume, advance=lambda done: bar(done, len(cases)),
        )  # fmt: skip
    if folder is not None:
        _write(result, predictor, bodies, folder, with_occlusion=arguments.occlusion)
    print(json.dumps(result.as_json(), indent=1) if arguments.json else text_table([result]))
    return 0


def _check(arguments: Arguments) -> None:
    if arguments.limit is not None and arguments.limit < 1:
        raise BadInputError("--limit", f"{arguments.limit}", "Give a number of people, at least 1.")
    if arguments.predictions is not None and arguments.weights is not None:
        raise BadInputError("--predictions", "--weights as well", "Give one of them.")
    if arguments.occlusion and (arguments.report is None or arguments.predictions is not None):
        found = (
            "no --report" if arguments.report is None else "predictions from a file, which cannot look again"
        )
        raise BadInputError("--occlusion", found, "It belongs to the report of weights.")


def _write(
    result: "Result", predictor: "Predictor", bodies: "TruthBodies", folder: Path, *, with_occlusion: bool
) -> None:
    from humanmesh.evaluation.gallery import gallery
    from humanmesh.evaluation.occlusion import error_by_hidden_share
    from humanmesh.evaluation.predictors import NetworkPredictor
    from humanmesh.evaluation.report import Report, write_report
    from humanmesh.files.writing import whole_file

    curves = []
    if with_occlusion and isinstance(predictor, NetworkPredictor):
        curves = error_by_hidden_share(result.cases, predictor, result.protocol, bodies)
    page = write_report(Report(result, gallery(result, predictor, result.protocol), curves), folder)
    with whole_file(folder / "result.json") as beside:
        beside.write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
    print(f"humanmesh: {page}", file=sys.stderr)


def _system(arguments: Arguments, everyone: "list[Case]") -> "tuple[Predictor, TruthBodies]":
    """What is measured, and the bodies of the truth."""
    from humanmesh.evaluation.measuring import TruthBodies

    if arguments.predictions is not None:
        predictor, data = _predictions(arguments.predictions, arguments, everyone)
    else:
        predictor, data = _network(arguments)
    return predictor, TruthBodies(_truth_bodies(data, arguments.truth_bodies))


def _predictions(
    path: Path, arguments: Arguments, everyone: "list[Case]"
) -> "tuple[Predictor, BodyModelData]":
    from humanmesh.body.model import BodyModel
    from humanmesh.evaluation.prediction_files import read_predictions
    from humanmesh.evaluation.predictions import FilePredictor
    from humanmesh.files.body_models import load_body_data

    file = read_predictions(path, arguments.unit)
    data = load_body_data(arguments.body)
    return FilePredictor(_named(path, arguments.body), file, everyone, BodyModel(data)), data


def _network(arguments: Arguments) -> "tuple[Predictor, BodyModelData]":
    from humanmesh.evaluation.predictors import NetworkPredictor
    from humanmesh.files.assets import DEFAULT_WEIGHTS, weights_path
    from humanmesh.inference import load

    recoverer = load(arguments.weights, arguments.body, arguments.device)
    name = _named(weights_path(arguments.weights or DEFAULT_WEIGHTS), arguments.body)
    return NetworkPredictor(name, recoverer.network, recoverer.body, recoverer.crop_size), recoverer.body.data


def _named(path: Path, body: str) -> str:
    """A name that changes with the file's content, for tables and for runs that go on."""
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]} on {body}"


def _truth_bodies(own: "BodyModelData", folder: Path | None) -> "dict[str, BodyModel]":
    from humanmesh.body.model import BodyModel
    from humanmesh.files.body_models import load_body_data

    models = {"": BodyModel(own.to(device="cpu"))}
    for gender, letter in (("male", "m"), ("female", "f")):
        if folder is not None:
            models[gender] = BodyModel(load_body_data(_gendered_file(folder, gender, letter)))
    return models


def _gendered_file(folder: Path, gender: str, letter: str) -> Path:
    names = (f"SMPL_{gender.upper()}.pkl", f"SMPL_{gender.upper()}.npz", f"basicModel_{letter}_lbs_10_207_0_v1.0.0.pkl",
             f"basicmodel_{letter}_lbs_10_207_0_v1.0.0.pkl", f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl")  # fmt: skip
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise BadInputError(
        f"Folder {folder}", f"no {gender} body in it", f"Wanted is one of {', '.join(names)}."
    )
