"""Make data to train on: pack photos, label them in 3D, gather and make poses, draw synthetic people, look at what was packed.

Packed data is a folder of WebDataset tars, NAME-00000.tar and so on; a data set whose name ends in `_held_out` is
measured during a training and never trained on. A re-run replaces all tars of its names, or, when it fails, none.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from humanmesh.cli.data_poses import (
    Hold,
    Motion,
    Poses,
    Switch,
    Touch,
    gather_motion,
    gather_poses,
    hold,
    touch,
)
from humanmesh.cli.packed import counted, labelling_network, sources_in, training_sources_in
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, MissingAssetError

if TYPE_CHECKING:
    from torch import Tensor

    from humanmesh.data.dataset import Sample
    from humanmesh.data.readers import ReadReport


@dataclass(frozen=True)
class Pack:
    """Pack photos with keypoints into shards, a part of them held out."""

    format: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FORMAT")]
    """coco, lsp, lspet, mpii, ccp, h36m, mpi_inf_3dhp_train, mpi_inf_3dhp_test, mpi_inf_3dhp_npz, pw3d or spin;
    docs/datasets.md gives the layout of each. Your own photos go in COCO's form."""
    path: Annotated[Path, tyro.conf.Positional]
    """Annotation file, or folder of the data set, as the format wants it."""
    out: Path
    """Folder for the shards."""
    images: Path | None = None
    """Folder of the photos; looked for in the usual places where None."""
    name: str | None = None
    """Name of the data set; the format's where None."""
    hold_out: float | None = None
    """Share of the photos, from 0 to 1, that goes to NAME_held_out: by a hash of the photo's name, or of the sequence's. By
    the data set's own rule where None (lspet, ccp, exercises), or a tenth."""
    minimum_joints: int = 6
    """A person with fewer visible joints is left out."""
    strict: Switch = False
    """Stop at the first record with any fault, instead of leaving it out and counting it."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Synthesize:
    """Draw synthetic people with exact labels, straight into shards."""

    motion: Path
    """.npz that `humanmesh data motion`, `poses`, `touch` or `hold` wrote."""
    backgrounds: tuple[Path, ...]
    """Folders of photos without people."""
    textures: tuple[Path, ...]
    """Folders of pictures for cloth and occluders."""
    out: Path
    """Folder for the shards."""
    count: int = 10_000
    """People to draw."""
    held_out: Switch = False
    """Draw from the clips and backgrounds that are kept for measuring; the name then ends in _held_out."""
    name: str = "synthetic"
    """Name of the data set."""
    seed: int = 1000
    """Of the first thousand people; each thousand after it takes the next number."""
    body: str = "anny"
    """"anny", or the path of an SMPL file."""
    device: str = "cpu"
    """Device as PyTorch names it, such as cpu or cuda:0."""
    exact_poses: Switch = False
    """Pose people as the file has them, but for mirror, view and `--feet-share`: no noise, and no legs of another frame. For poses of
    `humanmesh data touch` and `hold`."""
    holding_share: float = 0.0
    """Share of the people, from 0 to 1, who hold something: a bar where both hands could hold one, else a dumbbell or a stick in one hand."""
    feet_share: float = 0.0
    """Share of the people, from 0 to 1, whose feet are turned anew, from pulled up to pointed. Recorded people seldom point their toes."""
    benchmark: Switch = False
    """Write .pt files with masks and body parts, as the protocol `synthetic` of `humanmesh evaluate` reads them, instead of shards."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Label:
    """Give packed people 3D labels, in place: the bodies that a network finds for their keypoints, as far as these agree.

    People whose 3D is measured or rendered keep it, labels of an earlier run are made anew, and hold-outs and pictures stay as they are. A data set's
    new shards replace the old ones when the last person is written.
    """

    shards: Annotated[Path, tyro.conf.Positional]
    """Folder of shards."""
    name: str | None = None
    """Label one data set only; all but the hold-outs where None."""
    weights: str = "default"
    """A checkpoint, or the name of a bundled one: "default" or "open"."""
    body: str = "anny"
    """"anny", or the path of the SMPL file that the weights were trained with."""
    device: str | None = None
    """Device as PyTorch names it; a CUDA device where there is one, else the CPU, where None."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Show:
    """Draw a sheet of packed people with their keypoints: the person's left blue, the right orange."""

    shards: Annotated[Path, tyro.conf.Positional]
    """Folder of shards, or one tar."""
    out: Path
    """Picture to write, .png."""
    name: str | None = None
    """Show one data set only; all where None."""
    count: int = 24
    """People of each data set, evenly over it."""
    columns: int = 8
    """People in a row."""
    json: Switch = False
    """Print the result as JSON."""


Arguments = (
    Annotated[Pack, tyro.conf.subcommand("pack")]
    | Annotated[Motion, tyro.conf.subcommand("motion")]
    | Annotated[Poses, tyro.conf.subcommand("poses")]
    | Annotated[Touch, tyro.conf.subcommand("touch")]
    | Annotated[Hold, tyro.conf.subcommand("hold")]
    | Annotated[Synthesize, tyro.conf.subcommand("synthesize")]
    | Annotated[Label, tyro.conf.subcommand("label")]
    | Annotated[Show, tyro.conf.subcommand("show")]
)


def run(arguments: Arguments) -> int:
    """Do it, and say what came of it.

    Raises:
        HumanMeshError: where the input cannot be used.
    """
    does: dict[type, Any] = {
        Pack: _pack,
        Motion: gather_motion,
        Poses: gather_poses,
        Touch: touch,
        Hold: hold,
        Synthesize: _synthesize,
        Label: _label,
        Show: _show,
    }
    result, lines = does[type(arguments)](arguments)
    print(json.dumps(result, indent=1) if arguments.json else "\n".join(lines))
    return 0


def _pack(arguments: Pack) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.data.packing import PackJob, pack
    from humanmesh.data.readers import ReadRules

    if arguments.minimum_joints < 2:
        raise BadInputError(
            "--minimum-joints", f"{arguments.minimum_joints}", "Two joints make a box, one does not."
        )
    rules = ReadRules(
        arguments.minimum_joints, refuse=ReadRules.strict().refuse if arguments.strict else frozenset()
    )
    job = PackJob(
        arguments.format, arguments.path, arguments.out, arguments.name or arguments.format, arguments.images,
        arguments.hold_out, rules,
    )  # fmt: skip
    with PatientBar("people") as bar:
        packed = pack(job, bar)
    result = {
        "people": packed.people,
        "left_out": dict(packed.report.counts),
        "examples": packed.report.examples,
    }
    lines = [_written(name, count, arguments.out) for name, count in packed.people.items()]
    return result, [*lines, *_left_out(packed.report)]


def _written(name: str, count: int, folder: Path) -> str:
    from humanmesh.data.shards import data_sets_in

    if not count:
        return f"{name}: nobody"
    paths = data_sets_in(folder)[name]
    last = f" to {paths[-1].name}" if len(paths) > 1 else ""
    return f"{name}: {count:,} people, {paths[0]}{last}"


def _left_out(report: "ReadReport") -> list[str]:
    from humanmesh.data.readers.checks import CHOICES, FAULTS

    return [
        f"{reason}: {count:,} ({FAULTS.get(reason) or CHOICES[reason]}); the first: {report.examples[reason][0]}"
        for reason, count in report.counts.most_common()
    ]


def _synthesize(arguments: Synthesize) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.data.shards import HELD_OUT, check_name
    from humanmesh.data.synthetic import SyntheticConfig
    from humanmesh.data.synthetic_poses import PoseConfig
    from humanmesh.data.synthetic_recipe import SynthesisJob
    from humanmesh.inference import usable_device

    if arguments.count < 1:
        raise BadInputError("--count", f"{arguments.count}", "Give a number of people, at least 1.")
    for option, share in (
        ("--holding-share", arguments.holding_share),
        ("--feet-share", arguments.feet_share),
    ):
        if not 0 <= share <= 1:
            raise BadInputError(option, f"{share}", "Give a share of the people, from 0 to 1.")
    if not arguments.motion.is_file():
        raise MissingAssetError("motion capture", arguments.motion, "Make one with `humanmesh data motion`.")
    name = check_name(arguments.name + HELD_OUT if arguments.held_out else arguments.name)
    poses = PoseConfig(feet_share=arguments.feet_share)
    if arguments.exact_poses:
        poses = replace(poses, mixed_share=0, noise=0)
    job = SynthesisJob(
        out=arguments.out, motion=arguments.motion, backgrounds=arguments.backgrounds, textures=arguments.textures,
        count=arguments.count, seed=arguments.seed, body=arguments.body, held_out=arguments.held_out,
        device=str(usable_device(arguments.device)),
        config=SyntheticConfig(poses, holding_share=arguments.holding_share),
    )  # fmt: skip
    with PatientBar("people") as bar:
        if arguments.benchmark:
            return _benchmark_parts(job, bar)
        return _synthetic_shards(job, name, bar)


def _benchmark_parts(job: Any, bar: PatientBar) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.data import synthetic_recipe

    files = []
    for path in synthetic_recipe.run(job):
        files.append(str(path))
        bar(min(len(files) * job.part_size, job.count), job.count)
    return {"people": job.count, "files": files}, files


def _synthetic_shards(job: Any, name: str, bar: PatientBar) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.data.packing import synthetic_people
    from humanmesh.data.shards import write_data_sets
    from humanmesh.data.synthetic_recipe import assets_of
    from humanmesh.files.body_models import load_body_data

    people = synthetic_people(job, assets_of(job, load_body_data(job.body)), name)
    count = write_data_sets({name: counted(people, bar, job.count)}, job.out)[name]
    return {"people": {name: count}}, [_written(name, count, job.out)]


def _label(arguments: Label) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.data.shards import relabelled, write_shards
    from humanmesh.training.labelling import LabelReport, with_fitted_labels

    sources = training_sources_in(arguments.shards, arguments.name)
    network, crop_size = labelling_network(arguments.weights, arguments.body, arguments.device)
    total = sum(len(source) for source in sources)
    reports: dict[str, LabelReport] = {}
    with PatientBar("people") as bar:
        for source in sources:
            before = sum(report.people for report in reports.values())
            report = reports[source.name] = LabelReport()
            people = with_fitted_labels(source, network, crop_size, report)
            people = counted(people, bar, total, before)
            write_shards(relabelled(source, people), arguments.shards, source.name)
    lines = [
        f"{name}: {report.labelled:,} of {report.people:,} people got 3D labels; that of {report.known:,} was known"
        for name, report in reports.items()
    ]
    return {"people": {name: vars(report) for name, report in reports.items()}}, lines


def _show(arguments: Show) -> tuple[dict[str, Any], list[str]]:
    from humanmesh.files.images import write_png
    from humanmesh.files.writing import output_file
    from humanmesh.render.overlay import contact_sheet

    output_file(arguments.out)
    if min(arguments.count, arguments.columns) < 1:
        raise BadInputError("--count or --columns", "a number below 1", "Give at least 1 of each.")
    records: dict[str, list[str]] = {}
    pictures: list[Tensor] = []
    for source in sources_in(arguments.shards, arguments.name):
        rows = range(0, len(source), -(-len(source) // arguments.count))
        samples = [source[row] for row in rows]
        pictures += [_drawn(sample) for sample in samples]
        records[source.name] = [f"{sample.source}/{sample.record}" for sample in samples]
    write_png(arguments.out, contact_sheet(pictures, arguments.columns))
    lines = [f"{name}: {len(shown)} people, {shown[0]} to {shown[-1]}" for name, shown in records.items()]
    return {"picture": str(arguments.out), "records": records}, [*lines, f"wrote {arguments.out}"]


def _drawn(sample: "Sample") -> "Tensor":
    import torch

    from humanmesh.body.skeletons import COCOPLUS_19
    from humanmesh.render.overlay import skeleton_overlay

    visible = torch.from_numpy(sample.weights_2d) > 0
    picture = torch.from_numpy(sample.image.copy()).float() / 255
    return skeleton_overlay(picture, torch.from_numpy(sample.keypoints_2d), COCOPLUS_19, visible)
