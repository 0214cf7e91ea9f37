"""The decoder's topology: a mesh decimated level by level, the sparse matrices between and on the levels, and the order of vertices.

Decimation collapses edges by quadric error (Garland and Heckbert) onto one of the edge's ends, so that a level's vertices are
vertices of the level below; borders are held by quadrics of planes that stand on them. A vertex is interpolated from the nearest
point of the coarser mesh (barycentric, at most three non-zeros a row), searched near the vertex only. Vertices of every level are
in reverse Cuthill-McKee order, so that neighbours lie close together in memory.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Dict, List, Set, Tuple

import numpy as np


@dataclass
class Csr:
    """A sparse matrix; rows sorted by column."""

    rows: int
    columns: int
    starts: np.ndarray  # [rows + 1]
    indices: np.ndarray
    values: np.ndarray

    @staticmethod
    def from_entries(rows: int, columns: int, entries: List[Dict[int, float]]) -> "Csr":
        starts = np.zeros(rows + 1, np.int64)
        indices: List[int] = []
        values: List[float] = []
        for row, entry in enumerate(entries):
            for column in sorted(entry):
                indices.append(column)
                values.append(entry[column])
            starts[row + 1] = len(indices)
        return Csr(rows, columns, starts, np.array(indices, np.int64), np.array(values, np.float32))


@dataclass
class Level:
    """A mesh of the hierarchy. `source`: index of each vertex in the original mesh."""

    source: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    laplacian: Csr


@dataclass
class Hierarchy:
    levels: List[Level]  # fine to coarse
    upsample: List[Csr]  # [i]: from levels[i + 1] to levels[i]


def multiply(matrix: Csr, x: np.ndarray) -> np.ndarray:
    """matrix @ x, x [columns, any]."""
    out = np.zeros((matrix.rows, x.shape[1]), x.dtype)
    rows = np.repeat(np.arange(matrix.rows), np.diff(matrix.starts))
    np.add.at(out, rows, matrix.values[:, None] * x[matrix.indices])
    return out


def neighbours(count: int, triangles: np.ndarray) -> List[Set[int]]:
    out: List[Set[int]] = [set() for _ in range(count)]
    for a, b, c in triangles.tolist():
        out[a].update((b, c))
        out[b].update((a, c))
        out[c].update((a, b))
    return out


def cuthill_mckee(count: int, triangles: np.ndarray) -> np.ndarray:
    """Vertices in reverse Cuthill-McKee order."""
    around = neighbours(count, triangles)
    degree = [len(a) for a in around]
    seen = np.zeros(count, bool)
    order: List[int] = []

    def walk(start: int, mark: np.ndarray) -> List[int]:
        mark[start] = True
        queue = [start]
        for vertex in queue:
            for other in sorted(around[vertex], key=lambda v: (degree[v], v)):
                if not mark[other]:
                    mark[other] = True
                    queue.append(other)
        return queue

    for vertex in range(count):
        if seen[vertex]:
            continue
        start = vertex
        for _ in range(3):  # towards an end of the component
            start = walk(start, seen.copy())[-1]
        order += walk(start, seen)
    return np.array(order[::-1], np.int64)


def laplacian(count: int, triangles: np.ndarray) -> Csr:
    """L~ = -D^-1/2 A D^-1/2."""
    around = neighbours(count, triangles)
    scale = [1 / np.sqrt(len(a)) if a else 0.0 for a in around]
    return Csr.from_entries(count, count, [{j: -scale[i] * scale[j] for j in a} for i, a in enumerate(around)])


def decimate(vertices: np.ndarray, triangles: np.ndarray, target: int) -> Tuple[np.ndarray, np.ndarray]:
    """Kept vertices (ascending) and triangles between them (indices of the given mesh)."""
    count = len(vertices)
    points = vertices.astype(np.float64)
    quadrics = np.zeros((count, 4, 4))
    faces: Dict[int, Tuple[int, int, int]] = {i: tuple(t) for i, t in enumerate(triangles.tolist())}
    around: List[Set[int]] = [set() for _ in range(count)]
    edges: Dict[Tuple[int, int], List[int]] = {}
    for index, face in faces.items():
        a, b, c = (points[v] for v in face)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal)
        if area > 0:
            plane = np.append(normal, -normal @ a) / area
            quadric = np.outer(plane, plane) * area
            for v in face:
                quadrics[v] += quadric
        for k in range(3):
            around[face[k]].add(index)
            edges.setdefault(tuple(sorted((face[k], face[(k + 1) % 3]))), []).append(index)
    for (u, v), owners in edges.items():
        if len(owners) == 1:
            a, b, c = (points[w] for w in faces[owners[0]])
            along = points[v] - points[u]
            normal = np.cross(along, np.cross(b - a, c - a))
            length = np.linalg.norm(normal)
            if length > 0:
                normal /= length
                plane = np.append(normal, -normal @ points[u])
                quadric = 10 * np.outer(plane, plane) * (along @ along)
                quadrics[u] += quadric
                quadrics[v] += quadric

    alive = np.ones(count, bool)
    stamp = [0] * count
    heap: List[Tuple[float, int, int, int, int]] = []

    def push(u: int, v: int) -> None:
        """Collapse of u onto v."""
        p = np.append(points[v], 1)
        # A little of the length keeps triangles even where the surface is flat.
        cost = p @ (quadrics[u] + quadrics[v]) @ p + 1e-3 * np.sum((points[u] - points[v]) ** 2) ** 2
        heapq.heappush(heap, (float(cost), u, v, stamp[u], stamp[v]))

    for u, v in edges:
        push(u, v)
        push(v, u)
    left = count
    while left > target and heap:
        _, u, v, stamp_u, stamp_v = heapq.heappop(heap)
        if not (alive[u] and alive[v]) or stamp[u] != stamp_u or stamp[v] != stamp_v:
            continue
        shared = around[u] & around[v]
        ring_u = {w for f in around[u] for w in faces[f]} - {u}
        ring_v = {w for f in around[v] for w in faces[f]} - {v}
        # The link condition: only the corners opposite the edge may neighbour both.
        if not shared or len(ring_u & ring_v) != len(shared):
            continue
        flips = False
        for f in around[u] - shared:
            old = [points[w] for w in faces[f]]
            new = [points[v if w == u else w] for w in faces[f]]
            before = np.cross(old[1] - old[0], old[2] - old[0])
            after = np.cross(new[1] - new[0], new[2] - new[0])
            if before @ after <= 0.1 * np.linalg.norm(before) * np.linalg.norm(after):
                flips = True
                break
        if flips:
            continue
        for f in shared:
            for w in faces[f]:
                around[w].discard(f)
            del faces[f]
        for f in list(around[u]):
            faces[f] = tuple(v if w == u else w for w in faces[f])
            around[v].add(f)
        around[u].clear()
        alive[u] = False
        quadrics[v] += quadrics[u]
        left -= 1
        stamp[v] += 1
        for w in {w for f in around[v] for w in faces[f]} - {v}:
            push(v, w)
            push(w, v)
    return np.flatnonzero(alive), np.array(sorted(faces.values()), np.int64)


def closest_on_triangle(p: np.ndarray, corners: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Barycentric weights [m, 3] and squared distances [m] of the points nearest p on triangles [m, 3, 3]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, p - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-20)
    v = (d11 * d20 - d01 * d21) / determinant
    w = (d00 * d21 - d01 * d20) / determinant
    options = [np.stack([1 - v - w, v, w], 1)]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        along = corners[:, j] - corners[:, i]
        t = np.clip(((p - corners[:, i]) * along).sum(1) / np.maximum((along * along).sum(1), 1e-20), 0, 1)
        weights = np.zeros((len(corners), 3))
        weights[:, i], weights[:, j] = 1 - t, t
        options.append(weights)
    best, best_distance = options[0], np.full(len(corners), np.inf)
    inside = (options[0] >= 0).all(1)
    for index, weights in enumerate(options):
        distance = (((weights[:, :, None] * corners).sum(1) - p) ** 2).sum(1)
        usable = (distance < best_distance) & (inside if index == 0 else True)
        best = np.where(usable[:, None], weights, best)
        best_distance = np.where(usable, distance, best_distance)
    return best, best_distance


def upsampling(fine: np.ndarray, kept: np.ndarray, coarse_triangles: np.ndarray) -> Csr:
    """From the coarse mesh (vertices fine[kept], triangles into `kept`) to the fine one."""
    coarse = fine[kept].astype(np.float64)
    position = {int(v): i for i, v in enumerate(kept)}
    owners: List[List[int]] = [[] for _ in kept]
    for index, triangle in enumerate(coarse_triangles.tolist()):
        for v in triangle:
            owners[v].append(index)
    entries: List[Dict[int, float]] = []
    for vertex, p in enumerate(fine.astype(np.float64)):
        if vertex in position:
            entries.append({position[vertex]: 1.0})
            continue
        near = np.argsort(((coarse - p) ** 2).sum(1))[:12]
        candidates = sorted({t for v in near for t in owners[v]})
        if not candidates:
            entries.append({int(near[0]): 1.0})
            continue
        triangles = coarse_triangles[candidates]
        weights, distance = closest_on_triangle(p, coarse[triangles])
        best = int(np.argmin(distance))
        entries.append({int(v): float(w) for v, w in zip(triangles[best], weights[best]) if w > 1e-4})
    for entry in entries:
        total = sum(entry.values())
        for key in entry:
            entry[key] /= total
    return Csr.from_entries(len(fine), len(kept), entries)


def build(vertices: np.ndarray, triangles: np.ndarray, factors: List[float]) -> Hierarchy:
    """Levels whose sizes are each the one before divided by the factor. Vertices come out reordered (Level.source)."""
    order = cuthill_mckee(len(vertices), triangles)
    source, points, faces = _reorder(np.arange(len(vertices)), vertices, triangles, order)
    levels = [Level(source, points, faces, laplacian(len(points), faces))]
    upsample: List[Csr] = []
    for factor in factors:
        fine = levels[-1]
        kept, kept_triangles = decimate(fine.vertices, fine.triangles, round(len(fine.vertices) / factor))
        index = np.full(len(fine.vertices), -1)
        index[kept] = np.arange(len(kept))
        order = cuthill_mckee(len(kept), index[kept_triangles])
        kept = kept[order]
        index[kept] = np.arange(len(kept))
        coarse_triangles = index[kept_triangles]
        upsample.append(upsampling(fine.vertices, kept, coarse_triangles))
        levels.append(Level(fine.source[kept], fine.vertices[kept], coarse_triangles, laplacian(len(kept), coarse_triangles)))
    return Hierarchy(levels, upsample)


def _reorder(
    source: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, order: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices in `order`; triangles turned to begin with their smallest vertex and sorted, so that they too are local."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    faces = place[triangles]
    first = faces.argmin(1)
    faces = np.stack([faces[np.arange(len(faces)), (first + k) % 3] for k in range(3)], 1)
    return source[order], vertices[order], faces[np.lexsort(faces.T[::-1])]
