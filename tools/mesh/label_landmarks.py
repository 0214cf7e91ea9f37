#!/usr/bin/env python3
"""Cuts faces out of photographs and labels them with MediaPipe Face Mesh's 68 landmarks (mediapipe==0.10.14, Apache-2.0), for `train_refiner.py`.

    python3 tools/mesh/label_landmarks.py DATA/train DATA/crowds --out faces.npz [--least 40]

DATA/NAME.tar holds the photographs, DATA/NAME.teacher.jsonl the faces (score, box, five points; tools/train/README.md). Every face of score
>= 0.8 and at least --least pixels is given to MediaPipe with a margin; one whose five points are more than 12 % of sqrt(box) from MediaPipe's
is left out, as one of the two is wrong. `faces.npz`: crops [n, S, S, 3] uint8, aligned by the teacher's five points with room for
augmentation (`refiner.align`), `points` [n, 68, 2] and `five` [n, 5, 2] in pixels of the crop.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from face_mesh import FaceMesh, five_of  # noqa: E402
import refiner  # noqa: E402

FARTHEST = 0.12
"""Of sqrt(box): how far the five points may lie from MediaPipe's, on average."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", type=Path, help="DATA/train: DATA/train.tar and DATA/train.teacher.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least", type=float, default=40, help="smallest side of a face, pixels")
    arguments = parser.parse_args()
    face_mesh = FaceMesh()
    crops, all_points, all_five, missed, apart = [], [], [], 0, 0
    for collection in arguments.collections:
        faces = {}
        for line in Path(f"{collection}.teacher.jsonl").read_text().splitlines():
            row = json.loads(line)
            faces[row["file"]] = row["faces"]
        with tarfile.open(f"{collection}.tar") as archive:
            for member in archive:
                picture = None
                for face in faces.get(member.name, []):
                    score, x1, y1, x2, y2 = face[:5]
                    size = (max(x2 - x1, 0) * max(y2 - y1, 0)) ** 0.5
                    if score < 0.8 or min(x2 - x1, y2 - y1) < arguments.least:
                        continue
                    if picture is None:
                        picture = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
                    points = face_mesh.points(picture, face[1:5])
                    if points is None:
                        missed += 1
                        continue
                    points = points[:, :2]
                    five = np.array(face[5:15]).reshape(5, 2)
                    if np.linalg.norm(five_of(points) - five, axis=1).mean() > FARTHEST * size:
                        apart += 1
                        continue
                    to_crop = refiner.align(five, refiner.STORED)
                    crops.append(refiner.warp(picture, to_crop, refiner.STORED))
                    all_points.append(refiner.moved(to_crop, points))
                    all_five.append(refiner.moved(to_crop, five))
        print(f"{collection}: {len(crops)} faces so far, {missed} not found by MediaPipe, {apart} too far from it", flush=True)
    np.savez(arguments.out, crops=np.array(crops), points=np.array(all_points, np.float32), five=np.array(all_five, np.float32))


if __name__ == "__main__":
    main()
