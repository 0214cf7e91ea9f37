"""Exports a training checkpoint: a plain state dict (`.pth`) and, through the converter, a weights file.

    python export.py runs/main/final.pth weights.safetensors --version 1.0 --source "..." --licence "..."

Options this script does not know are handed to `convert_weights.py`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
import subprocess
import sys

import torch
from torch import Tensor

from model import load_mean

CONVERTER = Path(__file__).resolve().parent.parent / "convert_weights.py"


FIXED_SCORE = 0.02
"""The score that calibration leaves as it is: the evaluation threshold, so that the AP does not change."""


def calibrate(state: dict[str, Tensor], score: float) -> None:
    """Rescales the class heads, in place, so that what scored `score` scores 0.5 (Platt scaling).

    The margin (face less background logit) z becomes (z - c) * t with c the margin of `score` and t such that
    `FIXED_SCORE` maps to itself. The order of detections, and so the AP, is unchanged. Training weighs hard negatives
    and positives in a way that makes scores too high for a default threshold of 0.5 to be a good one.
    """
    shift = math.log(score / (1 - score))
    fixed = math.log(FIXED_SCORE / (1 - FIXED_SCORE))
    slope = fixed / (fixed - shift)
    for level in range(3):
        head = f"ClassHead.{level}.conv1x1."
        state[head + "weight"] *= slope
        bias = state[head + "bias"]
        bias *= slope
        bias[0::2] += shift * slope / 2
        bias[1::2] -= shift * slope / 2


def export_state(
    checkpoint: str | Path, destination: str | Path, half_score: float = 0.5, other: str | Path | None = None,
    other_share: float = 0.5,
) -> None:
    """Writes the detector's float32 state dict, names as in the original PyTorch code, without training state.

    `half_score`: what this score means becomes 0.5 (see `calibrate`). With `other`, an earlier checkpoint that training
    came through, every value is the mean of both.
    """
    paths, shares = [str(checkpoint)], [1.0]
    if other is not None:
        paths, shares = [*paths, str(other)], [1 - other_share, other_share]
    state = load_mean(paths, shares).state_dict()
    calibrate(state, half_score)
    torch.save({name: value.contiguous().clone() for name, value in state.items()}, destination)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is the converter's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path, help="weights file to write (.safetensors)")
    parser.add_argument("--half-score", type=float, default=0.5, help="detections with this score get 0.5")
    parser.add_argument("--mean-with", type=Path, help="an earlier checkpoint of the same training, to take the mean with")
    parser.add_argument("--mean-share", type=float, default=0.5, help="its share in the mean")
    options, rest = parser.parse_known_args(arguments)
    state = options.output.with_suffix(".pth")
    export_state(options.checkpoint, state, options.half_score, options.mean_with, options.mean_share)
    print(f"wrote {state}")
    return subprocess.run([sys.executable, str(CONVERTER), str(state), "-o", str(options.output), *rest]).returncode


if __name__ == "__main__":
    sys.exit(main())
