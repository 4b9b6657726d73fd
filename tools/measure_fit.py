"""Measure fits on held-out synthetic people whose keypoints are known: the tables of docs/fitting.md.

    python tools/measure_fit.py PART.pt [--people 100] [--noise 0.03] [--weights FILE]

PART.pt is a file that `humanmesh data synthesize --benchmark --held-out` wrote; people are taken evenly from it.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCOPLUS_19, LSP_14, SMPL_24
from humanmesh.evaluation.data_sets import read_synthetic_part
from humanmesh.evaluation.metrics import about, aligned, point_errors
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.energy import BodyState, FittingBody, Keypoints2D, Keypoints3D, fitting_body
from humanmesh.fitting.people import state_of
from humanmesh.fitting.silhouette import silhouette_of, surface_body
from humanmesh.fitting.smplify import (
    BATCH,
    Fit,
    fit,
    fit_from,
    fit_outline,
    fit_points,
    seen_keypoints,
    with_depths,
)
from humanmesh.fitting.solver import joined, taken
from humanmesh.geometry.cameras import PerspectiveCamera, default_focal_length
from humanmesh.inference import Recoverer, load

SIDE = 224
"""Pixels of the pictures."""
FEWEST = 12
"""Keypoints in the picture that a measured person has."""
WILD = 2
"""Keypoints that are moved by about the person's size in one of the measurements."""
_BONES = [
    (SMPL_24.index[f"{side}_{upper}"], SMPL_24.index[f"{side}_{lower}"])
    for side in ("left", "right")
    for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]
_CLEAR = 0.25
"""Share of a bone's length that it must point towards or away from the camera for its direction to count."""


@dataclass(frozen=True)
class People:
    """Who is measured."""

    rows: Int64[Tensor, "people"]
    arrays: dict[str, Tensor]
    keypoints: Keypoints2D
    body: FittingBody
    small: KeypointBody

    def chosen(self, name: str) -> Tensor:
        """One array of these people."""
        return self.arrays[name][self.rows]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", type=Path)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="of the rows from which people are taken")
    parser.add_argument("--noise", type=float, default=0.03, help="of noisy keypoints, in their size")
    parser.add_argument("--weights", type=Path, default=None, help="the bundled weights where not given")
    arguments = parser.parse_args()
    recoverer = load(arguments.weights)
    arrays = read_synthetic_part(arguments.part)
    people = chosen_people(arrays, recoverer, arguments.people, arguments.first)
    size = people.keypoints.size[:, None, None]
    chance = torch.Generator().manual_seed(0)
    noise = arguments.noise * size * torch.randn(people.keypoints.positions.shape, generator=chance)
    print(f"{len(people.rows)} people, {torch.get_num_threads()} threads")
    print(HEADER)

    def from_network(seen: Keypoints2D) -> Callable[[Keypoints2D], Fit]:
        start = network_start(people, seen, recoverer)  # which the fit's time does not hold
        return lambda known: fit_from(people.body, known, start)

    exact, noisy = people.keypoints, moved(people, noise)
    report("network", people, lambda known: unjudged(network_start(people, known, recoverer)), exact)
    mean = report("fit from the mean pose", people, lambda known: fit(people.body, known), exact)
    refined = report("fit from the network", people, from_network(exact), exact)
    report("fit with the mask", people, with_mask(people, recoverer, refined.state), exact)
    rough = report("fit to noisy keypoints", people, from_network(noisy), noisy)
    wild = noise.clone()
    wild[
        torch.arange(len(wild))[:, None], torch.rand(wild.shape[:2], generator=chance).argsort(1)[:, :WILD]
    ] += size * torch.randn(len(wild), WILD, 2, generator=chance)
    with_wild = moved(people, wild)
    outliers = report("the same, two of them wild", people, from_network(with_wild), with_wild)
    lost = report("two wild, from the mean pose", people, lambda known: fit(people.body, known), with_wild)
    order = torch.rand(wild.shape[:2], generator=chance).argsort(1)
    shuffled = seen_keypoints(
        exact.positions.gather(1, order[..., None].expand_as(exact.positions)),
        exact.confidences.gather(1, order),
        exact.camera,
    )
    nonsense = report("shuffled, from the mean pose", people, lambda known: fit(people.body, known), shuffled)
    astray = report("shuffled, from the network", people, from_network(shuffled), shuffled)
    print_failures(
        {
            "exact, mean pose": mean,
            "exact, network": refined,
            "noisy, network": rough,
            "two wild, network": outliers,
            "two wild, mean pose": lost,
        },
        {"shuffled, mean pose": nonsense, "shuffled, network": astray},
    )
    print_points(people)
    print_times(people)


def unjudged(state: BodyState) -> Fit:
    """A state as the result of a fit that has no misfit."""
    return Fit(state, torch.full((len(state.pose),), torch.nan))


def chosen_people(arrays: dict[str, Tensor], recoverer: Recoverer, count: int, first: int) -> People:
    """People evenly taken from those with enough keypoints in the picture, under the camera of a user's photo."""
    rows = torch.arange(first, len(arrays["images"]), max(1, len(arrays["images"]) // count))
    rows = rows[arrays["weights_2d"][rows].sum(1) >= FEWEST]
    focal = torch.full((len(rows),), default_focal_length(SIDE, SIDE))
    camera = PerspectiveCamera(focal, torch.full((len(rows), 2), SIDE / 2))
    positions = (arrays["keypoints_2d"][rows] + 1) * SIDE / 2
    known = seen_keypoints(positions, arrays["weights_2d"][rows], camera)
    data = recoverer.body.data
    body = fitting_body(data, COCOPLUS_19.name, load_pose_prior())
    return People(rows, arrays, known, body, KeypointBody(data, COCOPLUS_19.name))


def moved(people: People, noise: Float[Tensor, "people keypoints 2"]) -> Keypoints2D:
    """The keypoints with noise (pixels)."""
    known = people.keypoints
    return seen_keypoints(known.positions + noise, known.confidences, known.camera)


def network_start(people: People, known: Keypoints2D, recoverer: Recoverer) -> BodyState:
    """What the network, told the keypoints, sees in each picture."""
    photos = list(people.chosen("images").float() / 255)
    told = torch.cat([known.positions, known.confidences[..., None]], 2).numpy()
    found = [
        recoverer.recover_keypoints_in(photo, told[row : row + 1], COCOPLUS_19.name)[0]
        for row, photo in enumerate(photos)
    ]
    return joined([state_of(person) for person in found])


def with_mask(people: People, recoverer: Recoverer, start: BodyState) -> Callable[[Keypoints2D], Fit]:
    """The fit that also knows the masks, and keeps its depths."""
    silhouettes = joined([silhouette_of(mask.numpy() > 0) for mask in people.chosen("mask")])
    surface = surface_body(recoverer.body.data)
    return lambda known: fit_outline(
        people.body, with_depths(known, people.body, start), start, silhouettes, surface
    )


HEADER = (
    f"{'':28}{'2D px med':>10}{'mean':>7}{'MPJPE':>8}{'PA mean':>9}{'median':>8}{'90 %':>7}"
    f"{'flipped':>9}{'s/person':>10}"
)


def report(name: str, people: People, work: Callable[[Keypoints2D], Fit], known: Keypoints2D) -> Fit:
    """Do it, and print a line of figures: pixels at 224, millimetres, limb bones flipped in depth per person."""
    start = time.process_time()
    found = work(known)
    seconds = (time.process_time() - start) / len(people.rows)
    state = found.state
    joints, keypoints = people.small(state.rotations, state.shape)
    truth = people.chosen("keypoints_3d")
    exact = people.keypoints
    in_photo = exact.camera.project(keypoints + state.translation[:, None])
    pixels = ((in_photo - exact.positions).norm(dim=2) * exact.confidences).sum(1) / exact.confidences.sum(1)
    hips = [COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]]
    lsp, lsp_truth = keypoints[:, : len(LSP_14)], truth[:, : len(LSP_14)]
    direct = 1000 * point_errors(about(lsp, hips), about(lsp_truth, hips)).mean(1)
    reconstruction = 1000 * point_errors(aligned(lsp, lsp_truth), lsp_truth).mean(1)
    flips = flipped_bones(joints + state.translation[:, None], people.chosen("joints_3d"))
    print(
        f"{name:28}{pixels.median():10.2f}{pixels.mean():7.2f}{direct.mean():8.1f}{reconstruction.mean():9.1f}"
        f"{reconstruction.median():8.1f}{reconstruction.quantile(0.9):7.0f}{flips:9.2f}{seconds:10.2f}",
        flush=True,
    )
    return found


def flipped_bones(found: Float[Tensor, "people 24 3"], truth: Float[Tensor, "people 24 3"]) -> float:
    """Bones of arms and legs, of 8 a person, that point clearly towards the camera and should point away, or the reverse."""

    def depths(joints: Tensor) -> Tensor:
        upper, lower = (joints[:, list(rows)] for rows in zip(*_BONES, strict=True))
        sight = torch.nn.functional.normalize(upper, dim=2)
        bone = lower - upper
        return (bone * sight).sum(2) / bone.norm(dim=2)

    first, second = depths(found), depths(truth)
    is_flipped = (first * second < 0) & (first.abs() > _CLEAR) & (second.abs() > _CLEAR)
    return float(is_flipped.sum(1).float().mean())


def print_failures(sound: dict[str, Fit], wrong: dict[str, Fit]) -> None:
    """The final energies per keypoint, and the threshold of failure that they teach (`smplify.LARGEST_MISFIT`)."""
    print("\nenergy per keypoint     median    90 %    99 %     most   failed")
    for name, found in {**sound, **wrong}.items():
        values = found.misfit.quantile(torch.tensor([0.5, 0.9, 0.99, 1.0])).tolist()
        figures = "".join(f"{value:9.1f}" for value in values)
        print(f"{name:20}{figures}{float(found.is_failed.float().mean()):9.2f}")
    threshold, errors = equal_error_threshold(
        *(torch.cat([found.misfit for found in fits.values()]) for fits in (sound, wrong))
    )
    print(
        f"learned threshold of failure (equal errors): {threshold:.1f}, {errors:.1%} of either kind told wrongly"
    )


def equal_error_threshold(
    sound: Float[Tensor, "sound"], wrong: Float[Tensor, "wrong"]
) -> tuple[float, float]:
    """The energy above which a fit is called failed so that it errs alike both ways, and that share of errors.

    As large a share of the fits to sound keypoints lies above it as of the fits to wrong ones at or below; the middle of all such energies.
    """
    candidates = torch.cat([sound, wrong]).sort().values
    middles = (candidates[1:] + candidates[:-1]) / 2
    above = (sound > middles[:, None]).float().mean(1)
    below = (wrong <= middles[:, None]).float().mean(1)
    gap = (above - below).abs()
    best = middles[gap == gap.min()]
    threshold = float((best.min() + best.max()) / 2)
    errors = (float((sound > threshold).float().mean()) + float((wrong <= threshold).float().mean())) / 2
    return threshold, errors


def print_points(people: People) -> None:
    """How far a body fitted to keypoints in space is from them."""
    truth = people.chosen("keypoints_3d")
    found = fit_points(people.body, Keypoints3D(truth, torch.ones(truth.shape[:2])))
    keypoints = people.small(found.state.rotations, found.state.shape)[1] + found.state.translation[:, None]
    millimetres = 1000 * (keypoints - truth).norm(dim=2).mean(1)
    print(f"\npoints in space: {millimetres.mean():.1f} mm mean, {millimetres.max():.1f} mm worst person")


def print_times(people: People) -> None:
    """Wall-clock seconds of a person alone and of one in a full batch, from the mean pose."""
    for count in (1, BATCH):
        known = taken(people.keypoints, torch.arange(count))
        start = time.perf_counter()
        fit(people.body, known)
        seconds = (time.perf_counter() - start) / count
        print(f"{seconds:.2f} s a person in a batch of {count}")


if __name__ == "__main__":
    main()
