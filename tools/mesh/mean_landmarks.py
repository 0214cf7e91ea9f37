#!/usr/bin/env python3
"""Prints the shipped mean mesh's 68 landmarks as JSON, [[x, y, z] x 68] in centimetres.

    python3 tools/mesh/mean_landmarks.py --library build/release/lib/retinaface_mesh_python.so
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import seeded
from raster import Library
from retinaface_weights import archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    data = seeded.shipped_file()
    mesh = Library(parser.parse_args().library).decode(data, np.zeros((1, 128), np.float32))[0]
    landmarks = np.ascontiguousarray(archive.load(data).tensors["landmarks68.indices"]).view("<u2")[:, 0]
    print(json.dumps(mesh[landmarks, :3].tolist()))


if __name__ == "__main__":
    main()
