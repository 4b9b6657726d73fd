"""Imports point down the list of layers only; the core opens no file, prints nothing and chooses no device."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "humanmesh"

LAYERS = [
    {"errors"},
    {"geometry"},
    {"body"},
    {"losses", "render", "network", "tracking"},
    {"files"},
    {"data"},
    {"training", "evaluation", "fitting", "inference", "person", "photos", "video"},
    {"cli", "web", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
CORE = (
    "geometry",
    "body",
    "network",
    "render",
    "losses.py",
    "tracking.py",
    "evaluation/metrics.py",
    "fitting/energy.py",
)
FORBIDDEN_CALLS = {
    "open",
    "print",
    "read_text",
    "write_text",
    "read_bytes",
    "write_bytes",
    "cuda",
    "is_available",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_layers(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("humanmesh"):
            names = (
                [node.module] if node.module != "humanmesh" else [f"humanmesh.{a.name}" for a in node.names]
            )
            found += [(node.lineno, name.split(".")[1]) for name in names if "." in name]
        elif isinstance(node, ast.Import):
            found += [
                (node.lineno, a.name.split(".")[1]) for a in node.names if a.name.startswith("humanmesh.")
            ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    layer = layer_of(path)
    if layer == "__init__":
        return
    rank = RANK[layer]
    upward = [
        f"{path.name}:{line} imports {name}"
        for line, name in imported_layers(ast.parse(path.read_text()))
        if RANK[name] > rank
    ]
    assert not upward, f"{layer} is below these: {'; '.join(upward)}"


def called_names(tree: ast.AST) -> list[tuple[int, str]]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (call.lineno, call.func.id if isinstance(call.func, ast.Name) else call.func.attr)
        for call in calls
        if isinstance(call.func, ast.Name | ast.Attribute)
    ]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if str(path.relative_to(PACKAGE)).startswith(CORE)],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_core_opens_no_file_prints_nothing_and_chooses_no_device(path):
    found = [
        f"line {line}: {name}"
        for line, name in called_names(ast.parse(path.read_text()))
        if name in FORBIDDEN_CALLS
    ]
    assert not found
