"""Pixels of a plain PNG file (8-bit RGB, not interlaced), without any package."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def read_png(path: Path) -> np.ndarray:
    """U8 [H, W, 3].  Only for files of the repository: `ValueError` for anything else than the form above."""
    data = path.read_bytes()
    position, packed, header = 8, b"", b""
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        header = content if kind == b"IHDR" else header
        packed += content if kind == b"IDAT" else b""
        position += 12 + length
    width, height, *form = struct.unpack(">IIBBBBB", header)
    if form != [8, 2, 0, 0, 0]:
        raise ValueError(f"{path}: not a plain 8-bit RGB picture")
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    pixels = np.zeros((height, width, 3), np.uint8)
    above = np.zeros((width, 3), np.uint8)
    for y in range(height):
        kind, row = rows[y, 0], rows[y, 1:].reshape(width, 3).copy()
        if kind == 1:
            row = np.cumsum(row, axis=0, dtype=np.uint8)
        elif kind == 2:
            row += above
        elif kind > 2:
            _unfilter(row, above, kind == 4)
        pixels[y] = above = row
    return pixels


def _unfilter(row: np.ndarray, above: np.ndarray, paeth: bool) -> None:
    """Average (3) and Paeth (4), which need the pixel to the left, one pixel at a time."""
    up = above.astype(int).tolist()
    values = row.astype(int).tolist()
    for x in range(len(values)):
        for c in range(3):
            left, corner = (values[x - 1][c], up[x - 1][c]) if x else (0, 0)
            if paeth:
                guess = left + up[x][c] - corner
                nearest = min((abs(guess - v), i, v) for i, v in enumerate((left, up[x][c], corner)))
                values[x][c] = (values[x][c] + nearest[2]) & 255
            else:
                values[x][c] = (values[x][c] + (left + up[x][c]) // 2) & 255
    row[:] = values
