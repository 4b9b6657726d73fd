"""Turn motion capture of every kind into one .npz of SMPL poses.

    python tools/pack_motion.py ../shared/data/mocap mocap.npz

The folder is searched for .amc (with an .asf in the same folder), .bvh, DeepMimic's .txt, and .npz (exponential maps
where a skeleton.json lies beside them, AMASS otherwise). Arrays: `pose` (frames, 72) axis-angle in radians, `clip`
(frames,) row of each frame's clip, `clip_names`, `frame_rate` of each clip in Hz, `translation` (frames, 3) in metres,
`weight` (frames,) how often to draw each frame so that rare poses come more often than they were recorded. Frames in
which a joint is turned further than a body can are left out.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from humanmesh.data.motion import Motion, plausible_frames, rarity_weights
from humanmesh.data.readers.amass import read_amass
from humanmesh.data.readers.asf_amc import read_asf_amc
from humanmesh.data.readers.bvh import read_bvh
from humanmesh.data.readers.deepmimic import read_deepmimic
from humanmesh.data.readers.expmap import read_expmap
from humanmesh.errors import HumanMeshError


def read_motions(path: Path, amc_frame_rate: float) -> list[Motion]:
    """The clips of one file, none where the file is no motion.

    Args:
        path: any file of the folder.
        amc_frame_rate: Hz of .amc files, which do not give it.
    """
    if path.suffix == ".amc":
        skeletons = sorted(path.parent.glob("*.asf"))
        return [read_asf_amc(skeletons[0] if skeletons else path.with_suffix(".asf"), path, amc_frame_rate)]
    if path.suffix == ".bvh":
        return [read_bvh(path)]
    if path.suffix == ".txt":
        return [read_deepmimic(path)]
    if path.suffix == ".npz":
        skeleton = path.parent / "skeleton.json"
        return read_expmap(path, skeleton) if skeleton.is_file() else [read_amass(path)]
    return []


def readable(folder: Path, amc_frame_rate: float) -> Iterator[Motion]:
    """Clips of every file; what cannot be read is named on stderr and left out."""
    for path in sorted(folder.rglob("*")):
        try:
            yield from read_motions(path, amc_frame_rate)
        except HumanMeshError as error:
            print(f"left out: {error}", file=sys.stderr)


def main() -> None:
    """Read, join, weigh, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--amc-frame-rate", type=float, default=30.0, help="Hz of .amc files (default 30)")
    arguments = parser.parse_args()
    motions = list(readable(arguments.folder, arguments.amc_frame_rate))
    if not motions:
        sys.exit(f"No motion that can be read in {arguments.folder}.")
    rotations = torch.cat([motion.rotations for motion in motions])
    clips = np.repeat(np.arange(len(motions), dtype=np.int32), [len(motion.rotations) for motion in motions])
    kept = plausible_frames(rotations)
    np.savez(
        arguments.out,
        pose=torch.cat([motion.pose for motion in motions])[kept].numpy(),
        clip=clips[kept.numpy()],
        clip_names=np.array([motion.name for motion in motions]),
        frame_rate=np.array([motion.frame_rate for motion in motions], np.float32),
        translation=torch.cat([motion.translation for motion in motions])[kept].numpy(),
        weight=rarity_weights(rotations[kept], torch.Generator().manual_seed(0)).numpy(),
    )
    left_out = len(kept) - int(kept.sum())
    print(
        f"{len(motions)} clips, {int(kept.sum())} frames, {left_out} left out as no body's: {arguments.out}"
    )


if __name__ == "__main__":
    main()
