#!/usr/bin/env python3
"""Landmarks and poses of `retinaface mesh` beside MediaPipe Face Mesh's (mediapipe==0.10.14, Apache-2.0): a yardstick, not a truth.

    build/release/bin/retinaface mesh --json meshes.jsonl DIRECTORY
    python3 tools/mesh/mean_landmarks.py --library build/release/lib/retinaface_mesh_python.so > mean.json
    python3 tools/mesh/compare_mediapipe.py meshes.jsonl --mean mean.json [--least 64]

Every face of score >= 0.8 and at least --least pixels is cut out with a margin and given to MediaPipe; faces it does not find are left
out, and those of which it finds a neighbour (a nose outside the detector's box): with these in, a few of them would be a quarter of every mean. Its 68 iBUG points are the customary choice out of its 468. Printed: mean distance in x and y over sqrt(box), over 68 points and over
the inner 51, by the face's size too, and means and medians of the absolute differences of the poses, where MediaPipe's is the rotation that takes the mean mesh's
landmarks onto its points (least squares); then the same after the median difference of each angle, the offset of the convention.
What the five points allow is printed beside it: how far the detector's lie from MediaPipe's, and the inner 51 after the similarity in the
image that suits them best.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent))
from face_mesh import FaceMesh, five_of  # noqa: E402


def rotation_onto(model: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The rotation of the similarity from model [68, 3] to points [68, 3] (Kabsch)."""
    u, _, v = np.linalg.svd((points - points.mean(0)).T @ (model - model.mean(0)))
    return u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v


def left_by_similarity(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean distance in x and y after the best similarity in the image."""
    a, b = ((points[:, :2] - points[:, :2].mean(0)) @ [1, 1j] for points in (ours, theirs))
    return float(np.abs(np.vdot(a, b) / np.vdot(a, a) * a - b).mean())


def pose(r: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll as include/retinaface/mesh/pose.hpp defines them."""
    return np.degrees([np.arcsin(np.clip(-r[2, 0], -1, 1)), -np.arctan2(r[2, 1], r[2, 2]), -np.arctan2(r[1, 0], r[0, 0])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meshes", type=Path)
    parser.add_argument("--least", type=float, default=64, help="smallest side of a face, pixels")
    parser.add_argument("--mean", type=Path, required=True, help="the mean mesh's 68 landmarks (mean_landmarks.py)")
    arguments = parser.parse_args()
    mean = np.array(json.loads(arguments.mean.read_text()))
    face_mesh = FaceMesh()
    errors, poses, five, similar, sides, missed, others = [], [], [], [], [], 0, 0
    for line in arguments.meshes.read_text().splitlines():
        row = json.loads(line)
        picture = None
        for face in row.get("faces", []):
            x1, y1, x2, y2 = face["box"]
            size = (max(x2 - x1, 0) * max(y2 - y1, 0)) ** 0.5
            if face["score"] < 0.8 or min(x2 - x1, y2 - y1) < arguments.least or "landmarks68" not in face:
                continue
            if picture is None:
                picture = ImageOps.exif_transpose(Image.open(row["file"])).convert("RGB")
            points = face_mesh.points(picture, face["box"])
            if points is None:
                missed += 1
                continue
            if not (x1 <= points[30][0] <= x2 and y1 <= points[30][1] <= y2):
                others += 1
                continue
            ours = np.array(face["landmarks68"])
            sides.append(size)
            errors.append(np.linalg.norm(ours[:, :2] - points[:, :2], axis=1) / size)
            five.append(np.linalg.norm(np.array(face["landmarks"]) - five_of(points[:, :2]), axis=1).mean() / size)
            similar.append(left_by_similarity(ours[17:], points[17:]) / size)
            theirs = pose(rotation_onto(mean, points * [1, -1, -1]))
            poses.append([face["pose"][name] - other for name, other in zip(("yaw", "pitch", "roll"), theirs)])
    each, differences, sides = np.array(errors), np.array(poses), np.array(sides)
    print(f"{len(each)} faces; MediaPipe does not find {missed} more, and finds another in place of {others}")
    print(f"68 points {100 * each.mean():.2f} %, inner 51 {100 * each[:, 17:].mean():.2f} % of sqrt(box)")
    for low, high in ((48, 64), (64, 96), (96, 160), (160, 10000)):
        inside = (sides >= low) & (sides < high)
        if inside.any():
            print(f"  sqrt(box) of {low} to {high} pixels ({inside.sum()}): {100 * each[inside].mean():.2f} %, "
                  f"{100 * each[inside][:, 17:].mean():.2f} %")
    print(f"the detector's five points {100 * np.mean(five):.2f} %, inner 51 after the best similarity {100 * np.mean(similar):.2f} %")
    print("pose, means of |difference|: yaw %.1f, pitch %.1f, roll %.1f degrees" % tuple(np.mean(np.abs(differences), 0)))
    print("pose, medians of |difference|: yaw %.1f, pitch %.1f, roll %.1f degrees" % tuple(np.median(np.abs(differences), 0)))
    offset = np.median(differences, 0)
    print("offsets: yaw %.1f, pitch %.1f, roll %.1f; medians without them: " % tuple(offset), end="")
    print("yaw %.1f, pitch %.1f, roll %.1f" % tuple(np.median(np.abs(differences - offset), 0)))


if __name__ == "__main__":
    main()
