"""Readers of data sets, one file a format. `READERS` has those of photos, by name: path -> annotations."""

from collections.abc import Callable

from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import ReadReport, ReadRules
from humanmesh.data.readers.coco import read_coco
from humanmesh.data.readers.lsp import read_lsp, read_lspet

READERS: dict[str, Callable[..., list[Annotation]]] = {  # noqa: RUF067
    "coco": read_coco,
    "lsp": read_lsp,
    "lspet": read_lspet,
}

__all__ = ["READERS", "ReadReport", "ReadRules", "read_coco", "read_lsp", "read_lspet"]
