"""The solver finds minima, and no accepted step raises an energy."""

from dataclasses import dataclass

import pytest
import torch

from humanmesh.fitting.solver import Quadratic, chosen, joined, minimise, taken


@dataclass(frozen=True)
class Place:
    xy: torch.Tensor


class Rosenbrock:
    """r = (1 - x, 10 (y - x^2)), whose only minimum is at (1, 1)."""

    def quadratic(self, state: Place) -> Quadratic:
        x, y = state.xy.unbind(1)
        residual = torch.stack([1 - x, 10 * (y - x * x)], 1)
        zero = torch.zeros_like(x)
        jacobian = torch.stack([torch.stack([zero - 1, zero], 1), torch.stack([-20 * x, zero + 10], 1)], 1)
        transposed = jacobian.transpose(1, 2)
        slope = (transposed @ residual[..., None]).squeeze(-1)
        return Quadratic(residual.square().sum(1), slope, transposed @ jacobian)

    def moved(self, state: Place, change: torch.Tensor) -> Place:
        return Place(state.xy + change)


STARTS = Place(torch.tensor([[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]], dtype=torch.float64))


def test_the_minimum_of_rosenbrocks_valley_is_found_from_everywhere():
    found = minimise(Rosenbrock(), STARTS, 100)
    torch.testing.assert_close(found.state.xy, torch.ones(3, 2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_no_step_raises_an_energy():
    energies = minimise(Rosenbrock(), STARTS, 100).energies
    assert bool((energies.diff(dim=0) <= 0).all())


def test_problems_of_a_batch_do_not_touch_each_other():
    together = minimise(Rosenbrock(), STARTS, 7).state.xy
    alone = [minimise(Rosenbrock(), taken(STARTS, torch.tensor([row])), 7).state.xy for row in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


class Walled(Rosenbrock):
    """Nothing beyond x = 0.5 is possible."""

    def quadratic(self, state: Place) -> Quadratic:
        free = super().quadratic(state)
        energy = torch.where(state.xy[:, 0] > 0.5, torch.inf, free.energy)
        return Quadratic(energy, free.slope, free.normal)


def test_an_impossible_state_is_never_entered():
    found = minimise(Walled(), taken(STARTS, torch.tensor([0, 2])), 50)
    assert bool(found.energies[-1].isfinite().all())
    assert bool((found.state.xy[:, 0] <= 0.5).all())


def test_rows_of_records_are_taken_joined_and_chosen():
    first, second = Place(torch.zeros(2, 2)), Place(torch.ones(2, 2))
    assert joined([first, second]).xy.shape == (4, 2)
    mixed = chosen(torch.tensor([True, False]), first, second).xy
    assert mixed.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(TypeError, match="dataclass"):
        taken("nothing", torch.tensor([0]))
