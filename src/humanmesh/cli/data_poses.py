"""The parts of `humanmesh data` that write files of poses: from motion capture and labelled photos, and made of hands that touch the body or hold a bar."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from humanmesh.cli.packed import (
    counted,
    held_out_sources_in,
    labelling_network,
    training_sources_in,
)
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from humanmesh.body.parameters import BodyModelData
    from humanmesh.data.dataset import Sample
    from humanmesh.data.shards import ShardSource

Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value, off where it is not given."""
_TRIALS = 500
"""Poses that are tried at once; part of the recipe, like the seed."""
_FEWEST = 0.02
"""Share of the trials that must come out; a half and more does from the motion capture of `docs/evaluation.md`."""


@dataclass(frozen=True)
class Motion:
    """Gather motion capture of every kind into one file of poses for the adversary and for synthetic people."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Searched, with all folders in it, for .amc (beside its .asf), .bvh, AMASS .npz, exponential maps .npz (beside
    skeleton.json) and DeepMimic .txt."""
    out: Path
    """File to write, .npz."""
    amc_frame_rate: float = 30.0
    """Hz of .amc files, which do not say it."""
    knee_offset: float = 0.0
    """Degrees, 0 to 60, by which the recorded knees of people who stand are bent too far: 20 for CMU's recordings, whose skeletons
    crouch. Bent knees are changed less, and hips and ankles turn along, so that the feet stay in their places."""
    without_benchmark: Switch = False
    """Leave out the clips that pose the people of the protocol `synthetic`, for an adversary that shall not have seen them."""
    strict: Switch = False
    """Stop at the first file that cannot be read, instead of leaving it out and naming it."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Poses:
    """Gather the poses of people in photos that `humanmesh data label` found into a file like that of `motion`, to render people in them.

    Taken are people whose arms and legs agree with the photo's keypoints in eleven joints and more. Hold-outs are left out, or with
    `--held-out` the others, and people whose 3D is measured or rendered.
    """

    shards: Annotated[Path, tyro.conf.Positional]
    """Folder of shards."""
    out: Path
    """File to write, .npz."""
    name: str | None = None
    """Take one data set only; all where None."""
    held_out: Switch = False
    """Take the hold-outs, to measure on people rendered in their poses. They are labelled for this alone; their shards stay as they are."""
    weights: str = "default"
    """What labels hold-outs: a checkpoint, or the name of a bundled one."""
    device: str | None = None
    """Where hold-outs are labelled, as PyTorch names it; a CUDA device where there is one, else the CPU, where None."""
    body: str = "anny"
    """"anny", or an SMPL file: whose parts must not pass through each other."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class _Made:
    """What every command that makes poses is told."""

    motion: Path
    """.npz that `humanmesh data motion` or `humanmesh data poses` wrote."""
    out: Path
    """File to write, .npz."""
    count: int = 10_000
    """Poses to make; a thousand take half a minute to two minutes on one core."""
    held_out: Switch = False
    """Start from the clips that are kept for measuring instead of all others."""
    seed: int = 0
    """Of the random choices."""
    body: str = "anny"
    """"anny", or the path of an SMPL file."""
    json: Switch = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Touch(_Made):
    """Make poses of people whose hands touch their own body, which motion capture has few of, from those of `motion`.

    Give the file to `humanmesh data synthesize --exact-poses`.
    """


@dataclass(frozen=True)
class Hold(_Made):
    """Make poses of people who hold a bar with both hands, behind the neck, overhead, before chest or thighs, from those of `motion`.

    Give the file to `humanmesh data synthesize --exact-poses --holding-share 0.8`.
    """


def gather_motion(arguments: Motion) -> tuple[dict[str, Any], list[str]]:
    """Do it; the result, and what to say."""
    from humanmesh.data.motion_files import (
        MotionReport,
        MotionRules,
        pose_arrays,
        read_motion_folder,
        write_motion,
    )
    from humanmesh.data.synthetic_recipe import is_held_out
    from humanmesh.files.writing import output_file

    if not 0 <= arguments.knee_offset <= 60:
        raise BadInputError("--knee-offset", f"{arguments.knee_offset}", "Give degrees from 0 to 60.")
    rules = MotionRules(arguments.amc_frame_rate, arguments.strict, leave_out=arguments.out)
    output_file(arguments.out)  # before minutes of reading
    report = MotionReport()
    with PatientBar("files") as bar:
        motions = read_motion_folder(arguments.folder, rules, report, bar)
    if arguments.without_benchmark:
        motions = [motion for motion in motions if not is_held_out(motion.name)]
        if not motions:
            raise BadInputError(
                f"Motion in {arguments.folder}", "all of it poses the benchmark", "Leave out --without-benchmark."
            )  # fmt: skip
    arrays = pose_arrays(motions, math.radians(arguments.knee_offset))
    write_motion(arguments.out, arrays)
    kept, found = len(arrays["pose"]), sum(len(motion.rotations) for motion in motions)
    result = {
        "files": report.files, "clips": len(motions), "frames": kept, "frames_left_out": found - kept,
        "files_left_out": report.left_out,
    }  # fmt: skip
    lines = [f"{arguments.out}: {kept:,} poses of {len(motions):,} clips from {report.files:,} files"]
    if found > kept:
        lines.append(f"{found - kept:,} frames are left out: a joint is turned further than a body can")
    return result, [*lines, *(f"left out: {sentence}" for sentence in report.left_out)]


def gather_poses(arguments: Poses) -> tuple[dict[str, Any], list[str]]:
    """Do it; the result, and what to say."""
    import numpy as np
    import torch

    from humanmesh.body.capsules import CapsuleBody
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.writing import output_file
    from humanmesh.training.labelled_poses import poses_in_world, trusted_poses

    output_file(arguments.out)
    find = held_out_sources_in if arguments.held_out else training_sources_in
    sources = find(arguments.shards, arguments.name)
    body = CapsuleBody(load_body_data(arguments.body))
    total = sum(len(source) for source in sources)
    with PatientBar("people") as bar:
        samples = _labelled(sources, arguments) if arguments.held_out else _stored(sources)
        found = list(trusted_poses(counted(samples, bar, total)))
    if not found:
        remedy = "Take other --weights." if arguments.held_out else "Run `humanmesh data label`."
        raise BadInputError(f"{arguments.shards}", "no 3D that agrees with its photo", remedy)
    rotations = poses_in_world(torch.from_numpy(np.array(found, np.float32)), body)
    if not len(rotations):
        raise BadInputError(
            f"{arguments.shards}", "no pose that a body can take", "Label it with other weights."
        )
    _write_poses(arguments.out, rotations, "photos", held_out=arguments.held_out)
    lines = [f"{arguments.out}: {len(rotations):,} poses of {total:,} people"]
    return {"people": total, "poses": len(rotations)}, lines


def _stored(sources: "list[ShardSource]") -> "Iterator[Sample]":
    return (source[row] for source in sources for row in range(len(source)))


def _labelled(sources: "list[ShardSource]", arguments: Poses) -> "Iterator[Sample]":
    from humanmesh.training.labelling import LabelReport, with_fitted_labels

    network, crop_size = labelling_network(arguments.weights, arguments.body, arguments.device)
    for source in sources:
        yield from with_fitted_labels(source, network, crop_size, LabelReport())


def touch(arguments: Touch) -> tuple[dict[str, Any], list[str]]:
    """Do it; the result, and what to say."""
    from humanmesh.data.touching import TouchBody, touching_poses

    return _make_poses(arguments, "touching", lambda data: partial(touching_poses, body=TouchBody(data)))


def hold(arguments: Hold) -> tuple[dict[str, Any], list[str]]:
    """Do it; the result, and what to say."""
    from humanmesh.data.holding import holding_poses
    from humanmesh.data.reaching import ReachingBody

    return _make_poses(arguments, "holding", lambda data: partial(holding_poses, body=ReachingBody(data)))


def _make_poses(
    arguments: _Made, name: str, maker: "Callable[[BodyModelData], Callable[..., Tensor]]"
) -> tuple[dict[str, Any], list[str]]:
    """Try until there are enough, and write them."""
    import torch

    from humanmesh.data.synthetic_recipe import read_weighted_pose_library
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.joint_limits import bundled_joint_limits
    from humanmesh.files.writing import output_file

    if arguments.count < 1:
        raise BadInputError("--count", f"{arguments.count}", "Give a number of poses, at least 1.")
    output_file(arguments.out)
    library = read_weighted_pose_library(arguments.motion, held_out=arguments.held_out)
    make, limits = maker(load_body_data(arguments.body)), bundled_joint_limits()
    generator = torch.Generator().manual_seed(arguments.seed)
    parts: list[Tensor] = []
    made = 0
    with PatientBar("poses") as bar:
        while made < arguments.count:
            parts.append(make(library=library, limits=limits, trials=_TRIALS, generator=generator))
            made += len(parts[-1])
            if made < _FEWEST * len(parts) * _TRIALS:
                raise BadInputError(f"Motion file {arguments.motion}", "hardly a trial comes out", "Add recordings of moving arms.")  # fmt: skip
            bar(min(made, arguments.count), arguments.count)
    _write_poses(arguments.out, torch.cat(parts)[: arguments.count], name, held_out=arguments.held_out)
    return {"poses": arguments.count}, [f"{arguments.out}: {arguments.count:,} poses"]


def _write_poses(path: Path, rotations: "Tensor", clip: str, *, held_out: bool) -> None:
    """Write poses as one clip, so that all are drawn alike."""
    import numpy as np

    from humanmesh.data.motion_files import write_motion
    from humanmesh.data.synthetic_recipe import HELD_OUT_CLIPS
    from humanmesh.geometry.rotations import matrix_to_axis_angle

    name = HELD_OUT_CLIPS[0].replace("*", clip) if held_out else clip
    clips = np.zeros(len(rotations), np.int32)
    poses = matrix_to_axis_angle(rotations).flatten(1).numpy()
    write_motion(path, {"pose": poses, "clip": clips, "clip_names": np.array([name])})
