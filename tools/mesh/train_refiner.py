#!/usr/bin/env python3
"""Trains the landmark refiner on the faces of `label_landmarks.py` and writes its weights file.

    python3 tools/mesh/train_refiner.py faces.npz --out refiner.safetensors [--steps 4000] [--seed 1]
    python3 tools/mesh/mesh_file.py refiner.safetensors --out include/retinaface/weights/default_refiner.hpp

What a detector's five points do to the crop is part of the augmentation: they are moved by a few percent of the face before they align it.
One face in twenty is kept out; its error is printed, as a share of the face's side, before and after (before: the mean shape's). PyTorch
1.13 or newer, NumPy, Pillow.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Dict

import numpy as np
import torch
from torch import Tensor, nn
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import refiner
from retinaface_weights import archive

EPSILON = 1e-5
POINT_NOISE = 0.045
"""Of the face's side: how far detected points lie from the truth, as a standard deviation of each coordinate."""
MIRRORED = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65])
"""Which landmark becomes which in a mirrored picture (iBUG's order)."""


class Thin(nn.Module):
    """Every second pixel: a strided depthwise convolution is one of stride 1 thinned out, and PyTorch's backward pass of the strided one
    in bfloat16 on a CPU is a plain loop."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    thinned = stride == 2 and groups > 1
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, 1 if thinned else stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out, EPSILON), nn.ReLU(True), Thin() if thinned else nn.Identity())


class Network(nn.Module):
    """[batch, 3, SIDE, SIDE] less MEAN -> [batch, 136] in units of OUTPUT_SCALE pixels from the mean shape."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        for name, kind, c_in, c_out, stride in refiner.LAYERS:
            if kind == "stem":
                self.convs[name] = conv(c_in, c_out, 3, stride)
            else:
                self.convs[f"{name}:depthwise"] = conv(c_in, c_in, 3, stride, c_in)
                self.convs[f"{name}:pointwise"] = conv(c_in, c_out, 1)
        self.fc = nn.Linear(49 * refiner.LAYERS[-1][3], 136)
        nn.init.zeros_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.convs.values():
            x = layer(x)
        # Channels last, as the library keeps maps.
        return self.fc(x.permute(0, 2, 3, 1).reshape(len(x), -1))


def folded(network: Network) -> Dict[str, np.ndarray]:
    """Tensors of the weights file: every BatchNorm in its convolution."""
    tensors = {}
    for key, (convolution, norm, _, _) in network.convs.items():
        factor = norm.weight.detach() / torch.sqrt(norm.running_var + EPSILON)
        name = key.replace(":", ".")
        tensors[f"{name}.weight"] = (convolution.weight.detach() * factor.reshape(-1, 1, 1, 1)).numpy()
        tensors[f"{name}.bias"] = (norm.bias.detach() - norm.running_mean * factor).numpy()
    tensors["fc.weight"], tensors["fc.bias"] = network.fc.weight.detach().numpy(), network.fc.bias.detach().numpy()
    return tensors


def alignments(five: Tensor) -> Tensor:
    """The similarities [batch, 2, 3] that take five points to the template of SIDE."""
    target = torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(refiner.TEMPLATE)).float())
    source = torch.view_as_complex(five.contiguous())
    a, b = source - source.mean(1, keepdim=True), target - target.mean()
    turn = (a.conj() * b).sum(1) / (a.abs() ** 2).sum(1)
    shift = target.mean() - turn * source.mean(1)
    return torch.stack([torch.stack([turn.real, -turn.imag, shift.real], 1), torch.stack([turn.imag, turn.real, shift.imag], 1)], 1)


def place(transforms: Tensor, points: Tensor) -> Tensor:
    return points @ transforms[:, :, :2].transpose(1, 2) + transforms[:, None, :, 2]


def sample(crops: Tensor, transforms: Tensor) -> Tensor:
    """Crops [batch, 3, STORED, STORED] seen through transforms to SIDE."""
    linear = torch.linalg.inv(transforms[:, :, :2])
    shift = -(linear @ transforms[:, :, 2:])
    # grid_sample's coordinates: -1 .. 1 over the stored crop's pixels' edges.
    centre = refiner.SIDE / 2
    middle = (linear.sum(2, keepdim=True) * centre + shift) / (refiner.STORED / 2) - 1
    theta = torch.cat([linear * (refiner.SIDE / refiner.STORED), middle], 2)
    grid = F.affine_grid(theta, [len(crops), 3, refiner.SIDE, refiner.SIDE], align_corners=False)
    return F.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def degrade(x: Tensor, random: torch.Generator) -> Tensor:
    """Colour, contrast, low resolution, noise; of a batch in 0 .. 255."""
    n = len(x)
    uniform = lambda low, high: low + (high - low) * torch.rand(n, 1, 1, 1, generator=random)  # noqa: E731
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(torch.rand(n, 1, 1, 1, generator=random) < 0.15, torch.zeros(()), uniform(0.5, 1.4))
    x = grey + (x - grey) * saturation
    x = x * (1 + 0.12 * (2 * torch.rand(n, 3, 1, 1, generator=random) - 1))
    x = (x - 128) * uniform(0.55, 1.4) + 128 + uniform(-45, 45)
    side = int(refiner.SIDE * math.exp(-1.4 * float(torch.rand((), generator=random)) ** 2))
    if side < refiner.SIDE:
        part = n // 2
        small = F.interpolate(x[:part], size=(side, side), mode="area")
        x = torch.cat([F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False), x[part:]])
    x = x + uniform(0, 8) * torch.randn(x.shape, generator=random)
    # Something in front of some faces.
    for i in range(0, n, 6):
        w, h = (int(v) for v in torch.randint(15, 45, (2,), generator=random))
        left, top = (int(v) for v in torch.randint(0, refiner.SIDE - 15, (2,), generator=random))
        x[i, :, top : top + h, left : left + w] = 255 * torch.rand(3, 1, 1, generator=random)
    return x.clamp(0, 255)


def errors(network: Network, crops: Tensor, five: Tensor, points: Tensor, mean_shape: Tensor, seed: int) -> tuple:
    """Mean error over 68 and the inner 51, and the mean shape's over 68, in percent of the face's side, with points moved as a
    detector's are."""
    random = torch.Generator().manual_seed(seed)
    side = torch.linalg.norm(points.amax(1) - points.amin(1), dim=1, keepdim=True) / math.sqrt(2)
    noisy = five + POINT_NOISE * side[:, :, None] * torch.randn(five.shape, generator=random)
    transforms = alignments(noisy)
    truth = place(transforms, points)
    network.eval()
    with torch.no_grad():
        found = torch.cat([network(sample(crops[i : i + 64].float(), transforms[i : i + 64]) - refiner.MEAN)
                           for i in range(0, len(crops), 64)])
    network.train()
    found = mean_shape + refiner.OUTPUT_SCALE * found.reshape(-1, 68, 2)
    scale = torch.linalg.norm(transforms[:, 0, :2], dim=1)[:, None] * side
    each = torch.linalg.norm(found - truth, dim=2) / scale
    before = torch.linalg.norm(mean_shape - truth, dim=2) / scale
    return tuple(100 * float(e.mean()) for e in (each, each[:, 17:], before))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--version", default="1.0.0")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    random = torch.Generator().manual_seed(options.seed)

    content = np.load(options.faces)
    crops = torch.from_numpy(content["crops"]).permute(0, 3, 1, 2)
    five, points = (torch.from_numpy(content[name]) for name in ("five", "points"))
    out = torch.arange(len(crops)) % 20 == 7
    held = [v[out] for v in (crops, five, points)]
    crops, five, points = crops[~out], five[~out], points[~out]
    mean_shape = place(alignments(five), points).mean(0)
    mean_shape = (mean_shape + torch.tensor([-1.0, 1.0]) * mean_shape[MIRRORED] + torch.tensor([refiner.SIDE, 0.0])) / 2
    # A face's side is that of its landmarks' box.
    side = torch.linalg.norm(points.amax(1) - points.amin(1), dim=1)[:, None, None] / math.sqrt(2)

    print(f"{len(crops)} faces; {refiner.multiply_adds():,} multiply-adds a crop", flush=True)
    network = Network().to(memory_format=torch.channels_last).train()
    ema = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = [{"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.02},
                  {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(parameters, lr=options.rate)
    began, total = time.monotonic(), 0.0
    for step in range(options.steps):
        progress = step / options.steps
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1, progress / 0.03 + 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        chosen = torch.randint(len(crops), (options.batch,), generator=random)
        noisy = five[chosen] + POINT_NOISE * side[chosen] * torch.randn(options.batch, 5, 2, generator=random)
        transforms = alignments(noisy)
        # Turned and scaled a little more, about the middle.
        angle = 0.12 * torch.randn(options.batch, generator=random)
        scale = torch.exp(0.06 * torch.randn(options.batch, generator=random))
        turn = torch.stack([torch.stack([scale * angle.cos(), -scale * angle.sin()], 1),
                            torch.stack([scale * angle.sin(), scale * angle.cos()], 1)], 1)
        centre = torch.full((2, 1), refiner.SIDE / 2)
        transforms = torch.cat([turn @ transforms[:, :, :2], turn @ (transforms[:, :, 2:] - centre) + centre], 2)
        x, truth = sample(crops[chosen].float(), transforms), place(transforms, points[chosen])
        mirror = torch.rand(options.batch, generator=random) < 0.5
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        flipped = torch.tensor([refiner.SIDE, 0.0]) + torch.tensor([-1.0, 1.0]) * truth[:, MIRRORED]
        truth = torch.where(mirror[:, None, None], flipped, truth)
        x = (degrade(x, random) - refiner.MEAN).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(x)
        loss = F.smooth_l1_loss(found.float(), ((truth - mean_shape) / refiner.OUTPUT_SCALE).reshape(-1, 136), beta=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        decay = min(0.998, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                ema[name].mul_(decay).add_(value, alpha=1 - decay)
        total += loss.item()
        if (step + 1) % 200 == 0 or step + 1 == options.steps:
            spent = time.monotonic() - began
            text = f"step {step + 1}  loss {total / 200:.4f}  {spent:.0f} s, {spent / (step + 1) * (options.steps - step - 1):.0f} s left"
            total = 0.0
            if (step + 1) % 1000 == 0 or step + 1 == options.steps:
                trial = Network()
                trial.load_state_dict(ema)
                text += "  kept out: 68 %.2f %%, inner 51 %.2f %% (mean shape %.2f %%)" % errors(trial, *held, mean_shape, 1)
            print(text, flush=True)

    network.load_state_dict(ema)
    tensors = {name: value.astype(np.float16) for name, value in folded(network.eval()).items()}
    tensors["mean"] = mean_shape.numpy().astype(np.float32)
    metadata = {"format": archive.REFINER_FORMAT, "architecture": "landmarks68", "version": options.version,
                "source": "trained by tools/mesh/train_refiner.py on photographs; landmarks taught by MediaPipe Face Mesh (Apache-2.0)",
                "licence": "MIT"}
    options.out.write_bytes(archive.dump(archive.Archive(metadata, tensors)))
    print(f"wrote {options.out}: {sum(v.size for v in tensors.values()):,} numbers, {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
