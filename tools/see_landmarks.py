"""3D landmarks that BlazePose sees in packed people: a teacher of depth for photos that carry no 3D.

MediaPipe 0.10.14 carries its model (Apache-2.0) but needs an older NumPy than this project, hence an environment of its own:
`pip install mediapipe==0.10.14 "numpy<2"`, then `python tools/see_landmarks.py SHARDS/NAME-*.tar --out NAME.npz`.
`tools/label_depth.py` makes labels of what this writes.
"""

import argparse
import io
import os
import tarfile
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import mediapipe
import numpy as np
from PIL import Image

LANDMARKS = 33


def pictures(tar: Path) -> Iterator[np.ndarray]:
    """(S, S, 3) uint8 pictures of a shard, in order."""
    with tarfile.open(tar) as opened:
        for member in opened:
            if member.name.endswith(".jpg"):
                data = opened.extractfile(member)
                assert data is not None
                yield np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB"))


def seen(tar: Path) -> np.ndarray:
    """(people, 33, 6): metres x right, y down, z forward; pixels x, y; visibility. NaN where nobody was found."""
    rows = []
    with mediapipe.solutions.pose.Pose(
        static_image_mode=True, model_complexity=1, min_detection_confidence=0.3
    ) as pose:
        for picture in pictures(tar):
            found = pose.process(picture)
            if found.pose_world_landmarks is None:
                rows.append(np.full((LANDMARKS, 6), np.nan))
                continue
            height, width = picture.shape[:2]
            pairs = zip(found.pose_world_landmarks.landmark, found.pose_landmarks.landmark, strict=True)
            rows.append(
                [(w.x, w.y, w.z, p.x * width, p.y * height, w.visibility) for w, p in pairs],
            )
    return np.array(rows, np.float32)


def main() -> None:
    """See everybody in some shards of one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with Pool(os.cpu_count()) as workers:
        people = np.concatenate(workers.map(seen, sorted(arguments.shards), chunksize=1))
    np.savez_compressed(arguments.out, landmarks=people)
    found = np.isfinite(people[:, 0, 0]).sum()
    print(f"{found:,} of {len(people):,} people seen.")


if __name__ == "__main__":
    main()
