"""The paper's ablation: four trainings alike but for what they may know, measured alike, as a table and a picture.

    python tools/ablation.py --shards shards --motion motion.npz --encoder-weights movenet_lightning.safetensors \\
        --synthetic people.pt --lspet lspet --exercises exercises --out runs/ablation --page docs/ablation.md

Every training has the same photos in the same order, the same start, steps and settings. Hand-made priors (shape, knees)
are off, so that nothing but the adversary and 3D labels can keep a body possible. Nothing is refined at test time, so
that the figures are those of the training. A training that was stopped goes on; a finished one is not run again.
"""

import io
import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.data.readers import ReadReport
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.evaluation.benchmark import evaluate, some_of
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.data_sets import load_cases
from humanmesh.evaluation.gallery import pictures_of
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.predictors import NetworkPredictor
from humanmesh.evaluation.protocols import protocol_by_name
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.files.images import bytes_of_pixels
from humanmesh.files.writing import output_folder, whole_file
from humanmesh.render.overlay import contact_sheet
from humanmesh.training.config import MODERN, Mode, SessionConfig, TrainConfig
from humanmesh.training.loop import CHECKPOINT, WEIGHTS
from humanmesh.training.session import train

RUNS: dict[str, Mode] = {
    "paired": "paired",
    "unpaired": "unpaired",
    "3D, no adversary": "no-prior-paired",
    "neither": "no-prior",
}
"""Name in the table -> what the training may know."""

PAPER_RATIO = 1.16
"""Reconstruction error of the paper's unpaired training over its paired one, Human3.6M protocol 1 (67.45 / 58.1)."""

COLUMNS = {
    "MPJPE [mm]": ("synthetic", "MPJPE"),
    "reconstruction error [mm]": ("synthetic", "reconstruction error"),
    "PCK@0.1, rendered [%]": ("synthetic", "PCK@0.1"),
    "PCK@0.1, LSPET [%]": ("lspet-pck", "PCK@0.1"),
    "joints beyond their limits, rendered [%]": ("synthetic", "joints beyond their limits"),
    "the same, LSPET [%]": ("lspet-pck", "joints beyond their limits"),
    "parts inside each other, LSPET [%]": ("lspet-pck", "parts inside each other"),
    "left and right swapped, LSPET [%]": ("lspet-pck", "left and right swapped"),
}
"""Column -> protocol and figure."""

MARKS = ("<!-- made by tools/ablation.py -->", "<!-- end -->")
"""Lines of a page between which the table stands."""
_PICTURE = (
    "![Rendered people and photos of free-exercise-db; each training's body over the photo and from the side]"
    "(pictures/ablation.jpg)"
)
_CELL = 176
"""Side of a picture in the figure, pixels."""
_HEADER = 22
"""Height of the figure's headings, pixels."""


@dataclass(frozen=True)
class Options:
    """Options of the ablation."""

    shards: Path
    """Folder of packed data sets."""
    motion: Path
    """.npz of motion-capture poses for the adversary; it should not hold the clips of the benchmark."""
    synthetic: Path
    """Held-out rendered people (.pt) of `humanmesh data synthesize --benchmark --held-out`."""
    lspet: Path
    """Folder of LSPET."""
    exercises: Path | None = None
    """Folder of free-exercise-db, whose photos may be shown in the figure."""
    encoder_weights: Path | None = None
    """Weights of another task for the encoder of all four."""
    out: Path = Path("runs/ablation")
    """Folder of the runs, the table and the figure."""
    page: Path | None = None
    """A page whose marked lines are to hold the table; the figure goes to `pictures` beside it."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of each data set in a batch, as NAME SHARE pairs; by the square root of its size where not given."""
    steps: int = 1500
    """Optimiser steps of each training."""
    batch_size: int = 32
    """Pictures a step."""
    crop_size: int = 128
    """Side of the crops, pixels."""
    freeze_encoder_blocks: int = 6
    """First blocks of the encoder that keep their starting weights."""
    learning_rate: float = 6e-4
    """Step size of the regressor."""
    encoder_learning_rate: float = 1e-4
    """Step size of the encoder."""
    discriminator_learning_rate: float = 1e-3
    """Step size of the adversary: it starts from nothing, and has few steps."""
    adversarial: float = 0.5
    """Weight of the adversary, where there is one."""
    seed: int = 0
    """Of all four trainings."""
    people: int = 500
    """People measured of each hold-out, evenly spaced."""
    shown: tuple[int, int] = (4, 3)
    """People in the figure: rendered ones, and of the exercises; evenly spaced in their hold-outs."""
    body: str = "anny"
    """"anny", or the path of an SMPL file."""
    device: str = "auto"
    """Fabric's accelerator."""
    only: tuple[str, ...] = ()
    """Train these alone and stop before measuring, so that several machines or processes can share the work."""


def main(options: Options) -> None:
    """Train, measure and write."""
    folder = output_folder(options.out)
    for name in options.only or RUNS:
        train_once(name, options)
    if options.only:
        return
    results = {name: measured(name, options) for name in RUNS}
    text = table(results, options)
    print(text)
    _write(folder / "ablation.json", json.dumps({"options": _plain(options), "results": results}, indent=1))
    _write(folder / "ablation.md", text)
    picture = figure(options)
    save_jpeg(picture, folder / "ablation.jpg")
    if options.page is not None:
        shutil.copy(folder / "ablation.jpg", output_folder(options.page.parent / "pictures"))
        fill_page(options.page, f"{text}\n{_PICTURE}\n")


def configuration(mode: Mode, options: Options) -> TrainConfig:
    """The training of a mode: the modern preset without hand-made priors and without refinement."""
    network = replace(MODERN.network, crop_size=options.crop_size, refinements=0)
    losses = replace(MODERN.losses, adversarial=options.adversarial, shape_prior=0.0, knees=0.0)
    optimizer = replace(
        MODERN.optimizer,
        learning_rate=options.learning_rate,
        encoder_learning_rate=options.encoder_learning_rate,
        discriminator_learning_rate=options.discriminator_learning_rate,
        frozen_blocks=options.freeze_encoder_blocks,
        warmup_steps=30,
        ema_decay=0.99,
    )
    return replace(
        MODERN, network=network, losses=losses, optimizer=optimizer, mode=mode, seed=options.seed,
        steps=options.steps, max_time=None, batch_size=options.batch_size, picture_interval=0,
        checkpoint_interval=300.0,
    )  # fmt: skip


def folder_of(name: str, options: Options) -> Path:
    """Where a training lies."""
    return options.out / RUNS[name]


def train_once(name: str, options: Options) -> None:
    """Train, go on with a training that was stopped, or leave a finished one as it is.

    Raises:
        UnknownNameError: where there is no training of that name.
        BadInputError: where the folder holds a training with other settings.
    """
    if name not in RUNS:
        raise UnknownNameError("training", name, list(RUNS))
    folder, config = folder_of(name, options), configuration(RUNS[name], options)
    wanted = json.loads(
        json.dumps({"config": asdict(config), "shares": options.shares, "body": options.body})
    )
    settings = output_folder(folder) / "settings.json"
    if settings.exists() and json.loads(settings.read_text(encoding="utf-8")) != wanted:
        raise BadInputError(f"Run {folder}", "it has other settings", "Choose another --out, or delete it.")
    _write(settings, json.dumps(wanted, indent=1))
    weights = folder / WEIGHTS
    if weights.is_file() and int(load_checkpoint(weights).notes.get("steps", 0)) >= options.steps:
        return
    print(f"{name}: {options.steps} steps")
    session = SessionConfig(
        options.shards, folder, shares=options.shares, motion=options.motion, body=options.body,
        encoder_weights=options.encoder_weights, device=options.device, tensorboard=False,
        resume=(folder / CHECKPOINT).is_file(),
    )  # fmt: skip
    train(config, session)


def predictor_of(name: str, options: Options) -> NetworkPredictor:
    """A finished training as a system to measure."""
    data = load_body_data(options.body)
    path = folder_of(name, options) / WEIGHTS
    network = load_recovery(path, data)
    return NetworkPredictor(name, network, BodyModel(data), load_checkpoint(path).config.crop_size)


def measured(name: str, options: Options) -> dict[str, float]:
    """The figures of one training, by column."""
    predictor = predictor_of(name, options)
    bodies = TruthBodies({"": predictor.body})
    results = {}
    for protocol_name, path in (("synthetic", options.synthetic), ("lspet-pck", options.lspet)):
        whole = protocol_by_name(protocol_name)
        cases, protocol = some_of(load_cases(whole, path, ReadReport()), whole, options.people)
        resume = folder_of(name, options) / f"{protocol_name}.pt"
        results[protocol_name] = evaluate(cases, predictor, protocol, bodies, resume=resume)
    return {column: results[protocol].value(figure) for column, (protocol, figure) in COLUMNS.items()}


def table(results: dict[str, dict[str, float]], options: Options) -> str:
    """Markdown: a row a training, and what the paper's claim comes to."""
    rows = [["training", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    rows += [[name, *(f"{value:.1f}" for value in values.values())] for name, values in results.items()]
    error = "reconstruction error [mm]"
    ratio = results["unpaired"][error] / results["paired"][error]
    shares = ", ".join(f"{name} {share:g}" for name, share in options.shares.items()) or "by size"
    return "\n".join([
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"{options.steps} steps of {options.batch_size} pictures each at {options.crop_size} px, seed {options.seed} (shares: {shares}); "
        f"{options.people} people of each hold-out, without refinement. "
        f"Unpaired over paired: {ratio:.2f} times the reconstruction error (the paper: {PAPER_RATIO}).",
        "",
    ])  # fmt: skip


def figure(options: Options) -> Float[Tensor, "3 height width"]:
    """As figure 5 of the paper: a person a row; the photo, and each training's body over it and from the side."""
    sheets = []
    predictors = [predictor_of(name, options) for name in RUNS]
    for name, case in _people_shown(options):
        protocol = protocol_by_name(name)
        answers = [pictures_of(case, p.predict([case], protocol), protocol) for p in predictors]
        sheets += [answers[0][0], *(picture for answer in answers for picture in (answer[1], answer[3]))]
    small = [_shrunk(picture) for picture in sheets]
    sheet = contact_sheet(small, columns=1 + 2 * len(RUNS))
    return torch.cat([headings(sheet.shape[2]), sheet], 1)


def _people_shown(options: Options) -> list[tuple[str, Case]]:
    """Protocol and person of each row; photos of LSPET may not be shown."""
    sources = [("synthetic", options.synthetic, options.shown[0])]
    if options.exercises is not None:
        sources.append(("exercises-pck", options.exercises, options.shown[1]))
    people = []
    for name, path, count in sources:
        protocol = protocol_by_name(name)
        cases, _ = some_of(load_cases(protocol, path, ReadReport()), protocol, count)
        people += [(name, case) for case in cases]
    return people


def _shrunk(picture: Float[Tensor, "3 size size"]) -> Float[Tensor, "3 cell cell"]:
    return torch.nn.functional.interpolate(
        picture[None], (_CELL, _CELL), mode="bilinear", antialias=True
    )[0]  # fmt: skip


def headings(width: int) -> Float[Tensor, "3 height width"]:
    """The trainings' names over their columns."""
    picture = Image.new("RGB", (width, _HEADER), "white")
    draw = ImageDraw.Draw(picture)
    step = width / (1 + 2 * len(RUNS))
    for number, name in enumerate(RUNS):
        draw.text(((2 + 2 * number) * step, _HEADER / 2), name, fill="black", anchor="mm", font_size=14)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255


def save_jpeg(picture: Float[Tensor, "3 height width"], path: Path) -> None:
    """Write a picture small enough for a repository."""
    data = io.BytesIO()
    Image.fromarray(bytes_of_pixels(picture)).save(data, "JPEG", quality=85)
    with whole_file(path) as beside:
        beside.write_bytes(data.getvalue())


def fill_page(page: Path, text: str) -> None:
    """Put the table between the page's marks.

    Raises:
        BadInputError: where the page has no marks.
    """
    before, start, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not start or not end:
        raise BadInputError(
            f"Page {page}", f"no lines {' and '.join(MARKS)}", "Put the marks where the table goes."
        )
    _write(page, f"{before}{start}\n{text}{end}{after}")


def _write(path: Path, text: str) -> None:
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _plain(options: Options) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
