"""Two processes that share every batch train as one does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
import torch

from humanmesh.training.loop import CHECKPOINT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_have_the_losses_gradients_and_weights_of_one(tmp_path):
    command = [sys.executable, processes.__file__, str(tmp_path / "two"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    processes.train(tmp_path / "one", 1)

    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert [line["step"] for line in two] == [1, 2, 3]
    for line, other in zip(one, two, strict=True):
        assert set(line) == set(other)
        for name in set(line) - {"images_per_second", "elapsed"}:
            np.testing.assert_allclose(other[name], line[name], rtol=1e-3, atol=2e-5, err_msg=name)

    weights = [
        torch.load(tmp_path / run / CHECKPOINT, weights_only=True)["network"] for run in ("one", "two")
    ]
    difference = [(weights[1][name] - value).abs().max() for name, value in weights[0].items()]
    assert max(difference) < 1e-5
