"""Grow a regression forest from 91 surface points to pose and shape, on recorded poses seen by drawn cameras.

Needs scikit-learn: pip install "humanmesh[forest]". The points are described in docs/comparison.md.
"""

from dataclasses import dataclass
from pathlib import Path

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError


@dataclass(frozen=True)
class Arguments:
    """Options of `humanmesh train-forest`."""

    motion: Path
    """Motion file of `humanmesh data motion` (.npz); its held-out clips are not used."""
    out: Path
    """Where the forest goes (.npz)."""
    body: str = "anny"
    """Body by name, or an SMPL file."""
    people: int = 20_000
    """People to learn from."""
    trees: int = 32
    smallest_leaf: int = 4
    """People in a leaf, at least; a larger number makes a smaller file."""
    seed: int = 0


def run(arguments: Arguments) -> int:
    """Grow and write.

    Raises:
        HumanMeshError: where the motion or the numbers cannot be used, or scikit-learn is missing.
    """
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.writing import output_file
    from humanmesh.fitting.forest import save_forest
    from humanmesh.fitting.forest_training import ForestConfig, train_forest
    from humanmesh.fitting.projected_people import read_training_poses

    output_file(arguments.out)  # before all the work
    library = read_training_poses(arguments.motion)
    try:
        config = ForestConfig(
            people=arguments.people, trees=arguments.trees,
            smallest_leaf=arguments.smallest_leaf, seed=arguments.seed,
        )  # fmt: skip
    except ValueError as error:
        raise BadInputError("Forest", str(error), "See humanmesh train-forest --help.") from error
    with PatientBar("trees") as bar:
        forest = train_forest(load_body_data(arguments.body), library, config, bar)
    save_forest(arguments.out, forest)
    size = arguments.out.stat().st_size / 1e6
    print(f"{arguments.out}: {len(forest.roots)} trees, {len(forest.values)} leaves, {size:.1f} MB")
    return 0
