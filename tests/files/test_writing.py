"""Files are there whole or not at all, and what keeps them from it is told in one sentence."""

import pytest

from humanmesh.errors import BadInputError
from humanmesh.files.writing import whole_file


def test_a_file_takes_its_name_when_the_block_ends_well(tmp_path):
    with whole_file(tmp_path / "a.txt") as beside:
        beside.write_text("words")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["file.txt/page.html", "x" * 250 + ".html", "nowhere/page.html"])
def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path, name):
    (tmp_path / "file.txt").write_text("words")
    with pytest.raises(BadInputError, match="Cannot write"), whole_file(tmp_path / name) as beside:
        beside.write_text("words")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_path_without_a_name_is_refused():
    with pytest.raises(BadInputError, match="names no file"), whole_file("."):
        pass
