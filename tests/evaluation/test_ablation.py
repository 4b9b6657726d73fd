"""The ablation from tiny shards to table, page and picture."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_evaluation import write_lspet_hold_out, write_synthetic
from PIL import Image

from humanmesh.data.shards import write_shards
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.body_models import write_body
from made_bodies import small_body
from made_samples import made_sample

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import ablation

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")

PAGE = f"# Ablation\n\n{ablation.MARKS[0]}\nof yesterday\n{ablation.MARKS[1]}\nafter\n"


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> ablation.Options:
    folder = tmp_path_factory.mktemp("ablation")
    write_shards([made_sample(n, 96, "mine") for n in range(4)], folder / "shards", "mine")
    write_body(small_body(), folder / "body.safetensors")
    np.savez(folder / "motion.npz", pose=np.zeros((4, 72), np.float32), clip=np.zeros(4, np.int32))
    write_synthetic(folder / "people.pt")
    write_lspet_hold_out(folder / "lspet", people=2)
    (folder / "page.md").write_text(PAGE)
    return ablation.Options(
        shards=folder / "shards", motion=folder / "motion.npz", synthetic=folder / "people.pt",
        lspet=folder / "lspet", out=folder / "out", page=folder / "page.md", steps=1, batch_size=2, crop_size=64,
        people=2, shown=(1, 0), body=str(folder / "body.safetensors"), device="cpu",
    )  # fmt: skip


def test_four_trainings_make_a_table_a_page_and_a_picture_and_are_not_run_again(options, monkeypatch):
    ablation.main(options)
    results = json.loads((options.out / "ablation.json").read_text())["results"]
    assert list(results) == list(ablation.RUNS)
    assert all(set(row) == set(ablation.COLUMNS) for row in results.values())
    page = options.page.read_text()
    assert page.startswith("# Ablation")
    assert page.endswith("after\n")
    assert "of yesterday" not in page
    assert "| unpaired |" in page
    with Image.open(options.page.parent / "pictures" / "ablation.jpg") as picture:
        assert picture.width > picture.height  # one person: a photo and four times two pictures in a row

    monkeypatch.setattr(ablation, "train", lambda *_: pytest.fail("a finished training was run again"))
    before = options.page.read_text()
    ablation.main(options)
    assert options.page.read_text() == before


def test_the_four_trainings_differ_in_what_they_may_know_alone(options):
    configs = [ablation.configuration(mode, options) for mode in ablation.RUNS.values()]
    assert len({config.mode for config in configs}) == 4
    assert all(replace(config, mode="paired") == configs[0] for config in configs)
    assert configs[0].network.refinements == 0
    assert configs[0].losses.knees == configs[0].losses.shape_prior == 0


def test_a_folder_of_another_ablation_is_refused(options, tmp_path):
    folder = tmp_path / "paired"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    with pytest.raises(BadInputError, match="other settings"):
        ablation.train_once("paired", replace(options, out=tmp_path))


def test_trainings_can_be_shared_out(options, tmp_path):
    ablation.main(replace(options, out=tmp_path, only=("unpaired",)))
    assert (tmp_path / "unpaired" / "weights.safetensors").is_file()
    assert not (tmp_path / "paired").exists()
    assert not (tmp_path / "ablation.json").exists()
    with pytest.raises(UnknownNameError, match="paired"):
        ablation.main(replace(options, out=tmp_path, only=("unpared",)))


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Nothing\n")
    with pytest.raises(BadInputError, match="marks"):
        ablation.fill_page(page, "table")
    assert page.read_text() == "# Nothing\n"


def test_the_ratio_is_of_reconstruction_errors(options):
    results = {name: dict.fromkeys(ablation.COLUMNS, 10.0) for name in ablation.RUNS}
    results["unpaired"]["reconstruction error [mm]"] = 12.5
    assert "1.25 times" in ablation.table(results, options)


def test_headings_are_as_wide_as_the_sheet():
    assert tuple(ablation.headings(500).shape[::2]) == (3, 500)
    assert float(ablation.headings(500).min()) < 0.5  # something is written
    assert torch.equal(ablation.headings(500), ablation.headings(500))
