import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse

from humanmesh.errors import BadInputError
from humanmesh.files.pickles import PickledRecord, read_pickle
from made_bodies import pretend_chumpy


class Runs:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_numbers_and_text_come_back_as_they_were(tmp_path, protocol):
    content = {
        "array": np.arange(6.0).reshape(2, 3).T,
        "number": np.float32(2.5),
        "text": "lbs",
        "bytes": b"\xff\x00",
        "nested": [(1, None), {"a": True}],
    }
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(path)
    np.testing.assert_array_equal(found.pop("array"), content.pop("array"))
    assert found == content


def test_a_pickle_of_python_2_is_read(tmp_path):
    # What Python 2.7 with numpy 1.8 wrote for {'a': np.array([1., 2.]), 's': '\xe9'}, protocol 0.
    path = tmp_path / "python2.pkl"
    path.write_bytes(
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\n"
        b"tp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\n"
        b"I-1\nI0\ntp14\nbI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\np15\n"
        b"tp16\nbsS's'\np17\nS'\\xe9'\np18\ns."
    )
    found = read_pickle(path)
    np.testing.assert_array_equal(found["a"], [1.0, 2.0])
    assert found["s"] == "é"


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_objects_of_scipy_and_chumpy_come_as_records_that_hold_their_numbers(tmp_path, protocol):
    path = tmp_path / "records.pkl"
    with pretend_chumpy() as (array_class, _):
        array = array_class()
        array.x = np.ones(3)
        path.write_bytes(pickle.dumps([array, scipy.sparse.csc_matrix(np.eye(2))], protocol))
    array, matrix = read_pickle(path)
    assert isinstance(array, PickledRecord)
    assert array.pickled_class == "chumpy.ch.Ch"
    np.testing.assert_array_equal(array.state["x"], np.ones(3))
    np.testing.assert_array_equal(matrix.state["data"], [1, 1])


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Runs(os.system, "exit 1"), r"\w+\.system"),
        (Runs(eval, "1 + 1"), r"builtin\w+\.eval"),
        (Runs(getattr, "text", "upper"), r"builtin\w+\.getattr"),
        (Runs(np.load, "somewhere"), "numpy.load"),
        (OrderedDict(), "collections.OrderedDict"),
        (Runs(__import__("copyreg")._reconstructor, np.ndarray, object, None), "_reconstructor"),
        (Runs(__import__("codecs").encode, "text", "rot13"), "_codecs.encode"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_calls_anything_else_is_refused_with_file_and_name(tmp_path, evil, name, protocol):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"v_template": evil}, protocol))
    with pytest.raises(BadInputError, match=r"evil\.pkl: it asks to run .*" + name):
        read_pickle(path)


def test_a_refused_pickle_has_done_nothing(tmp_path):
    path, trace = tmp_path / "evil.pkl", tmp_path / "trace"
    path.write_bytes(pickle.dumps([1, Runs(os.mkdir, str(trace))]))
    with pytest.raises(BadInputError, match="mkdir"):
        read_pickle(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"\x80\x02}q\x00(U\x01", b"(dp0\n", b"\x80\x63garbage", b"hello"]
)
def test_a_damaged_pickle_is_named_as_such(tmp_path, content):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"damaged\.pkl: it is damaged"):
        read_pickle(path)
