#!/usr/bin/env python3
"""Writes a mesh file of the paper's size with seeded weights, for tests and benches.

    python3 tools/mesh/seeded.py --out seeded.safetensors [--vertices 28431] [--filters 16,16,16,16] [--terms 6]

The topology is the shipped mesh's (include/retinaface/weights/default_mesh.hpp), its longest edges split until there are that many
vertices, and decimated by 4 a level; --vertices of at most the shipped 9,409 decimates it first. Filters are written fine to coarse.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import mesh_file
import hierarchy as hierarchy_module
from decoder import Decoder
from retinaface_weights import archive, header_export


def shipped_file() -> bytes:
    """The weights file in the shipped header."""
    return header_export.read((ROOT / "include" / "retinaface" / "weights" / "default_mesh.hpp").read_text())


def shipped_mesh() -> Tuple[np.ndarray, np.ndarray]:
    """Vertices near those of the mean mesh (its stored mean without the decoder's part, which is smooth), and triangles."""
    tensors = archive.load(shipped_file()).tensors
    triangles = np.ascontiguousarray(tensors["triangles"]).view("<u2")[..., 0].astype(np.int64)
    return tensors["mean"][:, :3].astype(np.float64), triangles


def subdivide(vertices: np.ndarray, triangles: np.ndarray, target: int) -> Tuple[np.ndarray, np.ndarray]:
    """Splits the longest edge until there are `target` vertices."""
    points: List[np.ndarray] = list(vertices)
    faces: Dict[int, Tuple[int, int, int]] = dict(enumerate(map(tuple, triangles.tolist())))
    owners: Dict[Tuple[int, int], List[int]] = {}
    heap: List[Tuple[float, int, int]] = []

    def add_face(index: int, face: Tuple[int, int, int]) -> None:
        faces[index] = face
        for k in range(3):
            edge = tuple(sorted((face[k], face[(k + 1) % 3])))
            if edge not in owners:
                owners[edge] = []
                heapq.heappush(heap, (-float(np.sum((points[edge[0]] - points[edge[1]]) ** 2)), *edge))
            owners[edge].append(index)

    following = len(faces)
    for index, face in list(faces.items()):
        add_face(index, face)
    while len(points) < target:
        _, a, b = heapq.heappop(heap)
        if (a, b) not in owners:
            continue
        middle = len(points)
        points.append((points[a] + points[b]) / 2)
        for index in owners.pop((a, b)):
            face = faces.pop(index)
            for k in range(3):
                edge = tuple(sorted((face[k], face[(k + 1) % 3])))
                if edge in owners:
                    owners[edge].remove(index)
            for old in (a, b):
                add_face(following, tuple(middle if v == old else v for v in face))
                following += 1
    return np.array(points), np.array(list(faces.values()), np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vertices", type=int, default=28431)
    parser.add_argument("--filters", default="16,16,16,16", help="fine to coarse")
    parser.add_argument("--terms", type=int, default=6)
    arguments = parser.parse_args()
    filters = [int(f) for f in arguments.filters.split(",")]
    vertices, triangles = shipped_mesh()
    if arguments.vertices > len(vertices):
        vertices, triangles = subdivide(vertices, triangles, arguments.vertices)
    elif arguments.vertices < len(vertices):
        kept, faces = hierarchy_module.decimate(vertices, triangles, arguments.vertices)
        place = np.full(len(vertices), -1)
        place[kept] = np.arange(len(kept))
        vertices, triangles = vertices[kept], place[faces]
    hierarchy = hierarchy_module.build(vertices, triangles, [4.0] * len(filters))
    print("levels:", ", ".join(str(len(level.vertices)) for level in hierarchy.levels))
    decoder = Decoder(hierarchy, filters, terms=arguments.terms, seed=1)
    tensors: Dict[str, np.ndarray] = {}
    mesh_file.add_network(tensors, decoder, hierarchy, np.float32)
    finest = hierarchy.levels[0]
    tensors["mean"] = np.concatenate([finest.vertices, np.full_like(finest.vertices, 0.5)], 1).astype(np.float32)
    tensors["triangles"] = mesh_file.indices(finest.triangles)
    metadata = {**mesh_file.METADATA, "version": "0.0.0", "source": "seeded by tools/mesh/seeded.py"}
    arguments.out.write_bytes(archive.dump(archive.Archive(metadata, tensors)))


if __name__ == "__main__":
    main()
