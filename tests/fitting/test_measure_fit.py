"""The threshold of failure against counting by hand."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import measure_fit


def test_the_threshold_errs_alike_both_ways():
    sound = torch.tensor([1.0, 2.0, 3.0, 9.0])
    wrong = torch.tensor([4.0, 10.0, 11.0, 12.0])
    # From 4 to 9 one of four sound fits lies above, and one of four wrong ones at or below.
    threshold, errors = measure_fit.equal_error_threshold(sound, wrong)
    assert 4 < threshold < 9
    assert errors == pytest.approx(0.25)


def test_fits_that_lie_apart_are_told_without_error():
    threshold, errors = measure_fit.equal_error_threshold(torch.tensor([1.0, 2.0]), torch.tensor([6.0, 7.0]))
    assert threshold == pytest.approx(4)
    assert errors == 0
