#!/usr/bin/env python3
"""Trains the mesh decoder on the morphable model and writes its weights file.

    python3 tools/mesh/train_decoder.py --model ict_facekit_head.npz --out mesh.safetensors [--steps 200] [--evaluate-only FILE]

Start: the 128 numbers are principal components (120 of shape, 8 of colour) of meshes as morphable.py samples them, the fully connected
layer the least-squares fit of those components by barycentric interpolation alone, the convolutions the identity with all ReLUs open;
then Adam on sampled meshes, all weights. One thread; the start needs minutes, a step about a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import mesh_file
import hierarchy as hierarchy_module
import morphable
from decoder import LATENT, Decoder

SHAPE, COLOUR = 120, 8
FACTORS, FILTERS = [4.0, 4.6], [16, 16]
COARSE_FILTERS = 6
# Holds every ReLU of the start open: centimetres and units of colour, far above any sampled offset.
OPEN = 16.0
# A unit of colour counts as this many centimetres.
COLOUR_SCALE = 2.0
UNSEEN_SEED = 20_000


class Components:
    """Means and principal components of shape and colour in the order of `source`, and the code of a mesh."""

    def __init__(self, model: morphable.Morphable, source: np.ndarray, seed: int = 1) -> None:
        self.model, self.source = model, source
        self.colours = morphable.Colours(model)
        random = np.random.default_rng(seed)
        identity, expression = morphable.sample_coefficients(model, 50_000, random)
        coefficients = np.concatenate([identity, expression], 1).astype(np.float64)
        self.coefficient_mean = coefficients.mean(0)
        covariance = np.cov(coefficients.T) + 1e-9 * np.eye(coefficients.shape[1])
        basis = np.concatenate([model.identity, model.expression])[:, source].reshape(len(covariance), -1).astype(np.float64)
        half = np.linalg.cholesky(covariance).T @ basis
        values, vectors = np.linalg.eigh(half @ half.T)
        # Rows: components times their standard deviations.
        self.shape_modes = (vectors.T @ half)[::-1].astype(np.float32)
        self.shape_variances = values[::-1].astype(np.float32)
        self.shape_mean = (model.neutral[source].reshape(-1) + self.coefficient_mean @ basis).astype(np.float32)
        colours = self.colours.sample(1500, random)[:, source].reshape(1500, -1)
        self.colour_mean = colours.mean(0)
        centred = colours - self.colour_mean
        gram_values, gram_vectors = np.linalg.eigh(centred @ centred.T / len(centred))
        modes = gram_vectors[:, ::-1][:, :COLOUR].T @ centred / len(centred) ** 0.5
        self.colour_variances = gram_values[::-1][:COLOUR]
        self.colour_modes = modes.astype(np.float32)

    def sample(self, count: int, random: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """Shapes and colours [count, n * 3]."""
        shapes = self.model.shapes(*morphable.sample_coefficients(self.model, count, random))[:, self.source]
        return shapes.reshape(count, -1), self.colours.sample(count, random)[:, self.source].reshape(count, -1)

    def encode(self, shapes: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Codes [count, 128]: unit variance each."""
        shape = (shapes - self.shape_mean) @ self.shape_modes[:SHAPE].T / self.shape_variances[:SHAPE]
        colour = (colours - self.colour_mean) @ self.colour_modes.T / self.colour_variances
        return np.concatenate([shape, colour], 1).astype(np.float32)

    def pca(self, shapes: np.ndarray, numbers: int) -> np.ndarray:
        """Shapes rebuilt from their first components."""
        modes = self.shape_modes[:numbers]
        return (shapes - self.shape_mean) @ modes.T / self.shape_variances[:numbers] @ modes + self.shape_mean


def start(decoder: Decoder, hierarchy: hierarchy_module.Hierarchy, components: Components) -> None:
    n = len(hierarchy.levels[0].vertices)
    interpolation = np.eye(decoder.coarse, dtype=np.float32)
    for matrix in reversed(hierarchy.upsample):
        interpolation = hierarchy_module.multiply(matrix, interpolation)
    shape = components.shape_modes[:SHAPE].reshape(SHAPE, n, 3)
    colour = components.colour_modes.reshape(COLOUR, n, 3)
    target = np.concatenate([shape, colour]).transpose(1, 0, 2).reshape(n, -1)
    normal = (interpolation.T @ interpolation).astype(np.float64)
    normal += 1e-7 * np.trace(normal) / len(normal) * np.eye(len(normal))
    fitted = np.linalg.solve(normal, interpolation.T @ target).reshape(decoder.coarse, LATENT, 3)
    weight = np.zeros((decoder.coarse, COARSE_FILTERS, LATENT), np.float32)
    weight[:, :3, :SHAPE] = fitted[:, :SHAPE].transpose(0, 2, 1)
    weight[:, 3:, SHAPE:] = fitted[:, SHAPE:].transpose(0, 2, 1)
    with torch.no_grad():
        decoder.fc_weight.copy_(torch.from_numpy(weight.reshape(-1, LATENT)))
        random = torch.Generator().manual_seed(7)
        for convolution in [*decoder.weights, decoder.last]:
            convolution.copy_(1e-3 * torch.randn(convolution.shape, generator=random))
            rows, columns = convolution.shape[1:]
            for channel in range(6):
                convolution[0, :, channel] = 0
                convolution[0, channel, channel] = 1
            # What the first six outputs do not use yet: smoothed copies, for training to pick up.
            for channel in range(6, columns):
                convolution[:, :, channel] *= 0
                convolution[1 + (channel // 6) % 2, channel % 6, channel] = -1
        decoder.last[1:] = 0
        decoder.last[0, 6:] = 0
        for bias in decoder.biases:
            bias.fill_(OPEN)
    recentre(decoder, components)


def recentre(decoder: Decoder, components: Components) -> None:
    """The mean, so that code 0 gives the mean mesh."""
    n = len(components.shape_mean) // 3
    mean = np.concatenate([components.shape_mean.reshape(n, 3), components.colour_mean.reshape(n, 3)], 1)
    with torch.no_grad():
        decoder.mean.zero_()
        decoder.mean.copy_(torch.from_numpy(mean.astype(np.float32)) - decoder(torch.zeros(1, LATENT))[:, 0])


def evaluate(decoder: Decoder, components: Components, count: int = 100) -> Dict[str, float]:
    """Mean vertex errors in mm and mean colour error (0..255) on meshes that training has not seen."""
    shapes, colours = components.sample(count, np.random.default_rng(UNSEEN_SEED))
    codes = torch.from_numpy(components.encode(shapes, colours))
    with torch.no_grad():
        decoded = torch.cat([decoder(codes[i : i + 10]) for i in range(0, count, 10)], 1).permute(1, 0, 2).numpy()

    def millimetres(found: np.ndarray) -> float:
        return float(10 * np.linalg.norm((found - shapes).reshape(count, -1, 3), axis=2).mean())

    return {
        "decoder_mm": millimetres(decoded[:, :, :3].reshape(count, -1)),
        "pca120_mm": millimetres(components.pca(shapes, SHAPE)),
        "pca128_mm": millimetres(components.pca(shapes, LATENT)),
        "mean_mesh_mm": millimetres(np.broadcast_to(components.shape_mean, shapes.shape)),
        "colour_255": float(255 * np.abs(decoded[:, :, 3:].reshape(count, -1) - colours).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ict_facekit_head.npz")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1e-5, help="Adam's")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=30, help="stop refining after this long")
    parser.add_argument("--evaluate-only", type=Path, metavar="FILE", help="print the errors of a weights file, train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    began = time.time()

    def say(text: str) -> None:
        print(f"{time.time() - began:7.1f} s  {text}", flush=True)

    model = morphable.load(arguments.model)
    # Mouth and eyes as they open: lips that touch must not be interpolated from each other.
    template = model.neutral + 0.5 * model.expression[model.expression_names.index("jawOpen")]
    hierarchy = hierarchy_module.build(template, model.triangles, FACTORS)
    say("levels: " + ", ".join(str(len(level.vertices)) for level in hierarchy.levels))
    components = Components(model, hierarchy.levels[0].source)
    say("components")
    decoder = Decoder(hierarchy, FILTERS, coarse_filters=COARSE_FILTERS)
    if arguments.evaluate_only is not None:
        mesh_file.read_weights(decoder, arguments.evaluate_only)
        say(f"unseen: {evaluate(decoder, components)}")
        return
    start(decoder, hierarchy, components)
    say(f"start, unseen: {evaluate(decoder, components)}")

    optimiser = torch.optim.Adam([p for p in decoder.parameters() if p.requires_grad], lr=arguments.rate)
    random = np.random.default_rng(2)
    n = len(hierarchy.levels[0].vertices)
    for step in range(arguments.steps):
        if time.time() - began > 60 * arguments.minutes:
            say(f"out of time after {step} steps")
            break
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * min(1, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * step / arguments.steps))
        shapes, colours = components.sample(arguments.batch, random)
        target = np.concatenate([shapes.reshape(-1, n, 3), COLOUR_SCALE * colours.reshape(-1, n, 3)], 2).transpose(1, 0, 2)
        scale = torch.tensor([1, 1, 1] + 3 * [COLOUR_SCALE])
        decoded = decoder(torch.from_numpy(components.encode(shapes, colours))) * scale
        loss = ((decoded - torch.from_numpy(np.ascontiguousarray(target))) ** 2).sum(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 10 == 0:
            say(f"step {step}: {10 * float(loss) ** 0.5:.3f} mm rms")
    recentre(decoder, components)
    mesh_file.write_weights(arguments.out, decoder, hierarchy, components, lambda: recentre(decoder, components))
    say(f"as written, unseen: {evaluate(decoder, components)}")
    say(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
