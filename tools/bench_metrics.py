"""Time the metrics on one core: 100,000 frames of 17 joints, from joints to figures with intervals.

python tools/bench_metrics.py [FRAMES]
"""

import resource
import sys
import time
from collections.abc import Callable

import torch

from humanmesh.body.skeletons import H36M_17
from humanmesh.evaluation import metrics


def main(frames: int) -> None:
    """Print the seconds of each step and the peak memory."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    truth = 0.3 * torch.randn(frames, len(H36M_17), 3, generator=generator)
    guess = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    before = _peak_megabytes()
    total = 0.0

    def timed(name: str, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        nonlocal total
        start = time.process_time()
        result = work()
        seconds = time.process_time() - start
        total += seconds
        print(f"{name:32} {seconds:7.2f} s")
        return result

    about = timed("root", lambda: metrics.about(guess, [0]))
    errors = timed("MPJPE", lambda: metrics.point_errors(about, metrics.about(truth, [0])))
    aligned = timed(
        "reconstruction error", lambda: metrics.point_errors(metrics.aligned(guess, truth), truth)
    )
    timed("PCK and AUC, twice", lambda: metrics.area_under_curve(errors) + metrics.area_under_curve(aligned))
    timed("acceleration error", lambda: metrics.acceleration_errors(guess, truth))
    timed("intervals of both means", lambda: torch.stack([_interval(errors), _interval(aligned)]))
    print(f"{'all':32} {total:7.2f} s of one core, {frames} frames of {len(H36M_17)} joints")
    print(f"peak memory {_peak_megabytes() - before:.0f} MB above the inputs")


def _interval(errors: torch.Tensor) -> torch.Tensor:
    values = metrics.mean_over_points(errors)
    sums = torch.stack([values, torch.ones_like(values)], 1)
    found = metrics.bootstrap_interval(
        sums, lambda all_: all_[:, 0] / all_[:, 1], torch.Generator().manual_seed(0)
    )
    return torch.tensor([found.low, found.high])


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
