"""Measure following and smoothing on films made from motion capture: `python tools/measure_video.py --help`.

Each film shows one person of constant clothes, light and background for two seconds, before a camera that stands still; one more
shows two people whose ways cross. The truth is exact. `--set tuning` are the clips that the constants of `video` were chosen
on, `--set measuring` (the default) others, which the network's training did not see either.

Motion: `humanmesh data motion FOLDER --out motion.npz`; backgrounds and textures: folders of photos without people.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import radians
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import humanmesh
from humanmesh.body.model import BodyModel
from humanmesh.data.synthetic_painting import PaintAssets, PaintConfig, paint, paint_assets
from humanmesh.data.synthetic_recipe import load_pictures, picture_paths
from humanmesh.data.synthetic_scene import CropCamera
from humanmesh.evaluation.metrics import about, acceleration_errors, aligned, point_errors
from humanmesh.files.body_models import load_body_data
from humanmesh.files.clips import Clip
from humanmesh.files.videos import VideoFile, video_writer
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.geometry.smoothing import interpolate_rotations, interpolate_vectors
from humanmesh.tracking import count_switches, similarity
from humanmesh.video import Follower, VideoConfig, assemble

FRAME_RATE = 30
SECONDS = 2.0
SIDE = 256
"""Pixels of the square frames."""
DISTANCE = 5.0
"""Metres from the camera to the middle of the motion."""
VIEW = 2.8
"""Metres that the frame's side shows there."""
PICTURES = 12
"""Backgrounds, and as many textures, that a film's are drawn from."""
GRAIN = 0.012
"""Standard deviation of the noise of each pixel, in [0, 1]; new in each frame."""
ELEVATION = radians(6)
SAME = 0.4
"""Similarity of keypoints from which a person of the clip is taken for a true one."""


@dataclass(frozen=True)
class Scene:
    """Recorded clips, and how the camera looks at them."""

    clips: tuple[str, ...]
    """Names in the motion file; a second person walks through the first's picture."""
    yaw: float
    """Degrees about the vertical, of the world before the camera."""
    seed: int
    """Of shape, clothes, light and background."""


SETS = {
    "measuring": {
        "basketball": Scene(("test_basketball/basketball_1",), 20, 1),
        "soccer": Scene(("test_soccer/soccer_1",), 100, 2),
        "walking": Scene(("test_walking/walking_1",), 200, 3),
        "washwindow": Scene(("test_washwindow/washwindow_1",), 290, 4),
        "jumping": Scene(("test_jumping/jumping_1",), 60, 5),
        "dance": Scene(("dance_b",), 330, 6),
        "crossing": Scene(("test_walking/walking_1", "test_walking_extra/walking_10"), 90, 7),
    },
    "tuning": {
        "basketball": Scene(("train_basketball/basketball_1",), 40, 11),
        "soccer": Scene(("train_soccer/soccer_1",), 120, 12),
        "walking": Scene(("train_walking/walking_1",), 220, 13),
        "traffic": Scene(("train_directing_traffic/directing_traffic_1",), 310, 14),
        "jumping": Scene(("train_jumping/jumping_2",), 80, 15),
        "dance": Scene(("dance_a",), 350, 16),
        "crossing": Scene(("train_walking/walking_2", "train_walking_extra/walking_13"), 90, 17),
    },
}


@dataclass(frozen=True)
class Truth:
    """What a film shows. Camera frame, metres."""

    joints: Float[Tensor, "people frames 24 3"]
    keypoints: Float[Tensor, "people frames 19 2"]
    """COCOPLUS_19, pixels."""


@dataclass(frozen=True)
class Actor:
    """One person's recorded motion before the camera."""

    vertices: Float[Tensor, "frames vertices 3"]
    joints: Float[Tensor, "frames 24 3"]
    keypoints: Float[Tensor, "frames 19 3"]
    seed: int


def recorded(motion: Path, name: str) -> tuple[Float[Tensor, "frames 24 3 3"], Float[Tensor, "frames 3"]]:
    """Rotations and root positions of the middle seconds of a clip at the frame rate."""
    with np.load(motion) as arrays:
        row = arrays["clip_names"].tolist().index(name)
        chosen = arrays["clip"] == row
        rate = float(arrays["frame_rate"][row])
        pose = torch.from_numpy(arrays["pose"][chosen]).float()
        places = torch.from_numpy(arrays["translation"][chosen]).float()
    times = torch.arange(len(pose), dtype=torch.float64) / rate
    moments = torch.arange(round(SECONDS * FRAME_RATE), dtype=torch.float64) / FRAME_RATE
    moments = moments + (times[-1] - moments[-1]) / 2
    rotations = axis_angle_to_matrix(pose.unflatten(1, (24, 3)))
    return interpolate_rotations(times, rotations, moments), interpolate_vectors(times, places, moments)


def about_axis(axis: int, angle: float) -> Float[Tensor, "3 3"]:
    """A rotation about one axis (radians)."""
    return axis_angle_to_matrix(torch.nn.functional.one_hot(torch.tensor(axis), 3) * torch.tensor(angle))


def act(motion: Path, scene: Scene, person: int, body: BodyModel) -> Actor:
    """A person's motion before the camera; the second walks the other way, farther off."""
    rotations, places = recorded(motion, scene.clips[person])
    yaw = radians(scene.yaw + 180 * person)
    camera_from_world = about_axis(0, torch.pi + ELEVATION) @ about_axis(1, yaw)
    chance = torch.Generator().manual_seed(scene.seed + 100 * person)
    shape = torch.randn(1, 10, generator=chance).clamp(-2, 2).expand(len(rotations), -1)
    turned = torch.cat([(camera_from_world @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    posed = body(turned, shape)
    middle = (places.amin(0) + places.amax(0)) / 2
    way = (places - middle) @ camera_from_world.T + torch.tensor([0.0, 0.0, DISTANCE + person])
    offset = (way - posed.joints[:, 0])[:, None]
    vertices = posed.vertices + offset
    seed = scene.seed + 100 * person
    return Actor(vertices, posed.joints + offset, body.keypoints(vertices, "cocoplus19"), seed)


def paint_film(
    actors: list[Actor], assets: PaintAssets, seed: int
) -> Iterator[UInt8[np.ndarray, "side side 3"]]:
    """The frames: the same random numbers for each but its grain, the nearer actor over the farther."""
    config = PaintConfig(
        size=SIDE, occluded_share=0, companion_share=0, noise=0, blur=0.8, compressed_share=0
    )
    camera = film_camera()
    grain = np.random.default_rng(seed)
    for frame in range(len(actors[0].vertices)):
        layers = []
        for actor in sorted(actors, key=lambda actor: -float(actor.joints[frame, 0, 2])):
            chance = torch.Generator().manual_seed(actor.seed)
            targets = camera.project(actor.keypoints[frame][None])
            layers.append(paint(actor.vertices[frame][None], camera, targets, assets, config, chance))
        picture = layers[0].images[0]
        for layer in layers[1:]:
            mask: Bool[Tensor, "side side"] = layer.mask[0]
            picture = torch.where(mask, layer.images[0], picture)
        pixels = picture.permute(1, 2, 0).numpy()
        noisy = pixels + 255 * GRAIN * grain.normal(size=pixels.shape)
        yield noisy.round().clip(0, 255).astype(np.uint8)


def film_camera() -> CropCamera:
    """Shows `VIEW` metres at `DISTANCE`."""
    return CropCamera(torch.tensor([2 * DISTANCE / VIEW]), torch.zeros(1, 2))


def focal_length() -> float:
    """The same in pixels."""
    return DISTANCE / VIEW * SIDE


def make_films(arguments: argparse.Namespace) -> None:
    """Films and truths that are not there yet."""
    paths = {name: arguments.out / f"{arguments.set}_{name}.mp4" for name in SETS[arguments.set]}
    if all(path.exists() for path in paths.values()):
        return
    body = BodyModel(load_body_data("anny"))
    folders = tuple(arguments.backgrounds), tuple(arguments.textures)
    backgrounds, textures = (
        load_pictures(picture_paths(some, held_out=True)[:PICTURES], size=SIDE) for some in folders
    )
    assets = paint_assets(body.data, backgrounds, textures)
    for name, scene in SETS[arguments.set].items():
        path = paths[name]
        if path.exists():
            continue
        actors = [act(arguments.motion, scene, person, body) for person in range(len(scene.clips))]
        camera = film_camera()
        keypoints = [(camera.project(actor.keypoints) + 1) * SIDE / 2 for actor in actors]
        torch.save(
            {"joints": torch.stack([actor.joints for actor in actors]), "keypoints": torch.stack(keypoints)},
            path.with_suffix(".pt"),
        )
        with video_writer(path, SIDE, SIDE, FRAME_RATE) as writer:
            for number, pixels in enumerate(paint_film(actors, assets, scene.seed)):
                writer.write(number / FRAME_RATE, pixels)


def read_truth(path: Path) -> Truth:
    """What `make_films` wrote."""
    return Truth(**torch.load(path, weights_only=True))


def errors_of(clip: Clip, truth: Truth) -> dict[str, float]:
    """Errors of the longest person of a film of one; millimetres, and per frame squared."""
    person = max(clip.people, key=lambda person: len(person.scores))
    target = truth.joints[0, person.frames]
    joints = clip.pose(person).joints
    rooted, wanted = about(joints, [0]), about(target, [0])
    return {
        "frames": len(joints),
        "seen": int((person.scores > 0).sum()),
        "mpjpe": 1000 * float(point_errors(rooted, wanted).mean()),
        "pa_mpjpe": 1000 * float(point_errors(aligned(joints, target), target.double()).mean()),
        "acceleration": 1000 * float(acceleration_errors(rooted, wanted).mean()),
        "absolute_acceleration": 1000 * float(acceleration_errors(joints, target).mean()),
    }


def switches_of(clip: Clip, truth: Truth) -> dict[str, int]:
    """Identity switches as MOTA counts them, and frames in which a true person has no identity."""
    likeness = likenesses(clip, truth)
    frames: list[dict[int, int]] = []
    missed = 0
    for row in range(len(clip.times)):
        before = frames[-1] if frames else {}
        given = {true: who for true, who in before.items() if likeness[row, true, who] >= SAME}
        open_likeness = likeness[row].copy()
        open_likeness[list(given)] = 0
        open_likeness[:, list(given.values())] = 0
        for true, who in zip(*linear_sum_assignment(-open_likeness), strict=True):
            if open_likeness[true, who] >= SAME:
                given[int(true)] = int(who)
        frames.append(given)
        missed += len(truth.keypoints) - len(given)
    return {"switches": count_switches(frames), "missed": missed, "identities": len(clip.people)}


def likenesses(clip: Clip, truth: Truth) -> np.ndarray:
    """(frames, true people, people of the clip): similarity of the keypoints; 0 in frames that a person is not in."""
    result = np.zeros((len(clip.times), len(truth.keypoints), len(clip.people)))
    for column, person in enumerate(clip.people):
        points = clip.model.keypoints(clip.pose(person).vertices, "cocoplus19").numpy()
        pixels = clip.focal_length * points[..., :2] / points[..., 2:] + np.array(clip.principal_point)
        for row, seen in enumerate(pixels, person.first_frame):
            for true in range(len(truth.keypoints)):
                result[row, true, column] = similarity(seen, truth.keypoints[true, row].numpy())
    return result


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Film -> way of smoothing -> errors."""
    recoverer = humanmesh.load(weights=arguments.weights)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, scene in SETS[arguments.set].items():
        path = arguments.out / f"{arguments.set}_{name}.mp4"
        truth = read_truth(path.with_suffix(".pt"))
        footage = VideoFile(path)
        config = VideoConfig(focal_length=focal_length(), find_every=arguments.find_every)
        follower = Follower(recoverer, config)
        start = time.perf_counter()
        seen = [follower.see(frame) for frame in footage.frames()]
        seconds = time.perf_counter() - start
        results[name] = {"rate": {"frames_per_second": len(seen) / seconds}}
        if len(scene.clips) > 1:
            clip = assemble(recoverer, seen, (SIDE, SIDE), config, footage)
            results[name]["identity"] = dict(switches_of(clip, truth))
            continue
        for smoother in ("none", "zero-lag", "one-euro"):
            smoothed = assemble(recoverer, seen, (SIDE, SIDE), replace(config, smoother=smoother), footage)
            results[name][smoother] = errors_of(smoothed, truth)
    return results


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The results in Markdown; the last rows are means over the films of one person."""
    lines = [
        "| film | smoother | MPJPE | PA-MPJPE | acceleration | with the place |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    columns = ("mpjpe", "pa_mpjpe", "acceleration", "absolute_acceleration")
    single = {name: ways for name, ways in results.items() if "none" in ways}
    smoothers = ("none", "zero-lag", "one-euro")
    for name, ways in single.items():
        lines += [_line(name, way, [ways[way][column] for column in columns]) for way in smoothers]
    for way in smoothers:
        means = [float(np.mean([ways[way][column] for ways in single.values()])) for column in columns]
        lines.append(_line("mean", way, means))
    lines += [f"{name}: {ways['identity']}" for name, ways in results.items() if "identity" in ways]
    return "\n".join(lines)


def _line(film: str, way: str, values: list[float]) -> str:
    return f"| {film} | {way} | " + " | ".join(f"{value:.1f}" for value in values) + " |"


def main() -> None:
    """Make the films, follow the people in them, print the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--motion", type=Path, required=True, help=".npz of `humanmesh data motion`")
    parser.add_argument("--backgrounds", type=Path, nargs="+", required=True)
    parser.add_argument("--textures", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the films and results.json")
    parser.add_argument("--set", choices=list(SETS), default="measuring")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--find-every", type=int, default=VideoConfig.find_every)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    make_films(arguments)
    results = measure(arguments)
    (arguments.out / f"{arguments.set}.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
