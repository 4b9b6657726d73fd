"""Synthetic people in files: `python tools/render_synthetic.py render --help` draws them, `pack` makes shards."""

from typing import Annotated

import torch
import tyro

from humanmesh.data.synthetic_recipe import SynthesisJob, pack, run


def render(job: Annotated[SynthesisJob, tyro.conf.arg(name="")]) -> None:
    """Draw people and write them part by part, naming each file."""
    torch.set_num_threads(1)  # batches this small thread badly; start several with other seeds instead
    for path in run(job):
        print(path, flush=True)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"render": render, "pack": pack}, description=__doc__)
