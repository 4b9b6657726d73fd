"""Render synthetic people to files: `python tools/render_synthetic.py --help`."""

import torch
import tyro

from humanmesh.data.synthetic_recipe import SynthesisJob, run


def main() -> None:
    """Write the parts, naming each."""
    job = tyro.cli(SynthesisJob, description=__doc__)
    torch.set_num_threads(1)  # start several with other seeds instead: batches this small thread badly
    for path in run(job):
        print(path, flush=True)


if __name__ == "__main__":
    main()
