"""Make `assets/weights_finder.safetensors`: MoveNet Lightning's trunk, pyramid and person heads under our names.

    python tools/build_finder.py MOVENET.safetensors

MoveNet Lightning is Google's, Apache-2.0; the file given is its int8 TFLite model, dequantised, with batch norm folded.
"""

import argparse
from pathlib import Path

from humanmesh.files.checkpoints import load_movenet
from humanmesh.files.finders import save_finder
from humanmesh.network.encoder import build_encoder

ENCODER = "mobilenet_v2_fpn"
ASSET = Path(__file__).resolve().parents[1] / "src" / "humanmesh" / "assets" / "weights_finder.safetensors"
NOTES = {
    "source": "MoveNet Lightning (Google), https://www.kaggle.com/models/google/movenet, renamed to our layers",
    "licence": "Apache-2.0",
    "purpose": "finds people in a whole photo: centre, keypoint offsets, keypoint heat maps",
}


def main() -> None:
    """Convert the file given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("movenet", type=Path, help="movenet_lightning.safetensors")
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    encoder = build_encoder(ENCODER, person_heads=True)
    load_movenet(arguments.movenet, encoder)
    save_finder(arguments.out, ENCODER, encoder, NOTES)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
