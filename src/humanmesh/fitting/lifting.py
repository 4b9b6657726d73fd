"""From 2D joints to 3D joints, without a picture and without a body (Martinez et al. 2017, "A simple yet effective baseline").

Differs from theirs: joints out of the picture are told by a third number, inputs are brought into the joints' own box
instead of being standardised over a data set, and weights have no maximal norm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from humanmesh.body.model import KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import LSP_14
from humanmesh.data.synthetic_poses import PoseLibrary
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.writing import whole_file
from humanmesh.fitting.projected_people import ProjectedPeople, points_in_box, project_people

LIFTING_FORMAT = "humanmesh-lifting-1"
JOINTS = LSP_14
"""What is lifted."""
_HIPS = [JOINTS.index["left_hip"], JOINTS.index["right_hip"]]
_WIDTH = 1024
_BLOCKS = 2
_DROPOUT = 0.5
_DRAWN_AT_ONCE = 2048
_MAKE_ANOTHER = "Make one with: humanmesh train-lifting."


class _Layer(nn.Sequential):
    """Linear, batch norm, ReLU, dropout."""

    def __init__(self, inputs: int) -> None:
        linear = nn.Linear(inputs, _WIDTH)
        nn.init.kaiming_normal_(linear.weight)
        super().__init__(linear, nn.BatchNorm1d(_WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT))


class Lifter(nn.Module):
    """Two residual blocks of two layers of 1024."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Layer(3 * len(JOINTS))
        self.blocks = nn.ModuleList(nn.Sequential(_Layer(_WIDTH), _Layer(_WIDTH)) for _ in range(_BLOCKS))
        self.last = nn.Linear(_WIDTH, 3 * len(JOINTS))

    def forward(
        self, points_2d: Float[Tensor, "people 14 2"], weights: Float[Tensor, "people 14"]
    ) -> Float[Tensor, "people 14 3"]:
        """Metres about the middle of the hips, axes of the camera frame.

        Args:
            points_2d: `JOINTS` in any unit, y down.
            weights: 0 where a joint is not known.

        Raises:
            BadInputError: where too few joints of a person are known.
        """
        known = (weights > 0).to(points_2d)[..., None]
        values = self.first(torch.cat([points_in_box(points_2d, weights), known], 2).flatten(1))
        for block in self.blocks:
            values = values + block(values)
        return self.last(values).unflatten(1, (len(JOINTS), 3))


@dataclass(frozen=True)
class LiftingConfig:
    """How a lifter is trained."""

    steps: int = 5000
    batch_size: int = 128
    """People a step; nobody is seen twice."""
    learning_rate: float = 1e-3
    """Of Adam; it falls to a hundredth along a cosine."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2:
            found = f"{self.steps} and {self.batch_size}"
            raise ValueError(f"steps must be at least 1 and batch_size at least 2, got {found}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


def train_lifter(
    data: BodyModelData,
    library: PoseLibrary,
    config: LiftingConfig,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Lifter:
    """Train on projections of recorded poses, with drawn shapes and cameras; the result is in eval mode.

    Args:
        data: The body whose joints are projected.
        library: Poses to draw from.
        config: For how long.
        advance: Told after each step how many are done, of how many.
    """
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # torch draws first weights and dropout from its own generator alone
        lifter = Lifter()
        optimizer = torch.optim.Adam(lifter.parameters(), config.learning_rate)
        pace = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, config.steps, eta_min=config.learning_rate / 100
        )
        people = _Stream(KeypointBody(data, JOINTS.name), library, generator)
        for step in range(1, config.steps + 1):
            loss = lifting_loss(lifter, people.take(config.batch_size))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()
            advance(step, config.steps)
    return lifter.eval()


def lifting_loss(lifter: Lifter, people: ProjectedPeople) -> Float[Tensor, ""]:
    """Mean squared error of the joints' coordinates about the middle of the hips, square metres."""
    target = people.points_3d - people.points_3d[:, _HIPS].mean(1, keepdim=True)
    return F.mse_loss(lifter(people.points_2d, people.weights), target)


class _Stream:
    """New people without end."""

    def __init__(self, body: KeypointBody, library: PoseLibrary, generator: torch.Generator) -> None:
        self.draw = lambda: project_people(_DRAWN_AT_ONCE, body, library, generator)
        self.people = self.draw()
        self.used = 0

    def take(self, count: int) -> ProjectedPeople:
        if self.used + count > len(self.people.shape):
            self.people, self.used = self.draw(), 0
        while len(self.people.shape) < count:
            self.people = _together(self.people, self.draw())
        rows = slice(self.used, self.used + count)
        self.used += count
        return ProjectedPeople(**{name: value[rows] for name, value in vars(self.people).items()})


def _together(some: ProjectedPeople, others: ProjectedPeople) -> ProjectedPeople:
    both = {name: torch.cat([value, getattr(others, name)]) for name, value in vars(some).items()}
    return ProjectedPeople(**both)


def save_lifter(path: Path | str, lifter: Lifter) -> None:
    """Write the weights (.safetensors); whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in lifter.state_dict().items()}
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, {"format": LIFTING_FORMAT}))


def load_lifter(path: Path | str) -> Lifter:
    """Read what `save_lifter` wrote, in eval mode.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is damaged or from another version.
    """
    if not Path(path).is_file():
        raise MissingAssetError("lifter", path, _MAKE_ANOTHER)
    lifter = Lifter()
    try:
        with safe_open(path, "pt") as file:
            written = (file.metadata() or {}).get("format", "a file without a format")
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        if written == LIFTING_FORMAT:
            lifter.load_state_dict(tensors)
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"Lifter {path}", f"it cannot be read ({reason})", _MAKE_ANOTHER) from error
    if written != LIFTING_FORMAT:
        raise BadInputError(f"Lifter {path} should have the format {LIFTING_FORMAT}", written, _MAKE_ANOTHER)
    return lifter.eval()
