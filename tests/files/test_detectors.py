import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError
from humanmesh.files.detectors import DETECTOR_PIXELS, RtDetr, load_detector

CPU = torch.device("cpu")


class Scripted(torch.nn.Module):
    """Answers as RT-DETR does: logits of (cat, person), boxes as middle and sides in units of the picture."""

    def __init__(self, logits: list[list[float]], boxes: list[list[float]]) -> None:
        super().__init__()
        self.config = SimpleNamespace(id2label={0: "cat", 1: "person"})
        self.answer = SimpleNamespace(logits=torch.tensor([logits]), pred_boxes=torch.tensor([boxes]))

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        assert pixel_values.shape == (1, 3, DETECTOR_PIXELS, DETECTOR_PIXELS)
        return self.answer


def test_people_come_in_photo_pixels_the_clearest_first_and_cats_not_at_all():
    model = Scripted(
        [[-9.0, 1.0], [9.0, -9.0], [-9.0, 3.0], [-9.0, -1.0]],
        [[0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 0.5, 0.5], [0.75, 0.5, 0.25, 0.5], [0.5, 0.5, 0.2, 0.2]],
    )
    found = RtDetr(model, CPU).find([torch.zeros(3, 100, 200)])[0]
    assert found.boxes.tolist() == [[125, 25, 175, 75], [0, 0, 100, 100]]
    assert found.scores.tolist() == pytest.approx([1 / (1 + 2.718281828**-3), 1 / (1 + 2.718281828**-1)])


def test_boxes_end_at_the_photos_edges():
    model = Scripted([[-9.0, 3.0]], [[0.0, 0.5, 0.5, 2.0]])
    assert RtDetr(model, CPU).find([torch.zeros(3, 80, 40)])[0].boxes.tolist() == [[0, 0, 10, 80]]


def test_a_detector_that_knows_no_people_is_refused():
    model = Scripted([[0.0, 0.0]], [[0.5] * 4])
    model.config.id2label = {0: "cat", 1: "dog"}
    with pytest.raises(BadInputError, match="no person"):
        RtDetr(model, CPU)


def test_without_transformers_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInputError, match=r"pip install 'humanmesh\[detect\]'"):
        load_detector("rt-detr", CPU)


def test_unknown_detector_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="rt-detr"):
        load_detector("yolo", CPU)


needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs the extra `detect`"
)


@needs_transformers
def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(MissingAssetError, match=str(tmp_path)):
        load_detector(tmp_path, CPU)


@needs_transformers
@pytest.mark.filterwarnings("ignore")
def test_a_model_saved_by_transformers_is_read_from_its_folder_and_gives_boxes_in_the_photo(tmp_path):
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=[8, 8, 8], encoder_hidden_dim=16, encoder_ffn_dim=16,
        encoder_attention_heads=2, d_model=16, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16,
        decoder_layers=1, decoder_attention_heads=2, num_queries=10, num_denoising=0,
        id2label={0: "person", 1: "bicycle"}, label2id={"person": 0, "bicycle": 1},
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        RTDetrForObjectDetection(config).save_pretrained(tmp_path)
    detector = load_detector(tmp_path, CPU)
    found = detector.find([torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))])[0]
    assert found.boxes.shape == (len(found.scores), 4)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([120, 90, 120, 90])).all()
