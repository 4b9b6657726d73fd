import math

import pytest
import torch

from humanmesh.body.skeletons import COCO_17
from humanmesh.network.encoder import KEYPOINTS, EncoderOutput, build_encoder
from humanmesh.network.finder import (
    _CENTRALITY,
    CANDIDATES,
    FINDER_PIXELS,
    PERSON_SCORE,
    PersonFinder,
    _looks,
    sight_people,
)

CELLS = 48
OFF, ON = -8.0, 4.0


def maps_of(people: list[tuple[int, int]], *, have_keypoints: bool = True) -> EncoderOutput:
    """Heads that a perfect network would give for people whose keypoints lie on a ring round their centre (row, column)."""
    center = torch.full((1, 1, CELLS, CELLS), OFF)
    offsets = torch.zeros(1, 34, CELLS, CELLS)
    heat = torch.full((1, len(KEYPOINTS), CELLS, CELLS), OFF)
    for row, column in people:
        center[0, 0, row, column] = ON
        for number, name in enumerate(COCO_17.joints):
            y, x = ring(number)
            offsets[0, 2 * number : 2 * number + 2, row, column] = torch.tensor([float(y), float(x)])
            if have_keypoints:
                heat[0, KEYPOINTS.index[name], row + y, column + x] = ON
    pooled = torch.zeros(1, 8)
    return EncoderOutput(pooled, None, heat, center, offsets)


def ring(number: int) -> tuple[int, int]:
    return [(-5, 0), (0, 5), (5, 0), (0, -5)][number % 4]


def test_keypoints_lie_where_the_offsets_of_the_centre_say():
    sighted = sight_people(maps_of([(20, 12)]))
    for number in range(17):
        y, x = ring(number)
        expected = [(12 + x + 0.5) / 24 - 1, (20 + y + 0.5) / 24 - 1]
        assert sighted.keypoints[0, 0, number].tolist() == pytest.approx(expected, abs=1e-6)


def test_score_is_the_geometric_mean_of_centre_and_keypoint_heat():
    on = torch.tensor(ON).sigmoid()
    assert float(sight_people(maps_of([(20, 12)])).scores[0, 0]) == pytest.approx(float(on), abs=1e-6)
    off = torch.tensor(OFF).sigmoid()
    without = sight_people(maps_of([(20, 12)], have_keypoints=False))
    assert float(without.scores[0, 0]) == pytest.approx(float((on * off).sqrt()), abs=1e-6)


def test_every_person_is_seen_and_centrality_falls_from_the_middle():
    sighted = sight_people(maps_of([(8, 8), (24, 24), (40, 30)]))
    clear = sighted.scores[0] > PERSON_SCORE
    assert int(clear.sum()) == 3
    assert sighted.scores.shape == (1, CANDIDATES)
    best = int((sighted.scores * sighted.centralities).argmax())
    assert sighted.keypoints[0, best].mean(0).abs().max() < 0.06


def test_an_encoder_without_person_heads_is_refused():
    encoded = build_encoder("mobilenet_v2_fpn").eval()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="person_heads"):
        sight_people(encoded)


class Scripted(torch.nn.Module):
    """Answers with prepared maps, whatever it is shown."""

    def __init__(self, answers: list[EncoderOutput]) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.answers = answers

    def forward(self, crops: torch.Tensor) -> EncoderOutput:
        answer = self.answers.pop(0)
        repeated = [
            None if part is None else part.expand(len(crops), *part.shape[1:])
            for part in (answer.pooled, None, answer.heatmaps, answer.center_heatmap, answer.center_offsets)
        ]
        return EncoderOutput(*repeated)


def test_a_found_person_lies_in_photo_pixels_through_both_looks():
    # The photo is 96 x 192, so the first look is a square of 192 with the photo's left edge at 48: crop (0, 0) is the
    # photo's middle. A person in the middle of both looks has its middle there.
    middle = maps_of([(24, 24)])
    people = PersonFinder(Scripted([middle, middle])).find([torch.zeros(3, 192, 96)])[0]
    assert len(people) == 1
    centre = people[0].keypoints.mean(0)
    assert (centre - torch.tensor([48.0, 96.0])).abs().max() < 3
    assert people[0].score > 0.9


def test_who_fades_at_the_closer_look_is_nobody():
    first, second = maps_of([(24, 24)]), maps_of([])
    assert PersonFinder(Scripted([first, second])).find([torch.zeros(3, 192, 96)]) == [[]]


def test_a_box_scores_by_the_person_in_its_middle():
    box = torch.tensor([[40.0, 30.0, 160.0, 150.0]])

    def score(row: int, column: int) -> float:
        finder = PersonFinder(Scripted([maps_of([(row, column)])]))
        return float(finder.scores_of([torch.zeros(3, 192, 192)], box))

    off_middle = 0.5 / (CELLS / 2)  # the middle lies on the corner of four cells
    centrality = math.exp(-(off_middle**2) / _CENTRALITY**2)
    assert score(24, 24) == pytest.approx(float(torch.tensor(ON).sigmoid()) * centrality, rel=1e-5)
    assert score(8, 8) < 0.1 * score(24, 24)


def side_by_side(one: EncoderOutput, other: EncoderOutput) -> EncoderOutput:
    both = [None if a is None else torch.cat([a, b]) for a, b in zip(parts(one), parts(other), strict=True)]
    return EncoderOutput(*both)


def parts(output: EncoderOutput) -> list[torch.Tensor | None]:
    return [output.pooled, output.features, output.heatmaps, output.center_heatmap, output.center_offsets]


def test_one_person_seen_twice_is_one_person():
    # Two candidates, three cells of 4 pixels apart; a closer look is 56 pixels wide, so 5 of its cells are 5.8 pixels:
    # the person right of the first one's middle is the person left of the second one's.
    first = maps_of([(20, 21), (20, 24)])
    second = side_by_side(maps_of([(24, 29)]), maps_of([(24, 19)]))
    people = PersonFinder(Scripted([first, second]), candidate_score=0.5).find([torch.zeros(3, 192, 192)])[0]
    assert len(people) == 1
    assert float(people[0].keypoints[:, 0].mean()) == pytest.approx(92.5, abs=1)


def test_neighbours_stay_two_people():
    first, second = maps_of([(20, 12), (20, 36)]), maps_of([(24, 24)])
    people = PersonFinder(Scripted([first, second]), candidate_score=0.5).find([torch.zeros(3, 192, 192)])[0]
    middles = sorted(float(person.keypoints[:, 0].mean()) for person in people)
    assert middles == pytest.approx([12.5 * 4, 36.5 * 4], abs=4)


def test_only_scores_from_the_given_one_are_people():
    middle = maps_of([(24, 24)])
    photo = torch.zeros(3, 192, 192)
    score = PersonFinder(Scripted([middle, middle])).find([photo])[0][0].score
    assert PersonFinder(Scripted([middle, middle]), person_score=score + 1e-4).find([photo]) == [[]]
    assert len(PersonFinder(Scripted([middle, middle]), person_score=score - 1e-4).find([photo])[0]) == 1
    strict = PersonFinder(Scripted([middle, middle]), person_score=1.0)
    assert len(strict.find([photo], least_score=score - 1e-4)[0]) == 1


class DotFinder(torch.nn.Module):
    """Sees a person wherever a bright dot fills one of its cells at least."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.looks = 0

    def forward(self, pictures: torch.Tensor) -> EncoderOutput:
        self.looks += len(pictures)
        is_dot = torch.nn.functional.avg_pool2d(pictures.mean(1, keepdim=True), FINDER_PIXELS // CELLS) > 0.95
        center = torch.where(is_dot, ON, OFF)
        ring_cells = torch.tensor(
            [place for number in range(17) for place in ring(number)], dtype=torch.float32
        )
        offsets = ring_cells[:, None, None].expand(len(pictures), 34, CELLS, CELLS)
        heat = torch.full((len(pictures), len(KEYPOINTS), CELLS, CELLS), ON)
        return EncoderOutput(torch.zeros(len(pictures), 8), None, heat, center, offsets)


@pytest.mark.parametrize("count", [1, 2])
def test_people_too_small_in_the_whole_photo_are_found_in_its_parts(count: int):
    # 24 pixels of 800 are 5.8 of 192, which fill one cell of 4 nowhere; of a part of 400 they are 11.5.
    photo = torch.zeros(3, 600, 800)
    photo[:, 108:132, 508:532] = 1
    if count == 2:
        photo[:, 400:480, 100:180] = 1
    finder = DotFinder()
    people = PersonFinder(finder).find([photo])[0]
    middles = [person.keypoints[:16].mean(0) for person in people]
    assert any((middle - torch.tensor([520.0, 120.0])).norm() < 8 for middle in middles)
    assert any((middle - torch.tensor([140.0, 440.0])).norm() < 40 for middle in middles) is (count == 2)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (385, 3000), (4000, 1000), (400, 400)])
def test_parts_cover_the_photo_and_overlap_by_half(width: int, height: int):
    centers, sides = _looks(width, height)
    assert centers[0].tolist() == [width / 2, height / 2]
    assert int(sides[0]) == max(width, height)
    low, high = centers[1:] - sides[1:, None] / 2, centers[1:] + sides[1:, None] / 2
    # A person of a quarter of the longer side lies in one part wholly, wherever it stands.
    chance = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    half = max(width, height) / 8 - 1e-3
    room = torch.tensor([width, height]) - 2 * half
    people = torch.where(room > 0, half + chance * room, torch.tensor([width, height]) / 2)
    seen = torch.minimum(torch.tensor([width / 2, height / 2]), torch.tensor(half))
    inside = (people[:, None] - seen >= low - 1e-2) & (people[:, None] + seen <= high + 1e-2)
    assert inside.all(2).any(1).all()


def test_small_photos_are_looked_at_as_a_whole_only():
    finder = DotFinder()
    PersonFinder(finder).find([torch.zeros(3, 2 * FINDER_PIXELS - 1, 300), torch.zeros(3, 20, 20)])
    assert finder.looks == 2


def test_an_empty_list_of_photos_has_no_people():
    assert PersonFinder(Scripted([])).find([]) == []


def test_a_keypoint_goes_to_the_heat_near_it_where_the_regression_falls_short():
    maps = maps_of([(24, 24)])
    wrist = COCO_17.index["left_wrist"]
    heat = maps.heatmaps.clone()
    channel = KEYPOINTS.index["left_wrist"]
    heat[0, channel] = OFF
    heat[0, channel, 31, 12] = ON  # some cells beyond where the regression put it
    stretched = EncoderOutput(maps.pooled, None, heat, maps.center_heatmap, maps.center_offsets)
    position = sight_people(stretched).keypoints[0, 0, wrist].tolist()
    assert position == pytest.approx([(12 + 0.5) / 24 - 1, (31 + 0.5) / 24 - 1], abs=1e-6)
