"""The objective as composed: modes, presets, and a NaN that is named."""

from dataclasses import replace

import pytest
import torch

from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.augmentation import NO_AUGMENTATION, augment
from humanmesh.data.dataset import Batch, collate
from humanmesh.network.discriminator import Discriminator
from humanmesh.network.recovery import Recovery, RecoveryConfig, build_recovery
from humanmesh.training.config import HMR, MODERN, LossWeights, OptimizerConfig, TrainConfig
from humanmesh.training.step import OBJECTIVES, Term, adversary_step, allowed_labels, suspects, total
from made_bodies import small_body
from made_samples import made_sample


def batch(*, known_3d: bool = True) -> Batch:
    samples = [made_sample(number, known_3d=known_3d) for number in range(3)]
    return augment(collate(samples), NO_AUGMENTATION, 64, torch.Generator())


def network() -> Recovery:
    torch.manual_seed(0)
    return build_recovery(RecoveryConfig(crop_size=64, depths=True), small_body())


@pytest.mark.parametrize("mode", ["unpaired", "no-prior"])
@pytest.mark.parametrize("objective", ["hmr", "modern"])
def test_modes_without_3d_give_3d_terms_of_zero(mode, objective):
    seen = allowed_labels(batch(), mode)
    terms = OBJECTIVES[objective](network()(seen.images), seen)
    for name in {"joints_3d", "parameters", "rotations", "shape", "seen_depths"} & set(terms):
        assert terms[name].value.item() == 0


@pytest.mark.parametrize("objective", ["hmr", "modern"])
def test_every_term_has_a_weight_and_counts_where_labels_are_known(objective):
    seen = batch()
    terms = OBJECTIVES[objective](network()(seen.images), seen)
    assert set(terms) <= set(vars(LossWeights()))
    assert all(terms[name].value.item() > 0 for name in terms if name != "knees")


def test_the_paired_mode_keeps_labels():
    assert allowed_labels(batch(), "paired").pose_weights.sum() == 3


def test_guessed_poses_teach_what_keypoints_show_and_neither_feet_nor_hands():
    output = network()(batch().images)

    def loss(pose_weight: float, joint: str) -> float:
        seen = batch()
        rotations = seen.rotations.clone()
        rotations[:, SMPL_24.index[joint]] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        seen = replace(seen, rotations=rotations, pose_weights=torch.full((3,), pose_weight))
        return OBJECTIVES["modern"](output, seen)["rotations"].value.item()

    hidden = {f"{side}_{joint}" for side in ("left", "right") for joint in ("ankle", "foot", "wrist", "hand")}
    shown = {joint for joint in SMPL_24.joints if loss(0.3, joint) != pytest.approx(loss(0.3, "left_hand"))}
    assert shown == set(SMPL_24.joints) - hidden
    assert loss(1.0, "left_ankle") != pytest.approx(loss(1.0, "left_hand"))


def test_the_weighted_sum_of_terms():
    terms = {name: Term(torch.tensor(2.0), torch.tensor(1.0)) for name in ("knees", "heatmaps")}
    assert total(terms, LossWeights(knees=3.0, heatmaps=0.5)).item() == 7


def test_samples_whose_labels_are_no_numbers_are_the_suspects():
    seen = batch()
    output = network().eval()(seen.images)
    assert suspects(seen, output) == seen.records
    seen.shapes[1, 3] = torch.nan
    assert suspects(seen, output) == ("made/1",)
    seen.keypoints_2d[2, 0, 0] = torch.inf
    assert suspects(seen, output) == ("made/1", "made/2")


def test_without_a_broken_label_samples_of_broken_predictions_are_the_suspects():
    seen = batch()
    seen.images[2] = torch.nan
    assert suspects(seen, network().eval()(seen.images)) == ("made/2",)


def test_the_encoders_term_does_not_move_the_adversary_and_the_adversarys_not_the_encoder():
    model, adversary = network(), Discriminator()
    output = model(batch().images)
    rotations = torch.eye(3).expand(9, 24, 3, 3)
    step = adversary_step(adversary, output, rotations, torch.zeros(9, 10))
    step.encoder_term.backward()
    assert all(p.grad is None for p in adversary.parameters())
    assert model.regressor.fc3.weight.grad.abs().sum() > 0
    model.zero_grad()
    step.discriminator_loss.backward()
    assert all(p.grad is not None for p in adversary.parameters())
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())


def test_the_presets_carry_the_papers_numbers():
    assert HMR.losses == LossWeights(reprojection=60.0, joints_3d=60.0, parameters=60.0, adversarial=1.0)
    assert (HMR.optimizer.learning_rate, HMR.optimizer.discriminator_learning_rate) == (1e-5, 1e-4)
    assert (HMR.batch_size, HMR.network.crop_size, HMR.network.rounds) == (64, 224, 3)
    assert MODERN.network.encoder == "mobilenet_v2_fpn"


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="must end"):
        TrainConfig()
    with pytest.raises(ValueError, match="learning_rate"):
        OptimizerConfig(learning_rate=0.0)
    with pytest.raises(ValueError, match="knees"):
        LossWeights(knees=-1.0)
