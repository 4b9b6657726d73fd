"""Printed figures stand beside the right protocols, under the names that ours have."""

import pytest

from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.evaluation.published import PUBLISHED, published_beside

NAMES = {
    "MPJPE", "reconstruction error", "MPJPE, median", "reconstruction error, median", "PVE", "PCK", "AUC",
    "PCK, after alignment", "AUC, after alignment", "PCK@0.05", "PCK@0.1", "accuracy", "F1", "parts accuracy", "parts F1",
}  # fmt: skip


def figures(system: str, protocol: str) -> dict[str, float]:
    return next(row.figures for row in published_beside(PROTOCOLS[protocol]) if row.system == system)


def test_every_row_has_a_protocol_a_source_and_names_of_ours():
    for row in PUBLISHED:
        assert set(row.protocols) <= set(PROTOCOLS)
        assert row.source
        assert set(row.figures) <= NAMES


@pytest.mark.parametrize(
    ("system", "protocol", "expected"),
    [
        ("HMR", "h36m-p1", {"MPJPE": 87.97, "reconstruction error": 58.1}),
        ("HMR unpaired", "h36m-p2", {"reconstruction error": 66.5}),
        (
            "HMR",
            "lsp-segmentation",
            {"accuracy": 91.67, "F1": 0.87, "parts accuracy": 87.12, "parts F1": 0.60},
        ),
    ],
)
def test_the_papers_own_rows(system, protocol, expected):
    assert figures(system, protocol) == expected


def test_the_papers_row_of_3dhp_has_its_figures_before_and_after_alignment():
    row = figures("HMR", "mpi-inf-3dhp-14")
    assert [row[name] for name in ("PCK", "AUC", "MPJPE")] == [72.9, 36.5, 124.2]
    assert [row[name] for name in ("PCK, after alignment", "AUC, after alignment")] == [86.3, 47.8]
    assert row["reconstruction error"] == pytest.approx(89.8)


def test_our_own_hold_outs_have_no_published_rows():
    assert not published_beside(PROTOCOLS["lspet-pck"])
    assert not published_beside(PROTOCOLS["synthetic"])
