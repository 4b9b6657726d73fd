"""NPZ files come as arrays, or with one sentence."""

import zipfile

import numpy as np
import pytest

from humanmesh.errors import BadInputError
from humanmesh.files.arrays import read_arrays


@pytest.fixture
def path(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(1000.0), b=np.ones(2))
    return tmp_path / "x.npz"


def test_arrays_come_by_name_and_only_those_asked_for(path):
    assert read_arrays(path, "X", "Mend it.").keys() == {"a", "b"}
    few = read_arrays(path, "X", "Mend it.", ("b", "c"))
    assert few.keys() == {"b"}
    np.testing.assert_array_equal(few["b"], np.ones(2))


def test_arrays_that_were_not_asked_for_may_be_pickled(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(2), note=np.array({"a": 1}, dtype=object))
    assert read_arrays(tmp_path / "x.npz", "X", "Mend it.", ("a",)).keys() == {"a"}
    with pytest.raises(BadInputError, match=r"plain arrays: .*allow_pickle"):
        read_arrays(tmp_path / "x.npz", "X", "Mend it.")


def test_a_flipped_byte_anywhere_never_ends_in_another_error(path):
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_arrays(path, "X", "Mend it.")
        except BadInputError:
            refused += 1
    assert refused > 10


def test_what_is_no_npz_file_is_refused_with_the_reason(tmp_path):
    with pytest.raises(
        BadInputError, match=r"^X: it cannot be read \(No such file or directory\)\. Mend it\.$"
    ):
        read_arrays(tmp_path / "none.npz", "X", "Mend it.")
    np.save(tmp_path / "one.npy", np.ones(2))
    (tmp_path / "person.json").write_text("{}")
    for name in ("one.npy", "person.json"):
        with pytest.raises(BadInputError, match=r"no whole NPZ file of plain arrays: File is not a zip file"):
            read_arrays(tmp_path / name, "X", "Mend it.")


def test_a_note_beside_the_arrays_is_left_out(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("note.txt", "words")
    assert read_arrays(path, "X", "Mend it.").keys() == {"a", "b"}
