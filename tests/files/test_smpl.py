from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.smpl import SMPL_FILE_NAMES, find_smpl, read_smpl
from made_bodies import pretend_chumpy, smpl_fields, write_smpl_pickle

SMALL = 60


@pytest.fixture
def fields() -> dict:
    return smpl_fields(SMALL)


def assert_read_as(path, fields):
    data = read_smpl(path)
    expected = {
        "template": fields["v_template"],
        "shape_directions": fields["shapedirs"][..., :10],
        "pose_directions": fields["posedirs"],
        "joint_regressor": fields["J_regressor"].toarray(),
        "skinning_weights": fields["weights"],
        "faces": fields["f"],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(data, name).numpy(), values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("shapes", [10, 300])
def test_a_pickle_of_any_version_gives_its_arrays_and_ten_shapes(tmp_path, shapes, protocol):
    fields = smpl_fields(SMALL, shapes=shapes)
    assert_read_as(write_smpl_pickle(fields, tmp_path / "body.pkl", protocol), fields)


def test_arrays_wrapped_by_chumpy_are_unwrapped(tmp_path, fields):
    with pretend_chumpy() as (array_class, select_class):
        wrapped = dict(fields)
        for name in ("v_template", "posedirs", "weights", "J"):
            wrapped[name] = array_class()
            wrapped[name].x = fields[name]
        inner = array_class()
        inner.x = np.concatenate([fields["shapedirs"], np.zeros((SMALL, 3, 2))], 2)
        chosen = np.arange(SMALL * 3 * 12).reshape(SMALL, 3, 12)[..., :10]
        wrapped["shapedirs"] = select_class()
        wrapped["shapedirs"].__dict__.update(a=inner, idxs=chosen.ravel(), preferred_shape=chosen.shape)
        path = write_smpl_pickle(wrapped, tmp_path / "body.pkl")
    assert_read_as(path, fields)


@pytest.mark.parametrize("layout", ["csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "coo_array"])
def test_a_joint_regressor_in_any_sparse_layout_is_read(tmp_path, fields, layout):
    sparse = {**fields, "J_regressor": getattr(scipy.sparse, layout)(fields["J_regressor"])}
    assert_read_as(write_smpl_pickle(sparse, tmp_path / "body.pkl"), fields)


def test_a_sparse_regressor_as_old_scipy_wrote_it_is_read(tmp_path, fields):
    path = tmp_path / "body.pkl"
    write_smpl_pickle(fields, path)
    content = path.read_bytes().replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    assert b"scipy.sparse.csc\n" in content
    path.write_bytes(content)
    assert_read_as(path, fields)


def test_an_npz_archive_is_read(tmp_path, fields):
    np.savez(tmp_path / "body.npz", **{**fields, "J_regressor": fields["J_regressor"].toarray()})
    assert_read_as(tmp_path / "body.npz", fields)


def test_load_body_data_tells_smpl_by_content_whatever_the_suffix(tmp_path, fields):
    path = write_smpl_pickle(fields, tmp_path / "neutral_smpl_with_cocoplus_reg.txt", 0)
    assert load_body_data(path).name == "smpl"
    assert load_body_data(str(tmp_path)).name == "smpl"


@pytest.mark.parametrize("name", SMPL_FILE_NAMES)
def test_a_folder_gives_the_file_of_any_known_name(tmp_path, name):
    (tmp_path / "smpl").mkdir()
    file = tmp_path / "smpl" / f"{name}.pkl"
    file.touch()
    assert find_smpl(tmp_path) == file


def test_a_folder_gives_the_neutral_body_before_the_others(tmp_path):
    for name in ("SMPL_FEMALE.pkl", "SMPL_NEUTRAL.pkl", "SMPL_MALE.pkl"):
        (tmp_path / name).touch()
    assert find_smpl(tmp_path).name == "SMPL_NEUTRAL.pkl"


def test_a_folder_without_smpl_is_an_error(tmp_path):
    with pytest.raises(MissingAssetError, match=r"No SMPL file at .*SMPL_NEUTRAL\.pkl"):
        find_smpl(tmp_path)


def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(BadInputError, match="Permission denied"):
        find_smpl(tmp_path)


def test_each_face_follows_the_joint_that_moves_it_most(tmp_path, fields):
    fields["weights"] = np.eye(24)[np.arange(SMALL) % 24]
    fields["f"] = np.array([[0, 24, 1], [5, 29, 53]], np.uint32)
    data = read_smpl(write_smpl_pickle(fields, tmp_path / "body.pkl"))
    assert data.face_parts.tolist() == [0, 5]


def test_regressors_beside_the_body_are_found(tmp_path):
    fields = smpl_fields(6890)
    fields["posedirs"] = np.zeros((6890, 3, 207), np.int8)  # small and quick to write
    path = write_smpl_pickle(fields, tmp_path / "SMPL_NEUTRAL.pkl")
    plain = read_smpl(path).keypoint_regressors
    elsewhere = tmp_path / "regressors"
    elsewhere.mkdir()
    np.save(elsewhere / "J_regressor_extra.npy", np.eye(9, 6890))
    extra = read_smpl(path, elsewhere).keypoint_regressors
    assert extra["lsp14"][12].nonzero().tolist() == [[2]]  # the neck is the extra joints' third
    assert plain["lsp14"][12].count_nonzero() == 8  # the neck is SMPL's, of eight vertices in a made body

    np.save(tmp_path / "J_regressor_h36m.npy", np.eye(17, 6890))
    assert read_smpl(path).keypoint_regressors["h36m17"][0].nonzero().tolist() == [[0]]
    np.save(tmp_path / "cocoplus_regressor.npy", np.eye(18, 6890))
    with pytest.raises(
        BadInputError, match=r"cocoplus_regressor\.npy: it is \(18, 6890\).*wanted \(19, 6890\)"
    ):
        read_smpl(path)


def test_the_cocoplus_regressor_inside_hmrs_file_is_used(tmp_path):
    fields = smpl_fields(6890)
    fields["posedirs"] = np.zeros((6890, 3, 207), np.int8)  # small and quick to write
    fields["cocoplus_regressor"] = scipy.sparse.csc_matrix(np.eye(19, 6890))
    data = read_smpl(write_smpl_pickle(fields, tmp_path / "neutral_smpl_with_cocoplus_reg.pkl"))
    assert data.keypoint_regressors["cocoplus19"][12].nonzero().tolist() == [[12]]


BROKEN = {
    "shape of the template": (
        {"v_template": np.zeros((SMALL, 2))},
        r"v_template is \(60, 2\), wanted \(any, 3\)",
    ),
    "weights of SMPL-H": ({"weights": np.zeros((SMALL, 52))}, r"weights is \(60, 52\).*not SMPL-H"),
    "too few shapes": ({"shapedirs": np.zeros((SMALL, 3, 4))}, "4 shape directions, wanted 10"),
    "not a number": (
        {"posedirs": np.full((SMALL, 3, 207), np.nan)},
        "posedirs holds numbers that are not finite",
    ),
    "text": ({"posedirs": "none"}, "posedirs is no array of numbers"),
    "faces beyond the vertices": ({"f": np.array([[0, 1, 60]])}, "faces name vertices outside 0 to 59"),
    "another tree": ({"kintree_table": np.array([[0] * 24, range(24)])}, "hang together otherwise"),
    "no tree": ({"kintree_table": None}, "its 0 joints hang together otherwise"),
    "sparse out of range": (
        {
            "J_regressor": scipy.sparse.csc_matrix(
                (np.ones(1), np.array([0]), np.array([0, 1])), shape=(24, 1)
            )
        },
        r"J_regressor is \(24, 1\)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_field_that_does_not_fit_is_named_with_what_was_found(tmp_path, fields, case):
    changes, message = BROKEN[case]
    path = write_smpl_pickle({**fields, **changes}, tmp_path / "body.pkl")
    with pytest.raises(BadInputError, match=rf"SMPL file .*body\.pkl: .*{message}"):
        load_body_data(path)


def test_missing_fields_are_named(tmp_path, fields):
    del fields["posedirs"], fields["f"]
    with pytest.raises(BadInputError, match="it has no f, posedirs"):
        read_smpl(write_smpl_pickle(fields, tmp_path / "body.pkl"))
    with pytest.raises(BadInputError, match="it has no J_regressor, f, kintree_table"):
        read_smpl(write_smpl_pickle([1, 2], tmp_path / "body.pkl"))


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
def test_a_truncated_file_is_an_error_of_one_sentence(tmp_path, fields, suffix, kept):
    path = tmp_path / f"body{suffix}"
    if suffix == ".pkl":
        write_smpl_pickle(fields, path)
    else:
        np.savez(path, **{**fields, "J_regressor": fields["J_regressor"].toarray()})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BadInputError, match="it is damaged"):
        load_body_data(path)


def test_an_archive_of_pickled_objects_is_refused(tmp_path, fields):
    np.savez(tmp_path / "body.npz", **fields)  # the sparse regressor becomes an object
    with pytest.raises(BadInputError, match=r"body\.npz"):
        read_smpl(tmp_path / "body.npz")


def test_a_sparse_matrix_that_points_outside_itself_is_refused(tmp_path, fields):
    regressor = scipy.sparse.csc_matrix(fields["J_regressor"])
    regressor.indices[0] = 10**6
    path = write_smpl_pickle({**fields, "J_regressor": regressor}, tmp_path / "body.pkl")
    with pytest.raises(BadInputError, match="J_regressor is no array of numbers"):
        read_smpl(path)
