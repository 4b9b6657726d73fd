"""Train the network of Martinez et al. 2017 that lifts 2D joints to 3D, on recorded poses seen by drawn cameras."""

from dataclasses import dataclass
from pathlib import Path

from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError


@dataclass(frozen=True)
class Arguments:
    """Options of `humanmesh train-lifting`."""

    motion: Path
    """Motion file of `humanmesh data motion` (.npz); its held-out clips are not used."""
    out: Path
    """Where the weights go (.safetensors)."""
    body: str = "anny"
    """Body by name, or an SMPL file."""
    steps: int = 5000
    batch_size: int = 128
    """People a step."""
    seed: int = 0


def run(arguments: Arguments) -> int:
    """Train and write.

    Raises:
        HumanMeshError: where the motion or the numbers cannot be used.
    """
    from humanmesh.files.body_models import load_body_data
    from humanmesh.files.writing import output_file
    from humanmesh.fitting.lifting import LiftingConfig, save_lifter, train_lifter
    from humanmesh.fitting.projected_people import read_training_poses

    output_file(arguments.out)  # before all the work
    library = read_training_poses(arguments.motion)
    try:
        config = LiftingConfig(steps=arguments.steps, batch_size=arguments.batch_size, seed=arguments.seed)
    except ValueError as error:
        raise BadInputError("Lifting", str(error), "See humanmesh train-lifting --help.") from error
    with PatientBar("steps") as bar:
        lifter = train_lifter(load_body_data(arguments.body), library, config, bar)
    save_lifter(arguments.out, lifter)
    print(f"{arguments.out}: {config.steps} steps of {config.batch_size} people")
    return 0
