"""What the README shows runs: its Python as it stands, its quick command for real, the others as far as their options."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from humanmesh.cli import COMMANDS, main

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    joined = "\n".join(block.replace("\\\n", " ") for block in blocks(text, "bash"))
    return [line.partition("#")[0].strip() for line in joined.splitlines() if line.startswith("humanmesh ")]


ALL_COMMANDS = [(path.name, line) for path in DOCUMENTS for line in commands(path.read_text())]


@pytest.fixture
def in_a_copy(tmp_path, monkeypatch):
    """A working folder that has the README's photo where the README says."""
    pictures = tmp_path / "docs" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "photo.jpg").write_bytes((REPOSITORY / "docs/pictures/photo.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_the_python_runs(code, in_a_copy):
    exec(compile(code, "README.md", "exec"), {})


def test_predict_writes_what_the_readme_names(in_a_copy):
    line = next(
        line for line in commands(README) if line.startswith("humanmesh predict docs/pictures/photo.jpg")
    )
    assert main(shlex.split(line)[1:]) == 0
    assert {path.name for path in (in_a_copy / "out").iterdir()} >= {
        "photo.overlay.png",
        "photo.glb",
        "photo.json",
    }


@pytest.mark.parametrize(("document", "line"), ALL_COMMANDS)
def test_every_command_in_the_documents_has_options_that_exist(document, line):
    name, *words = shlex.split(line)[1:]
    module = importlib.import_module(COMMANDS[name].module)
    if "--help" not in words:
        tyro.cli(module.Arguments, args=words)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_the_readme_names_every_command():
    assert [name for name in COMMANDS if f"humanmesh {name}" not in README] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_the_documents_lead_somewhere(path):
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!http)([^)#]+)", prose)
    assert [target for target in targets if not (path.parent / target).exists()] == []
