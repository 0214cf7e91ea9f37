"""The morphable model that the decoder is trained on: ICT-FaceKit's face area, and the colours that it lacks.

Shapes: vertex = neutral + sum of identity_i * offset_i + sum of expression_j * offset_j, in centimetres, x to the person's left, y up,
z out of the face. Sampled: every identity number from N(0, 1) as ICT-FaceKit defines them; an expression is active with probability
0.15 at a strength from U(0, 1), expressions that come as left and right together with probability 0.7.

Colours are this project's, of low order: a skin tone on the line from dark to light, redness and yellowness of the whole face, of the
lips, brows, eyes and cheeks (Gaussian patches around landmarks), and the light of a far source of random direction as the first
three spherical harmonics of the normal. In 0..1, linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np

FACE_VERTICES = 9409


@dataclass
class Morphable:
    neutral: np.ndarray  # [n, 3] cm
    triangles: np.ndarray  # [t, 3]
    identity: np.ndarray  # [100, n, 3]
    expression: np.ndarray  # [57, n, 3]
    expression_names: List[str]
    landmarks68: np.ndarray  # [68]

    def shapes(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices [m, n, 3] of coefficients [m, 100] and [m, 57]."""
        offsets = np.tensordot(identity, self.identity, 1) + np.tensordot(expression, self.expression, 1)
        return (self.neutral + offsets).astype(np.float32)


def load(path: Path) -> Morphable:
    """The face area of `ict_facekit_head.npz`."""
    with np.load(path) as data:
        n = FACE_VERTICES
        triangles = data["triangles"]
        offsets = {
            kind: data[kind][:, :n].astype(np.float32) * data[f"{kind}_scale"][:, None, None].astype(np.float32)
            for kind in ("identity", "expression")
        }
        return Morphable(
            data["neutral"][:n].astype(np.float32),
            triangles[(triangles < n).all(1)].astype(np.int64),
            offsets["identity"],
            offsets["expression"],
            [str(name) for name in data["expression_names"]],
            data["landmarks68"].astype(np.int64),
        )


def sample_coefficients(model: Morphable, count: int, random: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
    """Identities [count, 100] and expressions [count, 57]."""
    identity = random.standard_normal((count, len(model.identity)))
    active = random.random((count, len(model.expression))) < 0.15
    strength = random.random((count, len(model.expression)))
    coupled = random.random(count) < 0.7
    for index, name in enumerate(model.expression_names):
        if name.endswith("_R") and model.expression_names[index - 1] == name[:-2] + "_L":
            active[coupled, index] = active[coupled, index - 1]
            strength[coupled, index] = strength[coupled, index - 1]
    return identity.astype(np.float32), (active * strength).astype(np.float32)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals [n, 3], weighted by area."""
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


class Colours:
    """Random colours of the low order described above."""

    def __init__(self, model: Morphable) -> None:
        points = model.neutral[model.landmarks68]

        def patch(centres: np.ndarray, sigma: float) -> np.ndarray:
            distance = np.linalg.norm(model.neutral[:, None] - centres[None], axis=2).min(1)
            return np.exp(-0.5 * (distance / sigma) ** 2)

        self.lips = patch(points[48:60], 0.45)
        self.brows = patch(points[17:27], 0.4)
        self.eyes = patch(points[36:48], 0.35)
        self.cheeks = patch(np.array([[-4.6, 0.2, 9.3], [4.6, 0.2, 9.3]]), 1.6)
        normals = vertex_normals(model.neutral, model.triangles)
        self.harmonics = np.stack([normals[:, 0], normals[:, 1], normals[:, 2] - normals[:, 2].mean()])

    def sample(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Colours [count, n, 3]."""
        dark, light = np.array([0.24, 0.14, 0.09]), np.array([0.86, 0.68, 0.57])
        tone = random.random((count, 1, 1))
        base = dark + (light - dark) * tone + random.normal(0, 0.02, (count, 1, 3))
        tint = np.ones((count, len(self.lips), 3))
        for mask, mean, spread in (
            (self.lips, (0.95, 0.68, 0.70), 0.10),
            (self.brows, (0.62, 0.60, 0.60), 0.18),
            (self.eyes, (0.88, 0.86, 0.86), 0.06),
            (self.cheeks, (1.04, 0.95, 0.95), 0.03),
        ):
            factor = np.array(mean) + random.normal(0, spread, (count, 1, 1)) + random.normal(0, spread / 4, (count, 1, 3))
            tint *= 1 + mask[None, :, None] * (factor - 1)
        shade = 1 + np.tensordot(random.normal(0, 0.12, (count, 3)), self.harmonics, 1)
        return np.clip(base * tint * shade[:, :, None], 0, 1).astype(np.float32)
