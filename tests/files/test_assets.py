"""Which bundled files belong together."""

from pathlib import Path

import pytest

from humanmesh.files.assets import finder_path, weights_path


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(
    ("weights", "network", "finder"),
    [
        ("default", "weights_default.safetensors", "weights_finder.safetensors"),
        ("open", "weights_open.safetensors", "weights_finder_open.safetensors"),
        ("mine.safetensors", "mine.safetensors", "weights_finder.safetensors"),
    ],
)
def test_weights_that_allow_any_use_go_with_a_finder_that_does(kind, weights, network, finder):
    assert weights_path(kind(weights)).name == network
    assert finder_path(kind(weights)).name == finder
