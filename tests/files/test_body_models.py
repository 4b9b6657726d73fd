import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.body_models import load_body_data, read_body, read_body_metadata, write_body
from made_bodies import made_body


@pytest.mark.parametrize("correctives", [True, False])
def test_a_body_comes_back_as_it_was_written(tmp_path, correctives):
    data = made_body(correctives=correctives).to(dtype=torch.float32)
    write_body(data, tmp_path / "body.safetensors", {"licence": "CC0"})
    found = load_body_data(tmp_path / "body.safetensors")
    assert (found.name, found.parents) == ("made", data.parents)
    for name in ("template", "joint_regressor", "skinning_weights", "faces", "face_parts", "pose_directions"):
        torch.testing.assert_close(getattr(found, name), getattr(data, name), rtol=0, atol=0, msg=name)
    assert list(found.keypoint_regressors) == ["cocoplus19"]
    torch.testing.assert_close(
        found.keypoint_regressors["cocoplus19"], data.keypoint_regressors["cocoplus19"], rtol=0, atol=0
    )
    assert read_body_metadata(tmp_path / "body.safetensors")["licence"] == "CC0"


def test_rounding_moves_no_vertex_of_an_extreme_body_by_a_tenth_of_a_millimetre(tmp_path):
    data = made_body()
    write_body(data, tmp_path / "body.safetensors")
    error = (read_body(tmp_path / "body.safetensors").shape_directions - data.shape_directions).abs()
    assert (
        float(error.sum(2).norm(dim=1).max()) * 5 < 1e-4
    )  # five standard deviations in every direction at once


def test_a_body_of_many_vertices_keeps_its_face_rows(tmp_path):
    data = made_body(40)
    far = replace(
        data,
        template=torch.zeros(40_000, 3),
        shape_directions=torch.zeros(40_000, 3, 10),
        pose_directions=None,
        joint_regressor=torch.zeros(24, 40_000),
        skinning_weights=torch.eye(24)[torch.arange(40_000) % 24],
        faces=torch.tensor([[0, 39_999, 33_000]]),
        keypoint_regressors={},
        face_parts=None,
    )
    write_body(far, tmp_path / "body.safetensors")
    assert read_body(tmp_path / "body.safetensors").faces.tolist() == [[0, 39_999, 33_000]]


def test_a_missing_file_is_an_error_that_names_it_and_the_free_body(tmp_path):
    with pytest.raises(MissingAssetError, match=r'nowhere\.pkl.*"anny"'):
        load_body_data(tmp_path / "nowhere.pkl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pkl", b"", "it is empty"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\n", r"neither a body of this project nor SMPL's \.pkl or \.npz"),
        ("page.pkl", b"<!DOCTYPE html><html>", "neither a body"),
        ("cut.safetensors", struct.pack("<Q", 500) + b'{"template"', "cannot be read"),
    ],
)
def test_a_file_that_is_no_body_is_an_error_that_names_it(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=rf"{name}: .*{message}"):
        load_body_data(tmp_path / name)


def test_weights_given_as_a_body_are_told_apart(tmp_path):
    save_file({"layer.weight": torch.zeros(2)}, str(tmp_path / "weights.safetensors"))
    with pytest.raises(BadInputError, match=r"weights\.safetensors: it is of format None.*not weights"):
        load_body_data(tmp_path / "weights.safetensors")


def test_a_body_file_that_lacks_a_part_is_an_error_that_names_the_part(tmp_path):
    notes = {"format": "humanmesh-body-1", "name": "made"}
    save_file({"template": torch.zeros(2, 3)}, str(tmp_path / "part.safetensors"), notes)
    with pytest.raises(BadInputError, match=r"part\.safetensors: it has no .*faces"):
        load_body_data(tmp_path / "part.safetensors")


def test_a_body_file_whose_parts_do_not_fit_is_an_error(tmp_path):
    path = tmp_path / "body.safetensors"
    write_body(made_body(30), path)
    tensors = load_file(str(path))
    tensors["joint_regressor/columns"] += 1000
    save_file(tensors, str(path), read_body_metadata(path))
    with pytest.raises(BadInputError, match=r"body\.safetensors: its parts do not fit together"):
        load_body_data(path)


def test_a_body_cannot_be_written_into_a_missing_folder(tmp_path):
    with pytest.raises(BadInputError, match="nowhere"):
        write_body(made_body(30), tmp_path / "nowhere" / "body.safetensors")
