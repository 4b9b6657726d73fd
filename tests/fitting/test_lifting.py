"""The lifter learns depth from projections, and does not mind where in the photo a person stands."""

import pytest
import torch
from made_poses import made_library
from safetensors.torch import save_file

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import LSP_14
from humanmesh.cli import main
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.body_models import load_body_data
from humanmesh.fitting.lifting import (
    Lifter,
    LiftingConfig,
    lifting_loss,
    load_lifter,
    save_lifter,
    train_lifter,
)
from humanmesh.fitting.projected_people import project_people


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def people(body):
    joints = KeypointBody(body, "lsp14")
    return project_people(100, joints, made_library(), torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def lifter(body):
    return train_lifter(body, made_library(), LiftingConfig(steps=40, batch_size=32))


def test_it_has_the_layers_of_the_paper():
    lifter = Lifter()
    linear = [layer for layer in lifter.modules() if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [1024] * 5 + [42]
    assert sum(isinstance(layer, torch.nn.BatchNorm1d) for layer in lifter.modules()) == 5
    assert {layer.p for layer in lifter.modules() if isinstance(layer, torch.nn.Dropout)} == {0.5}


@torch.no_grad()
def test_training_brings_it_nearer_than_everybody_at_the_hips(lifter, people):
    hips = [LSP_14.index["left_hip"], LSP_14.index["right_hip"]]
    centred = people.points_3d - people.points_3d[:, hips].mean(1, keepdim=True)
    assert lifting_loss(lifter, people) < 0.85 * centred.square().mean()


@torch.no_grad()
def test_size_and_place_in_the_photo_do_not_matter(lifter, people):
    here = lifter(people.points_2d, people.weights)
    there = lifter(112 * people.points_2d + 300, people.weights)
    torch.testing.assert_close(here, there, atol=1e-3, rtol=0)


@torch.no_grad()
def test_the_value_of_a_joint_that_is_not_known_does_not_matter(lifter, people):
    weights = people.weights.clone()
    weights[:, 3] = 0
    points = people.points_2d.clone()
    points[:, 3] = 77
    torch.testing.assert_close(lifter(points, weights), lifter(people.points_2d, weights))


def test_the_same_seed_trains_the_same_weights_and_leaves_other_chance_alone(body):
    config = LiftingConfig(steps=2, batch_size=8)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train_lifter(body, made_library(), config)
    assert torch.equal(torch.rand(3), expected)
    second = train_lifter(body, made_library(), config)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


@torch.no_grad()
def test_saved_weights_lift_the_same(lifter, people, tmp_path):
    save_lifter(tmp_path / "lifter.safetensors", lifter)
    again = load_lifter(tmp_path / "lifter.safetensors")
    assert torch.equal(again(people.points_2d, people.weights), lifter(people.points_2d, people.weights))


def test_a_file_that_is_missing_damaged_or_of_another_version_is_refused(lifter, tmp_path):
    path = tmp_path / "lifter.safetensors"
    with pytest.raises(MissingAssetError, match="train-lifting"):
        load_lifter(path)
    save_lifter(path, lifter)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(BadInputError, match="cannot be read"):
            load_lifter(path)
    save_file(lifter.state_dict(), path, {"format": "humanmesh-lifting-2"})
    with pytest.raises(BadInputError, match="humanmesh-lifting-2"):
        load_lifter(path)
    save_file({"first": torch.zeros(1)}, path, {"format": "humanmesh-lifting-1"})
    with pytest.raises(BadInputError, match="cannot be read"):
        load_lifter(path)


def test_a_step_has_as_many_people_as_were_asked_for(body, monkeypatch):
    seen = []

    def told(lifter, people):
        seen.append(len(people.shape))
        return lifting_loss(lifter, people)

    monkeypatch.setattr("humanmesh.fitting.lifting._DRAWN_AT_ONCE", 16)
    monkeypatch.setattr("humanmesh.fitting.lifting.lifting_loss", told)
    train_lifter(body, made_library(), LiftingConfig(steps=3, batch_size=40))
    assert seen == [40, 40, 40]


@pytest.mark.parametrize("command", ["train-lifting", "train-forest"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path, capsys, command):
    (tmp_path / "file").touch()
    motion = str(tmp_path / "none.npz")  # would be told next
    assert main([command, "--motion", motion, "--out", str(tmp_path / "file" / "out")]) == 2
    assert "Cannot make the output folder" in capsys.readouterr().err


def test_numbers_that_train_nothing_are_refused():
    for wrong in ({"steps": 0}, {"batch_size": 1}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            LiftingConfig(**wrong)
