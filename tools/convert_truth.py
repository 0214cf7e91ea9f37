#!/usr/bin/env python3
"""Turns the MATLAB files of data sets into the text that `retinaface evaluate` reads without libmatio.

    convert_truth.py wider DIR        wider_face_val_bbx_gt.txt and wider_{easy,medium,hard}_val.txt beside the .mat files of DIR
    convert_truth.py aflw2000 DIR     JSON lines of the .mat files of DIR on standard output

Needs SciPy. docs/evaluation.md defines the formats.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any, Iterator, List, Tuple

import numpy as np
from scipy.io import loadmat


def photographs(truth: Any) -> Iterator[Tuple[int, int, str]]:
    """Indices of event and picture, and EVENT/NAME.jpg, in the order of the file."""
    for e, event in enumerate(truth["event_list"].ravel()):
        for i, name in enumerate(truth["file_list"].ravel()[e].ravel()):
            yield e, i, f"{event[0]}/{name[0]}.jpg"


def convert_wider(folder: Path, split: str = "val") -> List[Path]:
    """Writes the text forms of one split; returns their paths. An official text file that is there stays."""
    truth = loadmat(folder / f"wider_face_{split}.mat")
    written = []
    boxes = folder / f"wider_face_{split}_bbx_gt.txt"
    if not boxes.exists():
        lines = []
        for e, i, name in photographs(truth):
            found = np.asarray(truth["face_bbx_list"].ravel()[e].ravel()[i]).reshape(-1, 4)
            # Attributes are unknown here: blur, expression, illumination, invalid, occlusion, pose.
            lines += [name, str(len(found)), *(" ".join(f"{v:.17g}" for v in box) + " 0 0 0 0 0 0" for box in found)]
            if not len(found):
                lines.append("0 0 0 0 0 0 0 0 0 0")
        boxes.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(boxes)
    for name in ("easy", "medium", "hard"):
        source = folder / f"wider_{name}_{split}.mat"
        if not source.exists():
            continue
        wanted = loadmat(source)["gt_list"].ravel()
        lines = []
        for e, i, picture in photographs(truth):
            indices = np.asarray(wanted[e].ravel()[i]).ravel().astype(int)
            lines += [picture, str(len(indices)), *map(str, indices)]
        path = source.with_suffix(".txt")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(path)
    return written


def convert_aflw2000(folder: Path) -> Iterator[str]:
    """A JSON line a .mat file: points [68][3], pose in degrees."""
    for path in sorted(folder.glob("*.mat")):
        face = loadmat(path)
        pose = np.degrees(face["Pose_Para"].ravel()[:3])
        yield json.dumps({"file": path.stem, "points": face["pt3d_68"].T.tolist(), "pose": pose.tolist()})


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("wider", "aflw2000"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if options.set == "wider":
        splits = [split for split in ("val", "train") if (options.folder / f"wider_face_{split}.mat").exists()]
        if not splits:
            parser.error(f"{options.folder}: expected wider_face_val.mat or wider_face_train.mat, found neither")
        for split in splits:
            print(*convert_wider(options.folder, split), sep="\n")
    else:
        lines = list(convert_aflw2000(options.folder))
        if not lines:
            parser.error(f"{options.folder}: expected .mat files, found none")
        print(*lines, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
