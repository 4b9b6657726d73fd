"""The pose prior on disk: safetensors with means, shares and the packed lower triangles of the factors."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from humanmesh.body.priors import PosePrior
from humanmesh.errors import BadInputError
from humanmesh.files.assets import asset_path
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.files.writing import whole_file
from humanmesh.network.refinement import PoseKnowledge

POSE_PRIOR = "pose_prior.safetensors"


def save_pose_prior(path: Path | str, prior: PosePrior) -> None:
    """Write a prior, whole or not at all."""
    rows, columns = torch.tril_indices(prior.means.shape[1], prior.means.shape[1])
    tensors = {
        "means": prior.means.contiguous(),
        "factors": prior.factors[:, rows, columns].contiguous(),
        "weights": prior.weights.contiguous(),
    }
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors))


def load_pose_prior(path: Path | str | None = None) -> PosePrior:
    """Read a prior; the bundled one where no path is given.

    Raises:
        MissingAssetError: where the installation lacks it.
        BadInputError: where the file is no prior.
    """
    path = asset_path(POSE_PRIOR) if path is None else Path(path)
    try:
        tensors = load_file(path)
        means, packed, weights = tensors["means"], tensors["factors"], tensors["weights"]
        rows, columns = torch.tril_indices(means.shape[1], means.shape[1])
        factors = packed.new_zeros(len(means), means.shape[1], means.shape[1])
        factors[:, rows, columns] = packed
    except (SafetensorError, OSError, KeyError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(
            f"Pose prior {path}", f"cannot be used ({reason})", "Reinstall the package."
        ) from error
    return PosePrior(means, factors, weights)


def bundled_pose_knowledge() -> PoseKnowledge:
    """What refinement knows of bodies: the bundled limits and prior."""
    return PoseKnowledge(bundled_joint_limits(), load_pose_prior())
