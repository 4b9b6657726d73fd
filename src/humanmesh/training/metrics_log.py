"""The training's log: one JSON object a line, appended and flushed, so that a killed run keeps what it measured."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor


class MetricsLog:
    """metrics.jsonl in a run's folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line."""
        line = {"step": step} | {name: _plain(value) for name, value in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        return [round(v, 5) for v in value.tolist()] if value.ndim else round(float(value), 5)
    return round(value, 5) if isinstance(value, float) else value
