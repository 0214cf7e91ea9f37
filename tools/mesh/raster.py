"""The product's rasteriser and mesh decoder from Python, by ctypes (the target `retinaface_mesh_python`)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple

import numpy as np

DEFAULT_LIGHT = (-30, 60, 150, 0.7, 0.7, 0.7, 0.35, 0.35, 0.35)


class MeshError(RuntimeError):
    """What the library said."""


@dataclass
class Rendering:
    """Maps [height, width] or [height, width, 3]; see mesh/rasteriser.hpp."""

    mask: np.ndarray
    depth: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    coordinates: np.ndarray
    colours: np.ndarray


def _pointer(array: Optional[np.ndarray]) -> Optional[ctypes.c_void_p]:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


class Library:
    def __init__(self, path: Path, isa: str = "auto") -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.retinaface_mesh_load.restype = ctypes.c_void_p
        self._isa = isa.encode()

    def render(
        self,
        vertices: np.ndarray,
        triangles: np.ndarray,
        camera: Sequence[float],
        width: int,
        height: int,
        colours: Optional[np.ndarray] = None,
        light: Sequence[float] = DEFAULT_LIGHT,
    ) -> Rendering:
        """Draw vertices [n, 3] and triangles [t, 3] by the paper's 7 camera and 9 light parameters."""
        points = np.ascontiguousarray(vertices, np.float32)
        faces = np.ascontiguousarray(triangles, np.int32)
        albedo = None if colours is None else np.ascontiguousarray(colours, np.float32)
        if len(camera) != 7 or len(light) != 9 or (albedo is not None and albedo.shape != points.shape):
            raise MeshError(f"expected 7 camera and 9 light numbers and a colour a vertex, found {len(camera)} and {len(light)}")
        shape = (max(height, 0), max(width, 0))
        out = Rendering(
            np.zeros(shape, np.uint8),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
            *(np.zeros((*shape, 3), np.float32) for _ in range(3)),
        )
        message = ctypes.create_string_buffer(256)
        failed = self._library.retinaface_mesh_render(
            self._isa,
            _pointer(points),
            len(points),
            _pointer(faces),
            len(faces),
            _pointer(albedo),
            _pointer(np.asarray(camera, np.float32)),
            _pointer(np.asarray(light, np.float32)),
            width,
            height,
            *(_pointer(getattr(out, name)) for name in ("mask", "depth", "triangles", "normals", "coordinates", "colours")),
            message,
        )
        if failed:
            raise MeshError(message.value.decode())
        return out

    def decode(self, weights: bytes, latents: np.ndarray) -> np.ndarray:
        """Meshes [faces, n, 6] of latents [faces, 128] by a weights file."""
        message = ctypes.create_string_buffer(256)
        decoder = self._library.retinaface_mesh_load(self._isa, weights, ctypes.c_size_t(len(weights)), message)
        if not decoder:
            raise MeshError(message.value.decode())
        handle = ctypes.c_void_p(decoder)
        try:
            codes = np.ascontiguousarray(latents, np.float32)
            vertices = np.zeros((len(codes), self._library.retinaface_mesh_vertices(handle), 3), np.float32)
            colours = np.zeros_like(vertices)
            if self._library.retinaface_mesh_decode(handle, _pointer(codes), len(codes), _pointer(vertices), _pointer(colours), message):
                raise MeshError(message.value.decode())
        finally:
            self._library.retinaface_mesh_free(handle)
        return np.concatenate([vertices, colours], 2)

    def fit_five(self, weights: bytes, points: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What MeshEstimator fits to five points [faces, 5, 2]: 68 landmarks [faces, 68, 3] as drawn (pixels, depth) and in the model
        (centimetres), and rotations [faces, 3, 3]."""
        places = np.ascontiguousarray(points, np.float32)
        drawn, model = (np.zeros((len(places), 68, 3), np.float32) for _ in range(2))
        rotations = np.zeros((len(places), 3, 3))
        message = ctypes.create_string_buffer(256)
        if self._library.retinaface_mesh_fit_five(
            self._isa, weights, ctypes.c_size_t(len(weights)), _pointer(places), len(places), _pointer(drawn), _pointer(model),
            _pointer(rotations), message):  # fmt: skip
            raise MeshError(message.value.decode())
        return drawn, model, rotations
