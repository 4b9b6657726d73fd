"""What others printed, as data: only figures that were read in the named source.

They were measured by their authors, with their bodies, their boxes and their choice of frames; a line of them beside
ours is a landmark, not a race on one track.
"""

from dataclasses import dataclass

from humanmesh.evaluation.protocols import Protocol


@dataclass(frozen=True)
class Published:
    """One printed row."""

    system: str
    protocols: tuple[str, ...]
    """Names of our protocols that it comes nearest to."""
    figures: dict[str, float]
    """By our names: mm, %, or F1."""
    source: str


_HMR_PAPER = "Kanazawa et al., CVPR 2018"
_PA = "reconstruction error"


def _p1(system: str, mpjpe: float, aligned: float | None = None) -> Published:
    figures = {"MPJPE": mpjpe} | ({} if aligned is None else {_PA: aligned})
    return Published(system, ("h36m-p1",), figures, _HMR_PAPER)


def _p2(system: str, aligned: float) -> Published:
    return Published(system, ("h36m-p2",), {_PA: aligned}, _HMR_PAPER)


def _3dhp(system: str, plain: tuple[float, ...], aligned: tuple[float, ...] = ()) -> Published:
    names = ("PCK", "AUC", "MPJPE"), ("PCK, after alignment", "AUC, after alignment", _PA)
    figures = dict(zip(names[0] + names[1], plain + aligned, strict=False))
    return Published(system, ("mpi-inf-3dhp", "mpi-inf-3dhp-17", "mpi-inf-3dhp-14"), figures, _HMR_PAPER)


def _lsp(system: str, accuracy: float, f1: float, parts_accuracy: float, parts_f1: float) -> Published:
    figures = {"accuracy": accuracy, "F1": f1, "parts accuracy": parts_accuracy, "parts F1": parts_f1}
    return Published(system, ("lsp-segmentation",), figures, _HMR_PAPER)


def _3dpw(system: str, source: str, mpjpe: float, aligned: float, pve: float | None = None) -> Published:
    figures = {"MPJPE": mpjpe, _PA: aligned} | ({} if pve is None else {"PVE": pve})
    return Published(system, ("3dpw",), figures, source)


def _pck(
    system: str, coco: tuple[float, float], lspet: tuple[float, float], posetrack: tuple[float, float]
) -> tuple[Published, ...]:
    source = "Xia et al., HSMR, CVPR 2025, table 1"
    names = (("coco-pck-hmr2",), ("lspet-pck-box", "lspet-pck-hmr2"), ("posetrack-pck",))
    return tuple(
        Published(system, some, {"PCK@0.05": low, "PCK@0.1": high}, source)
        for some, (low, high) in zip(names, (coco, lspet, posetrack), strict=True)
    )


PUBLISHED: tuple[Published, ...] = (
    _p2("Rogez et al.", 87.3),
    _p2("Pavlakos et al.", 51.9),
    _p2("Martinez et al.", 47.7),
    _p2("Regression Forest from 91 keypoints", 93.9),
    _p2("SMPLify", 82.3),
    _p2("SMPLify from 91 keypoints", 80.7),
    _p2("HMR", 56.8),
    _p2("HMR unpaired", 66.5),
    _p1("Tome et al.", 88.39),
    _p1("Rogez et al.", 87.7, 71.6),
    _p1("VNect", 80.5),
    _p1("Pavlakos et al.", 71.9, 51.23),
    _p1("Mehta et al.", 68.6),
    _p1("Sun et al.", 59.1),
    _p1("Deep Kinematic Pose", 107.26),
    _p1("HMR", 87.97, 58.1),
    _p1("HMR unpaired", 106.84, 67.45),
    Published(
        "HMR, released model",
        ("h36m-p1",),
        {"MPJPE": 86.20, _PA: 58.47, "MPJPE, median": 79.47, f"{_PA}, median": 52.95},
        "akanazawa/hmr, doc/train.md",
    ),
    _3dhp("Mehta et al.", (75.7, 39.3, 117.6)),
    _3dhp("VNect", (76.6, 40.4, 124.7), (83.9, 47.3, 98.0)),
    _3dhp("HMR", (72.9, 36.5, 124.2), (86.3, 47.8, 89.8)),
    _3dhp("HMR unpaired", (59.6, 27.9, 169.5), (77.1, 40.7, 113.2)),
    _lsp("SMPLify oracle", 92.17, 0.88, 88.82, 0.67),
    _lsp("SMPLify", 91.89, 0.88, 87.71, 0.64),
    _lsp("Decision Forests", 86.60, 0.80, 82.32, 0.51),
    _lsp("HMR", 91.67, 0.87, 87.12, 0.60),
    _lsp("HMR unpaired", 91.30, 0.86, 87.00, 0.59),
    _3dpw("HMR in mmhuman3d", "mmhuman3d, configs/hmr/README.md", 112.34, 67.53),
    _3dpw("SPIN in mmhuman3d", "mmhuman3d, configs/spin/README.md", 94.11, 57.54),
    _3dpw("VIBE, without 3DPW in training", "mkocabas/VIBE, doc/eval.md", 93.59, 56.57),
    _3dpw("ROMP, HRNet-32", "Arthur151/ROMP, docs/romp_evaluation.md", 85.48, 53.14, 103.02),
    _3dpw("PARE in mmhuman3d", "mmhuman3d", 81.79, 49.35),
    _3dpw("HybrIK in mmhuman3d", "mmhuman3d", 81.08, 49.02),
    _3dpw("TokenHMR", "saidwivedi/TokenHMR, README", 70.9, 44.8, 84.3),
    *_pck("PARE", (72, 91), (27, 60), (79, 93)),
    *_pck("CLIFF", (64, 88), (32, 66), (75, 92)),
    *_pck("HybrIK", (61, 80), (37, 69), (81, 94)),
    *_pck("PLIKS", (62, 90), (26, 66), (74, 94)),
    *_pck("HMR 2.0b", (86, 96), (53, 82), (90, 98)),
)  # fmt: skip


def published_beside(protocol: Protocol) -> list[Published]:
    """The printed rows that come nearest to a protocol, in the order of their years; none for people of another file."""
    return [] if protocol.file else [row for row in PUBLISHED if protocol.name in row.protocols]
