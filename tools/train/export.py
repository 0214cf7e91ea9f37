"""Exports a training checkpoint: a plain state dict (`.pth`) and, through the converter, a weights file.

    python export.py runs/main/final.pth -o weights.safetensors --version 1.0 --source "..." --licence "..."

Of several checkpoints that came from one another by training, the mean is exported (`--shares`: weighted). Options this script does not know are handed to `convert_weights.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
    checkpoints: Sequence[str | Path], destination: str | Path, half_score: float = 0.5,
    shares: Sequence[float] | None = None,
) -> None:
    """Writes the detector's float32 state dict, names as in the original PyTorch code, without training state.

    Of several checkpoints the mean (see `load_mean`). `half_score`: what this score means becomes 0.5 (see `calibrate`).
    """
    state = load_mean(checkpoints, shares).state_dict()
    calibrate(state, half_score)
    torch.save({name: value.contiguous().clone() for name, value in state.items()}, destination)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is the converter's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of several, the mean")
    parser.add_argument("--shares", type=float, nargs="+", help="their shares in the mean (default: equal)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--half-score", type=float, default=0.5, help="detections with this score get 0.5")
    options, rest = parser.parse_known_args(arguments)
    if options.shares is not None and len(options.shares) != len(options.checkpoints):
        parser.error("--shares has a number for every checkpoint")
    state = options.output.with_suffix(".pth")
    export_state(options.checkpoints, state, options.half_score, options.shares)
    print(f"wrote {state}")
    return subprocess.run([sys.executable, str(CONVERTER), str(state), "-o", str(options.output), *rest]).returncode


if __name__ == "__main__":
    sys.exit(main())
