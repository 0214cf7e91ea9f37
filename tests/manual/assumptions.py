#!/usr/bin/env python3
"""What a state dict does not say: AP of networks converted without being told, and told (../shared, House AP on data/val).

Three networks: the official one; the same one as if it had been trained on R, G, B less (104, 117, 123), that is with its first convolution
and BatchNorm rewritten for such an input; Face-Detector-1MB-with-landmark (ReLU, anchors 10, 20 / 32, 64 / 128, 256).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "cli"), str(ROOT / "tests" / "python")]
from checkpoints import legacy_file  # noqa: E402
from conftest import SHARED, command  # noqa: E402
from retinaface_weights import torch_file  # noqa: E402

BGR_MEAN, RGB_MEAN = (104.0, 117.0, 123.0), (104.0, 117.0, 123.0)  # each in its own order of channels
RGB = ["--channels", "rgb", "--mean", "104,117,123"]


def trained_on_rgb(state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """The same function of a picture, of R, G, B less RGB_MEAN instead of B, G, R less BGR_MEAN (but for the zeros that are padded)."""
    state = dict(state)
    ends = ("stage1.0.0.weight", "stage1.0.1.running_mean")
    weight, mean = (next(name for name in state if name.endswith(end)) for end in ends)
    state[weight] = np.ascontiguousarray(state[weight][:, ::-1])
    # The old network read R - 123, G - 117, B - 104; what the new one reads is larger by 19, 0, -19.
    more = np.array(BGR_MEAN[::-1]) - np.array(RGB_MEAN)
    state[mean] = state[mean] + np.einsum("oikl,i->o", state[weight], more).astype(np.float32)
    return state


def convert_and_evaluate(source: Path, options: List[str], model: Path) -> Tuple[str, float]:
    """What the converter remarks, and the AP of what it makes."""
    converter = [sys.executable, str(ROOT / "tools" / "convert_weights.py"), str(source), *options, "-o", str(model), "--quiet"]
    told = subprocess.run(converter, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, text=True).stderr.strip()
    data = ["--images", str(SHARED / "data" / "val.tar"), "--truth", str(SHARED / "data" / "val.jsonl"), "--json", "-"]
    evaluator = [*command("RETINAFACE_CLI", "bin/retinaface"), "evaluate", "faces", "--model", str(model), *data]
    done = subprocess.run(evaluator, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    figures = json.loads(done.stdout)["figures"]
    return told, next(row["value"] for row in figures if row["figure"] == "AP@.5" and row["faces"] == "all")


def main() -> None:
    tensors, _ = torch_file.read_state_dict((SHARED / "weights" / "biubug6_mobilenet0.25_Final.pth").read_bytes())
    official = {name: tensor.values() for name, tensor in tensors.items()}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "official.pth").write_bytes(legacy_file(official))
        (work / "rgb.pth").write_bytes(legacy_file(trained_on_rgb(official)))
        slim = SHARED / "faults" / "weights" / "face_detector_1mb.pth"
        rows: List[Tuple[str, Path, List[str], float]] = [
            ("official", work / "official.pth", [], 0.83),
            ("trained on RGB", work / "rgb.pth", [], 0.0),
            ("trained on RGB", work / "rgb.pth", RGB, 0.825),
            ("face-detector-1mb", slim, [], 0.0),
            ("face-detector-1mb", slim, ["--profile", "face-detector-1mb"], 0.825),
        ]
        failed = False
        for title, source, options, least in rows:
            told, ap = convert_and_evaluate(source, options, work / "model.safetensors")
            failed |= ap < least
            print(f"{title:18} {' '.join(options) or 'told nothing':38} AP {ap:.4f}   {told or 'no remark'}", flush=True)
    if failed:
        sys.exit("an AP is lower than it should be")


if __name__ == "__main__":
    main()
