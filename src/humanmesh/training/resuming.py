"""What a resumed training must share with its first part, so that it goes on as the same training."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from humanmesh.errors import BadInputError
from humanmesh.network.recovery import TEST_TIME_SETTINGS
from humanmesh.training.config import SessionConfig, TrainConfig

Settings = dict[str, Any]
"""Plain values by name, as a checkpoint holds them."""

_MAY_CHANGE = {
    "steps", "max_time", "checkpoint_interval", "log_interval", "picture_interval", "precision", "loaders",
    *(f"network.{name}" for name in TEST_TIME_SETTINGS),
}  # fmt: skip


def settings_of(config: TrainConfig, session: SessionConfig) -> Settings:
    """All that decides what a training learns, but for its length; files by their names, since folders may move."""
    of_files = {
        "shares": session.shares,
        "streams": session.streams,
        "motion": None if session.motion is None else session.motion.name,
        "body": Path(session.body).name,
    }
    settings = _flat(asdict(config)) | of_files
    return {name: value for name, value in settings.items() if name not in _MAY_CHANGE}


def _flat(values: Mapping[str, Any], parent: str = "") -> Settings:
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{parent}{name}.") if isinstance(value, dict) else {f"{parent}{name}": value}
    return flat


def check_settings(path: Path, then: Settings, now: Settings) -> None:
    """Compare a checkpoint's settings with those of now; a name that only one of them has is of another version.

    Raises:
        BadInputError: naming the first that differs.
    """
    for name, value in then.items():
        if name in now and now[name] != value:
            found = f"{name} was {value!r} when the run was started, and is {now[name]!r} now"
            raise BadInputError(
                f"checkpoint {path}", found, "Resume with the options that the run was started with."
            )
