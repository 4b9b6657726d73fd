"""Levenberg-Marquardt for many problems at once, each with its own damping."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_FIRST_DAMPING = 1e-2
_SMALLEST_DAMPING, _LARGEST_DAMPING = 1e-7, 1e8
_AFTER_SUCCESS, _AFTER_FAILURE = 0.25, 5.0
_CONVERGED = 1e-5
"""Share of the energy by which a step lowers it where there is nothing left to do."""

_HOPELESS = 1e4
"""Damping at which even the smallest step did not lower the energy."""

State = TypeVar("State")


@dataclass(frozen=True)
class Quadratic:
    """An energy near a state, for each problem of a batch: energy + 2 slope . d + d . normal d for a small change d."""

    energy: Float[Tensor, "batch"]
    slope: Float[Tensor, "batch unknowns"]
    """Half the gradient."""
    normal: Float[Tensor, "batch unknowns unknowns"]
    """Gauss and Newton's approximation of half the second derivative."""

    def __add__(self, other: "Quadratic") -> "Quadratic":
        return Quadratic(self.energy + other.energy, self.slope + other.slope, self.normal + other.normal)


@runtime_checkable
class Problem(Protocol[State]):
    """What can be minimised."""

    def quadratic(self, state: State) -> Quadratic:
        """The energy and its approximation near a state; an infinite energy where the state is impossible."""
        ...

    def moved(self, state: State, change: Float[Tensor, "batch unknowns"]) -> State:
        """The state after a small change."""
        ...


@dataclass(frozen=True)
class Solution:
    """Where a minimisation ended."""

    state: Any
    energies: Float[Tensor, "steps batch"]
    """Before the first and after each step; never rising."""


@torch.no_grad()
def minimise(problem: Problem[State], start: State, steps: int) -> Solution:
    """At most so many steps of Levenberg-Marquardt; a step that does not lower a problem's energy is not taken there."""
    state = start
    here = problem.quadratic(state)
    damping = torch.full_like(here.energy, _FIRST_DAMPING)
    energies = [here.energy]
    is_done = torch.zeros_like(here.energy, dtype=torch.bool)
    for _ in range(steps):
        trial = problem.moved(state, _step(here, damping))
        there = problem.quadratic(trial)
        is_better = (there.energy < here.energy) & ~is_done
        gain = (here.energy - there.energy) / here.energy.clamp_min(torch.finfo(here.energy.dtype).tiny)
        is_done = is_done | torch.where(is_better, gain < _CONVERGED, damping > _HOPELESS)
        state, here = chosen(is_better, trial, state), chosen(is_better, there, here)
        damping = damping * torch.where(is_better, _AFTER_SUCCESS, _AFTER_FAILURE)
        damping = damping.clamp(_SMALLEST_DAMPING, _LARGEST_DAMPING)
        energies.append(here.energy)
        if bool(is_done.all()):
            break
    return Solution(state, torch.stack(energies))


def _step(here: Quadratic, damping: Float[Tensor, "batch"]) -> Float[Tensor, "batch unknowns"]:
    diagonal = here.normal.diagonal(dim1=1, dim2=2)
    least = 1e-6 * diagonal.amax(1, keepdim=True) + torch.finfo(diagonal.dtype).tiny
    damped = here.normal + torch.diag_embed(damping[:, None] * diagonal.clamp_min(least) + least)
    factor, failed = torch.linalg.cholesky_ex(damped)
    change = -torch.cholesky_solve(here.slope[..., None], factor).squeeze(-1)
    return torch.where(failed[:, None] == 0, change, 0.0)


def chosen(is_first: Bool[Tensor, "batch"], first: Any, second: Any) -> Any:
    """Row by row one record of tensors (a tensor, or a dataclass of records) or the other."""
    if isinstance(first, Tensor):
        return torch.where(is_first.view(-1, *[1] * (first.dim() - 1)), first, second)
    return _mapped(lambda one, other: chosen(is_first, one, other), first, second)


def taken(record: Any, rows: Int64[Tensor, "rows"]) -> Any:
    """Some rows of a record of tensors, in that order."""
    return record[rows] if isinstance(record, Tensor) else _mapped(lambda one: taken(one, rows), record)


def joined(records: list[Any]) -> Any:
    """The rows of several records of tensors, one after the other."""
    if isinstance(records[0], Tensor):
        return torch.cat(records)
    return _mapped(lambda *some: joined(list(some)), *records)


def _mapped(change: Any, *records: Any) -> Any:
    if not is_dataclass(records[0]) or isinstance(records[0], type):
        raise TypeError(f"a tensor or a dataclass of tensors is wanted, got a {type(records[0]).__name__}")
    names = [entry.name for entry in fields(records[0])]
    return replace(
        records[0], **{name: change(*(getattr(record, name) for record in records)) for name in names}
    )
