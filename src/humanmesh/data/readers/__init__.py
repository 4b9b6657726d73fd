"""Readers of data sets, one file a format. `READERS` has those of photos, by name: path -> annotations."""

from collections.abc import Callable

from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.ccp import read_ccp, read_person_mask
from humanmesh.data.readers.checks import ReadReport, ReadRules
from humanmesh.data.readers.coco import read_coco
from humanmesh.data.readers.h36m import read_h36m
from humanmesh.data.readers.lsp import read_lsp, read_lspet
from humanmesh.data.readers.mpi_inf_3dhp import (
    read_mpi_inf_3dhp_npz,
    read_mpi_inf_3dhp_test,
    read_mpi_inf_3dhp_train,
)
from humanmesh.data.readers.mpii import read_mpii
from humanmesh.data.readers.pw3d import read_pw3d
from humanmesh.data.readers.spin import read_spin

READERS: dict[str, Callable[..., list[Annotation]]] = {  # ruff: ignore[non-empty-init-module]
    "ccp": read_ccp,
    "coco": read_coco,
    "h36m": read_h36m,
    "lsp": read_lsp,
    "lspet": read_lspet,
    "mpi_inf_3dhp_npz": read_mpi_inf_3dhp_npz,
    "mpi_inf_3dhp_test": read_mpi_inf_3dhp_test,
    "mpi_inf_3dhp_train": read_mpi_inf_3dhp_train,
    "mpii": read_mpii,
    "pw3d": read_pw3d,
    "spin": read_spin,
}

__all__ = [
    "READERS",
    "ReadReport",
    "ReadRules",
    "read_ccp",
    "read_coco",
    "read_h36m",
    "read_lsp",
    "read_lspet",
    "read_mpi_inf_3dhp_npz",
    "read_mpi_inf_3dhp_test",
    "read_mpi_inf_3dhp_train",
    "read_mpii",
    "read_person_mask",
    "read_pw3d",
    "read_spin",
]
