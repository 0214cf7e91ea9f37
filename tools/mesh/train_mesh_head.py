#!/usr/bin/env python3
"""Gives a light detector's weights file a mesh head, trained on the faces of `label_landmarks.py`.

    python3 tools/mesh/train_mesh_head.py faces.npz --library build/release/lib/retinaface_mesh_python.so \\
        --weights weights/retinaface_mobilenet025.safetensors --version 0.12.0 --out detector.safetensors

The head is a 1 x 1 convolution a level on the features that the detector's other heads share; of the cell that found a face it says what the
mesh fitted to the face's five points lacks (`MeshCorrection`): 48 shape numbers, and a turn, scale and shift of the camera. The detector
stays as it is: its features are computed once, of the crops enlarged and shrunk to faces of 12 to 680 pixels, turned and mirrored, and the
head is fitted to them through the mesh model (whose 68 landmarks move linearly with the numbers) and the camera. One face in twenty is
kept out; what it was and is off by is printed, as a share of its box's side. PyTorch, NumPy.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tools" / folder) for folder in ("mesh", "train", "") if str(ROOT / "tools" / folder) not in sys.path]
import anchors as anchor_code
import model as detector
import refiner
import seeded
from anchors import STRIDES
from raster import Library
from retinaface_weights import archive, weights_file
from retinaface_weights.network import LEVELS, MESH_CAMERA, MESH_SHAPE, head_name
from train_refiner import MIRRORED

DISTANCE = 100.0
"""Centimetres, as MeshEstimator::kDistance."""
JAW = 17
JAW_WEIGHT = 0.3
"""The jaw's landmarks lie on the outline that is seen, wherever that is on the mesh."""
PRIOR = 5e-5
"""Of a shape number's square beside a landmark's distance over the box's side. A fifth of it brings landmarks 0.1 points closer, by heads
that no longer look like one."""
RATE = 2e-2
LEAST_SCORE = 0.3
CANVASES = ((256, 12, 190, 3.0), (800, 180, 680, 0.25))
"""Side of the picture, sides of its face from and to, how often each face is seen so."""


@dataclass
class Samples:
    features: np.ndarray  # [n, channels]
    level: np.ndarray  # [n]
    five: np.ndarray  # [n, 5, 2]: the detector's
    truth: np.ndarray  # [n, 68, 2]
    side: np.ndarray  # [n]: of the detector's box
    face: np.ndarray  # [n]: which face it is of


def placed(crop: Tensor, linear: np.ndarray, shift: np.ndarray, side: int) -> Tensor:
    """A crop [1, 3, S, S] seen through a similarity, which shrinks it to averages first."""
    stored = crop.shape[-1]
    smaller = max(8, min(stored, round(stored * float(np.sqrt(np.linalg.det(linear))))))
    crop = F.interpolate(crop, size=(smaller, smaller), mode="area")
    inverse = np.linalg.inv(linear)
    back = torch.from_numpy(np.concatenate([inverse, -(inverse @ shift)[:, None]], 1) * smaller / stored).float()
    # affine_grid's coordinates: -1 .. 1 over the edges.
    middle = (back[:, :2].sum(1) * side / 2 + back[:, 2]) / (smaller / 2) - 1
    theta = torch.cat([back[:, :2] * side / smaller, middle[:, None]], 1)[None]
    grid = F.affine_grid(theta, [1, 3, side, side], align_corners=False)
    return F.grid_sample(crop, grid, mode="bilinear", padding_mode="border", align_corners=False)


@torch.inference_mode()
def look(weights: Path, faces: Dict[str, np.ndarray], canvases: tuple, seed: int) -> Samples:
    """What the detector sees of the faces."""
    network = detector.load_weights_file(weights).eval()
    seen: Dict[str, Tensor] = {}
    names = [head_name(level, "class") for level in LEVELS]
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda _, inputs, __, name=name: seen.__setitem__(name, inputs[0]))
    crops, points = torch.from_numpy(faces["crops"]).permute(0, 3, 1, 2), faces["points"].astype(np.float64)
    sides = np.sqrt(np.square(np.ptp(points, axis=1)).sum(1) / 2)
    stored = crops.shape[-1]
    random = np.random.default_rng(seed)
    found: List[tuple] = []
    for canvas, low, high, times in canvases:
        anchors = anchor_code.make_anchors(canvas, canvas)
        cells = [math.ceil(canvas / stride) ** 2 for stride in STRIDES]
        count, began = round(times * len(crops)), time.monotonic()
        chosen = np.concatenate([random.permutation(len(crops)) for _ in range(math.ceil(times))])[:count]
        for begin in range(0, count, 16):
            index = chosen[begin : begin + 16]
            scale = np.exp(random.uniform(math.log(low), math.log(high), len(index))) / sides[index]
            angle = random.normal(0, 0.2, len(index))
            linear = scale[:, None, None] * np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
            middle = canvas / 2 + random.uniform(-12, 12, (len(index), 2))
            shift = middle - (linear @ np.full(2, stored / 2))
            mirrored = random.random(len(index)) < 0.5
            pictures = torch.cat([placed(crops[i : i + 1].float(), m, s, canvas) for i, m, s in zip(index, linear, shift)])
            truth = points[index] @ linear.transpose(0, 2, 1) + shift[:, None]
            pictures[mirrored] = pictures[mirrored].flip(3)
            truth[mirrored] = truth[mirrored][:, MIRRORED] * [-1, 1] + [canvas, 0]
            outputs = network(detector.prepare(pictures.round().permute(0, 2, 3, 1).byte(), network.profile))
            scores = outputs["class"].softmax(-1)[..., 1].numpy()
            for i, face in enumerate(index):
                best = int(scores[i].argmax())
                at = slice(best, best + 1)
                five = anchor_code.decode_landmarks(outputs["landmark"][i, at].numpy(), anchors[at]).reshape(5, 2)
                box = anchor_code.decode_boxes(outputs["box"][i, at].numpy(), anchors[at])[0]
                near = np.linalg.norm(five.mean(0) - truth[i, JAW:].mean(0)) < 0.3 * sides[face] * scale[i]
                if scores[i, best] < LEAST_SCORE or not near:
                    continue
                cell, level = best // 2, 0
                while cell >= cells[level]:
                    cell, level = cell - cells[level], level + 1
                width = math.ceil(canvas / STRIDES[level])
                features = seen[names[level]][i, :, cell // width, cell % width].numpy().copy()
                found.append((features, level, five, truth[i], math.sqrt(max(1.0, np.prod(box[2:] - box[:2]))), face))
        print(f"pictures of {canvas}: {count}, {time.monotonic() - began:.0f} s; {len(found)} faces found so far", flush=True)
    return Samples(*(np.array(column) for column in zip(*found)))


class Model:
    """The mesh model's 68 landmarks, and the camera that MeshEstimator fits."""

    def __init__(self, library: Library, samples: Samples) -> None:
        file = seeded.shipped_file()
        content = archive.load(file).tensors
        landmarks = np.ascontiguousarray(content["landmarks68.indices"]).view("<u2")[:, 0]
        latents = np.concatenate([np.zeros((1, 128)), 0.5 * np.eye(128)[:MESH_SHAPE]]).astype(np.float32)
        meshes = np.concatenate([library.decode(file, latents[i : i + 8])[:, landmarks, :3] for i in range(0, len(latents), 8)])
        centre = content["five.mean"].astype(np.float64).mean(0)
        self.mean = torch.from_numpy(meshes[0] - centre).float()
        self.basis = torch.from_numpy((meshes[1:] - meshes[0]) / 0.5).float().permute(1, 2, 0)  # [68, 3, MESH_SHAPE]
        # Scale and shift of the fit are what takes its model to where it was drawn.
        drawn, model, rotation = library.fit_five(file, samples.five)
        turned = (model - centre) @ rotation.transpose(0, 2, 1)
        scale = -(drawn[..., 2] * turned[..., 2]).sum(1) / np.square(turned[..., 2]).sum(1)
        pixels = scale[:, None] * DISTANCE / (DISTANCE - turned[..., 2])
        shift = drawn[..., :2] - pixels[..., None] * turned[..., :2] * [1, -1]
        if np.abs(shift - shift.mean(1, keepdims=True)).max() > 0.05 * scale.max():
            raise SystemExit("the library's fit is not the one that this tool knows")
        self.rotation, self.scale, self.shift = (torch.from_numpy(v).float() for v in (rotation, scale, shift.mean(1)))
        self.drawn = drawn[..., :2]

    def landmarks(self, chosen: Tensor, outputs: Tensor) -> Tensor:
        """[n, 68, 2] in pixels, as MeshEstimator corrects its fits."""
        shape, turn, scale, shift = outputs.split([MESH_SHAPE, 3, 1, 2], 1)
        zero = torch.zeros_like(turn[:, 0])
        cross = torch.stack([zero, -turn[:, 2], turn[:, 1], turn[:, 2], zero, -turn[:, 0], -turn[:, 1], turn[:, 0], zero], 1)
        rotation = torch.linalg.matrix_exp(cross.reshape(-1, 3, 3)) @ self.rotation[chosen]
        points = self.mean + torch.einsum("pck,nk->npc", self.basis, shape)
        turned = points @ rotation.transpose(1, 2)
        before = self.scale[chosen][:, None]
        pixels = before * scale.exp() * DISTANCE / (DISTANCE - turned[..., 2])
        return (self.shift[chosen] + before * shift)[:, None] + pixels[..., None] * turned[..., :2] * torch.tensor([1.0, -1.0])


def train(samples: Samples, model: Model, steps: int, seed: int) -> Dict[str, np.ndarray]:
    """The head's tensors. Prints what faces kept out are off by."""
    torch.manual_seed(seed)
    features, level = torch.from_numpy(samples.features).float(), torch.from_numpy(samples.level)
    truth, side = torch.from_numpy(samples.truth).float(), torch.from_numpy(samples.side).float()
    held = torch.from_numpy(samples.face % 20 == 7)
    learnt = torch.nonzero(~held)[:, 0]
    mean, spread = features[learnt].mean(0), features[learnt].std(0) + 1e-6
    features = (features - mean) / spread
    # A map that levels share, and what each has of its own.
    sizes = (len(LEVELS) + 1, features.shape[1] + 1, MESH_SHAPE + MESH_CAMERA)
    heads = torch.zeros(sizes, requires_grad=True)
    weight = torch.ones(68)
    weight[:JAW] = JAW_WEIGHT
    weight /= weight.mean()

    def outputs(chosen: Tensor) -> Tensor:
        x = torch.cat([features[chosen], torch.ones(len(chosen), 1)], 1)
        return x @ heads[0] + torch.einsum("ni,nio->no", x, heads[1:][level[chosen]])

    def distances(chosen: Tensor, found: Tensor) -> Tensor:
        return torch.linalg.norm(found - truth[chosen], dim=2) / side[chosen][:, None]

    optimizer = torch.optim.Adam([heads], lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        chosen = learnt[torch.randint(len(learnt), (1024,))]
        said = outputs(chosen)
        each = distances(chosen, model.landmarks(chosen, said))
        loss = (weight * each).mean() + PRIOR * said[:, :MESH_SHAPE].square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            with torch.no_grad():
                out = torch.nonzero(held)[:, 0]
                now = 100 * distances(out, model.landmarks(out, outputs(out)))
                was = 100 * distances(out, torch.from_numpy(model.drawn).float()[out])
                text = ", ".join(
                    f"{low} to {high} px ({int(inside.sum())}) {was[inside].mean():.2f} to {now[inside].mean():.2f}"
                    for low, high in ((0, 32), (32, 64), (64, 128), (128, 256), (256, 1000))
                    for inside in [(side[out] >= low) & (side[out] < high)])
                print(f"step {step + 1}  loss {loss.item():.5f}  kept out: 68 {was.mean():.2f} to {now.mean():.2f} %, "
                      f"inner 51 {was[:, JAW:].mean():.2f} to {now[:, JAW:].mean():.2f} %; {text}", flush=True)
    tensors = {}
    for i, number in enumerate(LEVELS):
        head = (heads[0] + heads[1 + i]).detach()
        linear = head[:-1] / spread[:, None]
        tensors[f"{head_name(number, 'mesh')}.weight"] = linear.T[:, :, None, None].numpy()
        tensors[f"{head_name(number, 'mesh')}.bias"] = (head[-1] - mean @ linear).numpy()
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the detector's weights file")
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--samples", type=Path, help="what the detector sees, kept in this file for the next run")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.samples is not None and options.samples.exists():
        content = np.load(options.samples)
        samples = Samples(*(content[name] for name in Samples.__dataclass_fields__))
    else:
        samples = look(options.weights, dict(np.load(options.faces)), CANVASES, options.seed)
        if options.samples is not None:
            np.savez(options.samples, **vars(samples))
    tensors = train(samples, Model(Library(options.library), samples), options.steps, options.seed)
    weights = weights_file.load(options.weights.read_bytes())
    weights.parameters.update(tensors)
    weights.version = options.version
    told = "mesh head taught by MediaPipe Face Mesh (Apache-2.0)"
    if told not in weights.source:
        weights.source += f"; {told}"
    options.out.write_bytes(weights_file.dump(weights, "f16"))
    print(f"wrote {options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
