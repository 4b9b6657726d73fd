"""Files of predictions: every known kind, and all that can be wrong with one."""

import pickle

import numpy as np
import pytest
import torch
from made_evaluation import cases_of, write_lspet_hold_out, write_predictions

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import H36M_17
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.evaluation.prediction_files import read_predictions
from humanmesh.evaluation.predictions import FilePrediction, FilePredictor
from humanmesh.evaluation.protocols import PROTOCOLS
from made_bodies import small_body
from photo_layouts import H36M, LSP, points, points_3d

JOINTS = np.stack([points_3d(H36M)] * 2)


def test_spins_result_has_its_left_leg_where_its_regressor_puts_it(tmp_path):
    legs = {1: "left_hip", 2: "left_knee", 3: "left_ankle", 4: "right_hip", 5: "right_knee", 6: "right_ankle"}
    order = [legs.get(row, joint) for row, joint in enumerate(H36M)]
    path = write_predictions(
        tmp_path / "spin.npz", pred_joints=np.stack([points_3d(order)] * 2), pose=np.zeros((2, 72)),
        betas=np.zeros((2, 10)), camera=np.zeros((2, 3)),
    )  # fmt: skip
    file = read_predictions(path)
    found = FilePrediction(file, None, (0, 1)).points_3d("h36m17")
    np.testing.assert_allclose(found, JOINTS, atol=1e-6)
    assert file.skeleton is not None
    assert file.skeleton.joints[11:] == H36M_17.joints[11:]


def test_hmr2s_matrices_and_romps_angles_become_rotations(tmp_path):
    turned = np.tile(np.eye(3), (2, 23, 1, 1))
    parameters = {
        "global_orient": np.tile(np.diag([1.0, -1, -1]), (2, 1, 1, 1)),
        "body_pose": turned,
        "betas": np.ones((2, 10)),
    }
    (tmp_path / "hmr2.pkl").write_bytes(
        pickle.dumps({"pred_smpl_params": parameters, "imgname": ["a.jpg", "b.jpg"]})
    )
    hmr2 = read_predictions(tmp_path / "hmr2.pkl")
    assert hmr2.rotations is not None
    assert hmr2.rotations[1, 0].tolist() == [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    thetas = np.zeros((1, 72))
    thetas[0, 0] = np.pi
    results = {"smpl_thetas": thetas, "smpl_betas": np.ones((1, 11)), "cam": np.zeros((1, 3))}
    np.savez(tmp_path / "romp.npz", results=results)  # a pickled dictionary, as ROMP saves it
    romp = read_predictions(tmp_path / "romp.npz")
    assert romp.rotations is not None
    assert romp.shape is not None
    np.testing.assert_allclose(romp.rotations[0, 0], np.diag([1, -1, -1]), atol=1e-6)
    assert romp.shape.shape == (1, 10)


def test_smpls_pose_is_not_put_on_the_bundled_body(tmp_path):
    path = write_predictions(
        tmp_path / "romp.npz", smpl_thetas=np.zeros((1, 72)), smpl_betas=np.zeros((1, 10))
    )
    body = BodyModel(small_body())
    file = read_predictions(path)
    assert FilePrediction(file, body, (0,)).vertices.shape == (1, 40, 3)
    body.data.__dict__["name"] = "anny"
    with pytest.raises(BadInputError, match="--body SMPL_FILE"):
        _ = FilePrediction(file, body, (0,)).vertices


def test_pose_on_a_body_gives_its_keypoints(tmp_path):
    body = BodyModel(small_body())
    pose, shape = 0.3 * torch.ones(2, 72), torch.ones(2, 10)
    file = read_predictions(write_predictions(tmp_path / "plain.npz", pose=pose, shape=shape))
    expected = body.keypoints(body(pose, shape).vertices, "cocoplus19")
    found = FilePrediction(file, body, (1, None)).points_3d("cocoplus19")
    torch.testing.assert_close(found[0], expected[1], atol=1e-5, rtol=0)
    assert found[1].isnan().all()


def test_millimetres_read_as_metres_are_noticed_and_the_other_way_round(tmp_path):
    path = write_predictions(tmp_path / "mm.npz", joints_3d=1000 * JOINTS, keypoint_set="h36m17")
    with pytest.raises(BadInputError, match="give --unit mm"):
        read_predictions(path)
    np.testing.assert_allclose(read_predictions(path, "mm").joints_3d, JOINTS, atol=1e-6)
    metres = write_predictions(tmp_path / "m.npz", joints_3d=JOINTS, keypoint_set="h36m17")
    with pytest.raises(BadInputError, match="give --unit m"):
        read_predictions(metres, "mm")


def test_17_joints_without_a_name_could_be_three_sets(tmp_path):
    with pytest.raises(BadInputError, match=r"coco17.*h36m17.*mpi_inf_3dhp17"):
        read_predictions(write_predictions(tmp_path / "a.npz", joints_3d=JOINTS))
    lsp = write_predictions(tmp_path / "b.npz", joints_3d=np.stack([points_3d(LSP)]))
    found = read_predictions(lsp).skeleton
    assert found is not None
    assert found.name == "lsp14"


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"something": [1]}, "they hold something"),
        ({"joints_3d": JOINTS, "keypoint_set": "h36m17", "score": [1.0]}, "unlike length"),
        ({"joints_3d": np.full((2, 17, 3), np.nan), "keypoint_set": "h36m17"}, "NaN"),
        ({"joints_3d": JOINTS, "keypoint_set": "lsp14"}, "17 joints, and lsp14 has 14"),
        ({"joints_3d": JOINTS.reshape(2, 51), "keypoint_set": "h36m17"}, r"joints_3d: shape \(2, 51\)"),
        ({"joints_3d": JOINTS, "keypoint_set": "h36m17", "record": "a"}, "unlike length"),
        ({"pose": np.zeros((2, 165)), "shape": np.zeros((2, 10))}, r"pose: shape \(2, 165\)"),
        ({"rotations": np.zeros((2, 216)), "shape": np.zeros((2, 10))}, r"rotations: shape \(2, 216\)"),
        ({"joints_3d": JOINTS, "keypoint_set": "h36m17", "score": 1.0}, r"score: shape \(\)"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(tmp_path, arrays, words):
    with pytest.raises(BadInputError, match=words):
        read_predictions(write_predictions(tmp_path / "a.npz", **arrays))


def test_lists_in_a_pickle_are_arrays(tmp_path):
    content = {"rotations": np.tile(np.eye(3), (2, 24, 1, 1)).tolist(), "shape": [[0.0] * 10] * 2}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert read_predictions(tmp_path / "a.pkl").rows == 2
    joints = {"joints_3d": JOINTS.tolist(), "keypoint_set": "h36m17"}
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(joints))
    assert read_predictions(tmp_path / "b.pkl").skeleton == H36M_17


def test_a_missing_damaged_or_dangerous_file_is_refused(tmp_path):
    with pytest.raises(MissingAssetError, match=r"none\.npz"):
        read_predictions(tmp_path / "none.npz")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(BadInputError):
        read_predictions(tmp_path / "damaged.npz")
    np.savez_compressed(tmp_path / "bits.npz", joints_3d=JOINTS)
    content = bytearray((tmp_path / "bits.npz").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "bits.npz").write_bytes(content)
    with pytest.raises(BadInputError, match=r"a damaged \.npz"):
        read_predictions(tmp_path / "bits.npz")
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'echo harm'\ntR.")
    with pytest.raises(BadInputError, match="asks to run"):
        read_predictions(tmp_path / "evil.pkl")


def predictor(tmp_path, rows: int = 2, **names: object) -> FilePredictor:
    people = cases_of("lspet-pck", write_lspet_hold_out(tmp_path / "lspet"))
    guess = np.stack([points(LSP) + row for row in range(rows)])
    file = read_predictions(write_predictions(tmp_path / "a.npz", keypoints_2d=guess, **names))
    return FilePredictor("theirs", file, people)


def test_rows_are_matched_by_photo_whatever_their_order(tmp_path):
    found = predictor(tmp_path, imgname=["im08003.jpg", "im08001.jpg"])
    assert found.row_of == {"im08003": 0, "im08001": 1}


def test_rows_without_names_must_be_as_many_as_people(tmp_path):
    assert predictor(tmp_path / "three", rows=3).row_of == {"im08001": 0, "im08002": 1, "im08003": 2}
    with pytest.raises(BadInputError, match="2 rows without record or imgname, for 3 people"):
        predictor(tmp_path / "two", rows=2)


def test_names_of_other_photos_and_photos_named_twice_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="none of 2 rows"):
        predictor(tmp_path / "a", imgname=["x.jpg", "y.jpg"])
    with pytest.raises(BadInputError, match="twice"):
        predictor(tmp_path / "b", imgname=["im08001.jpg", "im08001.jpg"])


def test_joints_that_the_protocol_needs_and_the_file_lacks_are_named(tmp_path):
    people = cases_of("lspet-pck", write_lspet_hold_out(tmp_path / "lspet"))
    file = read_predictions(
        write_predictions(tmp_path / "a.npz", keypoints_2d=np.zeros((3, 17, 2)), keypoint_set="coco17")
    )
    with pytest.raises(BadInputError, match="lack neck, head_top"):
        FilePredictor("theirs", file, people).predict(people, PROTOCOLS["lspet-pck"])
