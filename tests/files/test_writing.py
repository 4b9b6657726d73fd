"""Files are there whole or not at all, and what keeps them from it is told in one sentence."""

import pytest

from humanmesh.errors import BadInputError
from humanmesh.files.writing import output_file, whole_file


def test_a_file_takes_its_name_when_the_block_ends_well(tmp_path):
    with whole_file(tmp_path / "a.txt") as beside:
        beside.write_text("words")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_name_may_be_as_long_as_a_name_can_be(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    path.touch()  # the file system takes it
    with whole_file(path) as beside:
        beside.write_text("words")
    assert path.read_text() == "words"


@pytest.mark.parametrize("name", ["file.txt/page.html", "x" * 251 + ".html", "nowhere/page.html"])
def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path, name):
    (tmp_path / "file.txt").write_text("words")
    with pytest.raises(BadInputError, match="Cannot write"), whole_file(tmp_path / name) as beside:
        beside.write_text("words")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_path_without_a_name_is_refused():
    with pytest.raises(BadInputError, match="names no file"), whole_file("."):
        pass


def test_a_file_to_write_later_may_be_new_or_old_and_not_a_folder(tmp_path):
    path = output_file(tmp_path / "new" / "a.npz")
    assert not path.exists()
    path.write_text("words")
    assert output_file(path).read_text() == "words"
    with pytest.raises(BadInputError, match="a folder has that name"):
        output_file(tmp_path / "new")
