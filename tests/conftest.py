"""Shared fixtures."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by what it changed.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A network that has learned nothing: its answers are bodies all the same."""
    # Imported before its hook is there, the package would not have its shapes checked.
    import torch

    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.checkpoints import save_checkpoint
    from humanmesh.network.recovery import RecoveryConfig, build_recovery

    config = RecoveryConfig()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_recovery(config, load_body_data("anny"))
        for parameter in network.regressor.fc3.parameters():
            parameter.data.normal_(0, 0.004)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_checkpoint(path, config, network.state_dict())
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the photos and motion capture that are not part of the project; skips where it is missing."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets in {folder}")
    return folder
