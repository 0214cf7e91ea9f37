"""What the examples for Ray and Spark share: a picture's bytes in, a row of a table out.

A row: path, width, height (pixels of the upright picture; null where it cannot be read), error (null, or why), and faces, a list of
{score, box [4], landmarks [10]} in pixels of the upright picture.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable

import pyarrow as pa
import pyarrow.parquet as pq
import retinaface
from PIL import Image, ImageOps

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("error", pa.string()),
        ("faces", pa.list_(pa.struct([("score", pa.float32()), ("box", pa.list_(pa.float32())), ("landmarks", pa.list_(pa.float32()))]))),
    ]
)


@lru_cache(maxsize=1)
def detector() -> retinaface.Detector:
    """This process's detector. One thread: the engine runs a process a core, and one picture a thread is the fastest way through many."""
    return retinaface.Detector(size=1280, threads=1)


def row_of(path: str, data: bytes) -> dict[str, Any]:
    """The row of one picture. A picture that cannot be read is a row with an error: it must not stop a hundred million others."""
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        found = detector().detect(image)
    except Exception as error:  # noqa: BLE001: decoders raise whatever they like
        return {"path": path, "width": None, "height": None, "error": f"{type(error).__name__}: {error}", "faces": []}
    faces = [{"score": f.score, "box": f.box.tolist(), "landmarks": f.landmarks.ravel().tolist()} for f in found]
    return {"path": path, "width": image.width, "height": image.height, "error": None, "faces": faces}


def table_of(paths: Iterable[str], contents: Iterable[bytes]) -> pa.Table:
    return pa.Table.from_pylist([row_of(path, data) for path, data in zip(paths, contents)], schema=SCHEMA)


def finished(output: Path) -> set[str]:
    """The pictures that have a row in the output already. A file that a run was writing when it died is removed: its pictures come again."""
    done: set[str] = set()
    for file in sorted(output.rglob("*.parquet")) if output.is_dir() else []:
        if any(part.startswith(("_", ".")) for part in file.relative_to(output).parts):
            continue  # an engine's own: not yet part of the output
        try:
            done.update(pq.read_table(file, columns=["path"]).column("path").to_pylist())
        except pa.ArrowInvalid:
            file.unlink()
    return done
