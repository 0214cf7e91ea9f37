"""Exports a training checkpoint: a plain state dict (`.pth`) and, through the converter, a weights file.

    python export.py runs/main/final.pth weights.safetensors --version 1.0 --source "..." --licence "..."

Options this script does not know are handed to `convert_weights.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import subprocess
import sys

import torch

from model import load_detector

CONVERTER = Path(__file__).resolve().parent.parent / "convert_weights.py"


def export_state(checkpoint: str | Path, destination: str | Path) -> None:
    """Writes the detector's float32 state dict, names as in the original PyTorch code, without training state."""
    state = load_detector(str(checkpoint)).state_dict()
    torch.save({name: value.contiguous().clone() for name, value in state.items()}, destination)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is the converter's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path, help="weights file to write (.safetensors)")
    options, rest = parser.parse_known_args(arguments)
    state = options.output.with_suffix(".pth")
    export_state(options.checkpoint, state)
    print(f"wrote {state}")
    return subprocess.run([sys.executable, str(CONVERTER), str(state), "-o", str(options.output), *rest]).returncode


if __name__ == "__main__":
    sys.exit(main())
