#!/usr/bin/env python3
"""Deformable convolutions by torchvision, for the kernels' test and for timing.

    deform_conv.py -o tests/data/golden_deform_conv.safetensors     cases of every kind, small
    deform_conv.py --time                                           milliseconds at 256 channels, 80 x 80, one thread

Case I has `I.src` [H, W, C], `I.weight` [C_out, C, K, K], `I.bias`, `I.offsets` [H', W', 2 K^2 or 3 K^2] (dy, dx of each
tap, then a logit of each tap, which counts 2 * sigmoid(logit) times), `I.out` [H', W', C_out], computed in float64.
Needs torch, torchvision and numpy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch
from heavy_networks import write_safetensors
from torchvision.ops import deform_conv2d

# height, width, channels in, channels out, kernel, stride, version
CASES = (
    (5, 7, 8, 8, 1, 1, 1), (5, 7, 8, 8, 1, 2, 2), (6, 5, 8, 16, 3, 1, 1), (6, 5, 16, 8, 3, 1, 2), (7, 8, 8, 8, 3, 2, 1),
    (7, 8, 24, 8, 3, 2, 2), (8, 6, 8, 8, 5, 1, 1), (8, 6, 8, 8, 5, 2, 2), (1, 1, 8, 8, 3, 1, 2), (3, 4, 64, 24, 3, 1, 2),
    (2, 3, 256, 16, 3, 1, 2),
)  # fmt: skip


def make(case: Tuple[int, ...], seed: int) -> Dict[str, np.ndarray]:
    height, width, c_in, c_out, kernel, stride, version = case
    random = np.random.RandomState(seed)
    rows, columns = -(-height // stride), -(-width // stride)
    taps = kernel * kernel
    offsets = random.uniform(-6, 6, (rows, columns, (version + 1) * taps))
    # Some positions on pixels, some on the lines just outside the map.
    snap = random.uniform(size=offsets.shape) < 0.2
    offsets[snap] = np.round(offsets[snap])
    return {
        "src": random.uniform(-1, 1, (height, width, c_in)).astype(np.float32),
        "weight": random.uniform(-1, 1, (c_out, c_in, kernel, kernel)).astype(np.float32),
        "bias": random.uniform(-1, 1, c_out).astype(np.float32),
        "offsets": offsets.astype(np.float32),
    }


def run(values: Dict[str, np.ndarray], kernel: int, stride: int, dtype: torch.dtype) -> torch.Tensor:
    tensors = {name: torch.from_numpy(value).to(dtype) for name, value in values.items()}
    taps = kernel * kernel
    steering = tensors["offsets"].permute(2, 0, 1)[None]
    mask = 2 * torch.sigmoid(steering[:, 2 * taps :]) if steering.shape[1] == 3 * taps else None
    return deform_conv2d(
        tensors["src"].permute(2, 0, 1)[None].contiguous(), steering[:, : 2 * taps].contiguous(), tensors["weight"],
        tensors["bias"], stride, kernel // 2, 1, mask,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--time", action="store_true")
    args = parser.parse_args()
    if args.time:
        torch.set_num_threads(1)
        values = make((80, 80, 256, 256, 3, 1, 2), 1)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            run(values, 3, 1, torch.float32)
            best = min(best, time.perf_counter() - start)
        print(f"torchvision, deformable v2, 80 x 80, 256 -> 256, one thread: {best * 1e3:.1f} ms")
    if args.output is not None:
        tensors: Dict[str, np.ndarray] = {}
        for index, case in enumerate(CASES):
            values = make(case, index)
            out = run(values, case[4], case[5], torch.float64)[0].permute(1, 2, 0)
            for name, value in {**values, "out": np.ascontiguousarray(out.numpy().astype(np.float32))}.items():
                tensors[f"{index}.{name}"] = value
        write_safetensors(args.output, {"cases": str(len(CASES)), "tool": "tools/oracle/deform_conv.py"}, tensors)


if __name__ == "__main__":
    main()
