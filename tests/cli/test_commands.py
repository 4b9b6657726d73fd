import importlib
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from humanmesh.cli import COMMANDS, main
from humanmesh.cli.doctor import BUNDLED


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_overview_names_every_command(words, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in said
        assert command.summary in said


def test_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("humanmesh 0.")


def test_unknown_command_is_answered_with_those_that_exist(capsys):
    assert main(["preidct"]) == 2
    said = capsys.readouterr().err
    assert "'preidct'" in said
    for name in COMMANDS:
        assert name in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_its_options(name, capsys):
    assert main([name, "--help"]) == 0
    assert "--" in capsys.readouterr().out
    assert importlib.import_module(COMMANDS[name].module).__doc__


def test_what_the_system_forbids_is_one_sentence(monkeypatch, capsys):
    def closed(*given):
        raise PermissionError(13, "Permission denied", "/closed/photo.jpg")

    monkeypatch.setattr("humanmesh.cli.commands._run", closed)
    assert main(["predict", "/closed/photo.jpg"]) == 2
    said = capsys.readouterr().err
    assert said == ("humanmesh: /closed/photo.jpg: Permission denied. Allow it, or choose another place.\n")


def test_overview_does_not_wait_for_torch():
    script = "import sys; from humanmesh.cli import main; main([]); sys.exit('torch' in sys.modules or 'tyro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_module_runs_as_a_program():
    result = subprocess.run(
        [sys.executable, "-m", "humanmesh", "nothing"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "Unknown command" in result.stderr


def test_doctor_lists_packages_devices_files_and_licences(capsys):
    main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert findings["packages"]["torch"][0].isdigit()
    assert {key.split(":")[0] for key in findings["extras"]} >= {"train", "detect", "video", "data", "forest"}
    assert "cpu" in findings["devices"]
    assert findings["files"]["body_anny.safetensors"]["found"]
    assert findings["licences"]["code"] == "Apache-2.0"
    main(["doctor"])
    assert "body_anny.safetensors" in capsys.readouterr().out


def test_doctor_can_show_licences_alone(capsys):
    assert main(["doctor", "--licences", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert list(findings) == ["licences"]
    assets = {path.name for path in Path(str(files("humanmesh"))).joinpath("assets").glob("*.safetensors")}
    assert assets == set(BUNDLED)
    assert all(findings["licences"][name] for name in assets)


def test_doctor_says_what_is_missing_and_how_to_mend_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("humanmesh.files.assets.files", lambda _: tmp_path)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert said.count("MISSING") == len(BUNDLED)
    assert "pip install" in said
