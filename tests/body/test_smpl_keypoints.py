import pytest
import torch

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, H36M_17, LSP_14, MPII_16, SKELETONS, SMPL_24
from humanmesh.body.smpl_keypoints import (
    EXTRA_JOINTS,
    SMPL_VERTEX_COUNT,
    sides_by_position,
    smpl_keypoint_regressors,
)


@pytest.fixture(scope="module")
def template() -> torch.Tensor:
    return torch.randn(SMPL_VERTEX_COUNT, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def joint_regressor() -> torch.Tensor:
    return one_vertex_a_row(24, first=100)


def one_vertex_a_row(rows: int, first: int) -> torch.Tensor:
    """Row r takes vertex `first` + r."""
    regressor = torch.zeros(rows, SMPL_VERTEX_COUNT)
    regressor[torch.arange(rows), first + torch.arange(rows)] = 1
    return regressor


def test_every_set_has_its_keypoints_and_every_keypoint_is_a_mean_of_vertices(template, joint_regressor):
    regressors = smpl_keypoint_regressors(template, joint_regressor, {})
    assert {*regressors, SMPL_24.name} >= {
        "lsp14",
        "coco17",
        "cocoplus19",
        "h36m17",
        "mpi_inf_3dhp17",
        "smpl24",
    }
    for name, regressor in regressors.items():
        assert len(regressor) == len(SKELETONS[name])
        torch.testing.assert_close(regressor.sum(1), torch.ones(len(regressor)))


def test_the_face_of_smpl_is_where_smplx_has_it(template, joint_regressor):
    from smplx.vertex_ids import vertex_ids

    keypoints = smpl_keypoint_regressors(template, joint_regressor, {})["coco17"] @ template
    smplx_names = {
        "nose": "nose",
        "left_eye": "leye",
        "right_eye": "reye",
        "left_ear": "lear",
        "right_ear": "rear",
    }
    for name, smplx_name in smplx_names.items():
        torch.testing.assert_close(keypoints[COCO_17.index[name]], template[vertex_ids["smplh"][smplx_name]])


def test_a_limb_without_a_regressor_of_its_own_is_smpls_joint(template, joint_regressor):
    regressors = smpl_keypoint_regressors(template, joint_regressor, {})
    knee = joint_regressor[SMPL_24.index["left_knee"]]
    for name in ("lsp14", "coco17", "cocoplus19", "h36m17", "mpi_inf_3dhp17"):
        assert torch.equal(regressors[name][SKELETONS[name].index["left_knee"]], knee)


def test_spins_extra_joints_replace_smpls_hips_neck_and_head(template, joint_regressor):
    extra = one_vertex_a_row(9, first=500)
    regressors = smpl_keypoint_regressors(template, joint_regressor, {"extra": extra})
    row = dict(zip(EXTRA_JOINTS, extra, strict=True))
    lsp, h36m = regressors["lsp14"], regressors["h36m17"]
    assert torch.equal(lsp[LSP_14.index["right_hip"]], row["right_hip"])
    assert torch.equal(lsp[LSP_14.index["neck"]], row["neck"])
    assert torch.equal(h36m[H36M_17.index["neck"]], row["thorax"])
    assert torch.equal(h36m[H36M_17.index["head_top"]], row["head"])
    assert torch.equal(h36m[H36M_17.index["left_knee"]], joint_regressor[SMPL_24.index["left_knee"]])


def test_a_cocoplus_regressor_serves_the_sets_that_it_contains(template, joint_regressor):
    cocoplus = sides_by_position(one_vertex_a_row(19, first=900), COCOPLUS_19, template)
    regressors = smpl_keypoint_regressors(template, joint_regressor, {"cocoplus19": cocoplus})
    assert torch.equal(regressors["cocoplus19"], cocoplus)
    assert torch.equal(regressors["lsp14"], cocoplus[:14])
    assert torch.equal(regressors["mpii16"][MPII_16.index["neck"]], cocoplus[COCOPLUS_19.index["neck"]])
    assert torch.equal(regressors["coco17"][COCO_17.index["nose"]], cocoplus[COCOPLUS_19.index["nose"]])


def test_a_regressor_with_the_legs_exchanged_gives_the_same_keypoints(template, joint_regressor):
    # Two files named J_regressor_h36m.npy are about: one has the left leg in rows 1 to 3, one the right.
    h36m = sides_by_position(one_vertex_a_row(17, first=700), H36M_17, template)
    exchanged = h36m[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    regressors = smpl_keypoint_regressors(template, joint_regressor, {"h36m17": exchanged})
    assert torch.equal(regressors["h36m17"], h36m)
    hips = regressors["h36m17"] @ template[:, 0]
    assert hips[H36M_17.index["left_hip"]] > hips[H36M_17.index["right_hip"]]
