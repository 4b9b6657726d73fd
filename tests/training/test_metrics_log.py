"""Lines, pictures, curves and the bar."""

import io
import json

import pytest
import torch
from PIL import Image
from rich.console import Console

from humanmesh.data.augmentation import NO_AUGMENTATION, augment
from humanmesh.data.dataset import collate
from humanmesh.errors import BadInputError
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.network.regressor import Estimate
from humanmesh.training.console import ConsoleBar
from humanmesh.training.metrics_log import CRITICS, MetricsLog, PictureFile, TensorBoardLog
from humanmesh.training.pictures import prediction_sheet
from made_samples import made_sample

FIGURES = {"loss": torch.tensor(1.5), "reprojection": torch.tensor(0.25), "real_scores": torch.arange(25.0)}


def test_lines_of_steps_after_the_checkpoint_are_taken_back(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, {"loss": float(step)})
    with log.path.open("a") as file:
        file.write('{"step": 4, "lo')
    MetricsLog(tmp_path, 2).write(3, {"loss": 30.0})
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 30.0}]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_every_figure_and_each_joint_by_name(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.write(7, FIGURES | {"gradient_norm_encoder": 2.0, "mine_held_out/pck@0.1": 0.5})
    log.picture(7, torch.rand(3, 8, 8))
    log.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"run/loss", "terms/reprojection", "gradients/encoder"} <= tags
    assert any(tag.startswith("mine_held_out/pck") for tag in tags)
    knee = events.Scalars("real_scores/left_knee")[0]
    assert (knee.step, knee.value) == (7, CRITICS.index("left_knee"))
    assert events.Tags()["images"] == ["predictions"]


def test_the_critics_are_the_adversarys_outputs():
    assert len(CRITICS) == len(set(CRITICS)) == 25
    assert CRITICS[0] == "left_hip"


def test_the_picture_file_holds_the_last_picture(tmp_path):
    pictures = PictureFile(tmp_path)
    pictures.picture(1, torch.zeros(3, 4, 6))
    pictures.picture(2, torch.ones(3, 4, 6))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.png"]
    with Image.open(tmp_path / "predictions.png") as image:
        assert image.size == (6, 4)
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_a_sheet_shows_given_keypoints_above_predicted_ones():
    stored = collate([made_sample(number) for number in range(3)])
    batch = augment(stored, NO_AUGMENTATION, 64, torch.Generator())
    batch.images.zero_()
    batch.keypoints_2d.zero_()  # all in the middle
    camera = WeakPerspectiveCamera(torch.ones(3), torch.zeros(3, 2))
    quarter = torch.full((3, 19, 2), -0.5)  # all a quarter from the left and from the top
    nowhere = torch.zeros(3, 24, 3), torch.zeros(3, 19, 3)
    estimate = Estimate(torch.eye(3).expand(3, 24, 3, 3), torch.zeros(3, 10), camera, *nowhere, quarter)
    sheet = prediction_sheet(batch, estimate, people=2)
    assert sheet.shape == (3, 4 + 2 * 68, 4 + 2 * 68)
    crops = sheet.unfold(1, 68, 68).unfold(2, 68, 68)[..., 4:, 4:]  # (3, rows, columns, 64, 64)
    for column in range(2):
        assert crops[:, 0, column, 32, 32].sum() > 0.5
        assert crops[:, 1, column, 16, 16].sum() > 0.5
        assert crops[:, 0, column, 16, 16].sum() == crops[:, 1, column, 32, 32].sum() == 0


def test_the_bar_shows_pace_step_losses_and_hold_outs():
    screen = io.StringIO()
    bar = ConsoleBar(console=Console(file=screen, force_terminal=True, width=120))
    bar.advance(1234, 0.25)
    bar.write(1234, FIGURES | {"images_per_second": 56.7})
    bar.write(1234, {"mine_held_out/pck@0.1": 0.625})
    bar.close()
    shown = screen.getvalue()
    for words in (
        "1,234",
        "25%",
        "56.7 images/s",
        "loss 1.5  reprojection 0.25",
        "mine_held_out/pck@0.1 0.625",
    ):
        assert words in shown


def test_the_bar_is_silent_where_nobody_looks():
    file = io.StringIO()
    bar = ConsoleBar(console=Console(file=file))
    bar.advance(1, 0.5)
    bar.write(1, FIGURES)
    bar.close()
    assert not file.getvalue().strip()


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    log = MetricsLog(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()  # nothing can be appended to it, as on a full disk
    with pytest.raises(BadInputError, match=r"Cannot write .*metrics\.jsonl: "):
        log.write(1, {"loss": 1.0})
