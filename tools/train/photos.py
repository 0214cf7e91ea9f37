"""Photographs with faces: readers, labels, and the store of decoded pixels.

A collection is a tar of pictures (any that Pillow reads) and a file of JSON lines: `file`, `width`, `height` and either
`boxes` [[x1, y1, x2, y2]] (faces that people drew) or `heads` [[x1, y1, x2, y2]] or `points` [[x, y]] (heads that people
marked), in pixels. A second file has faces that a teacher, a network that saw more pixels, found: `file`, `faces` [[score,
box, five landmarks x, y]] and, for heads, a last number that says whether the face lies in a head.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
import hashlib
import io
import json
import os
from pathlib import Path
import tarfile

import numpy as np
from PIL import Image

import anchors as anchor_code
from recipe import Collection

DECODED_AT_ONCE = 128
"""Pictures, while the store is made."""

DEV_SHARE = 0.03
"""Share of the training photographs, by name, that is kept out for choices inside a run."""

HELD_SHARE = 0.10
"""Share of the crowds, by name, that is looked at once a finished run."""

NEGATIVES_SHARE = 0.5
"""Share of the photographs without a face that is trained on; false alarms are counted on the others."""

TAUGHT_DRAWN = 0.9
"""Score from which on a teacher's face that people did not draw is taught, where people drew faces."""

TAUGHT_IN_HEAD = 0.5
"""The same where people marked a head: two witnesses."""

LANDMARKS_FROM = 10.0
"""Side in pixels from which on the landmarks of a teacher's face in a head are believed."""

HEAD_TO_FACE = 1.3
"""Side of a head beside that of its face."""


@dataclass
class Labels:
    """What is known about a photograph's faces: boxes [n, 4] in pixels, landmarks [n, 10] (NaN: unknown), certainty [n] that
    each is one, and regions [m, 4] that are neither face nor background."""

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((0, 10), np.float32))
    certainty: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass
class Photo:
    """A photograph: pixels [H, W, 3] uint8, R, G, B, what it teaches, and what it is judged by."""

    name: str
    pixels: np.ndarray
    labels: Labels = field(default_factory=Labels)
    marked: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """Boxes [n, 4] of the faces, or heads, that people marked."""
    teacher: np.ndarray = field(default_factory=lambda: np.zeros((0, 15), np.float32))
    """The teacher's faces [k, 15]: score, box, five landmarks; where people marked heads, those in one."""
    heads: bool = False
    """Whether `marked` are heads."""

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def source(self) -> str:
        """The part of the file name before the first underscore: which collection it came from."""
        return Path(self.name).name.split("_")[0]


def name_hash(name: str) -> float:
    """A number in 0..1 that depends on the file name only: for splits that survive reordering."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def part_of(name: str, labels: str) -> str:
    """Which part of its collection a photograph belongs to: `train`, `dev` (choices inside a run) or `held`."""
    position = name_hash(name)
    if labels == "none":
        return "train" if position < NEGATIVES_SHARE else "held"
    held = HELD_SHARE if labels == "heads" else 0.0
    return "held" if position < held else "dev" if position < held + DEV_SHARE else "train"


def labels_of_drawn(drawn: np.ndarray, teacher: np.ndarray) -> Labels:
    """Faces that people drew [n, 4] and a teacher's [k, 15] (score, box, landmarks).

    A face found by both keeps the person's box and gets the teacher's landmarks. A face that only the teacher found is
    taught from score `TAUGHT_DRAWN` on, because people miss some; from 0.3 on it becomes an ignored region.
    """
    boxes = drawn.astype(np.float32).reshape(-1, 4)
    landmarks = np.full((len(boxes), 10), np.nan, np.float32)
    free = np.ones(len(teacher), bool)
    if len(boxes) and len(teacher):
        overlap = anchor_code.iou(boxes, teacher[:, 1:5])
        free = overlap.max(axis=0) < 0.3
        for face, other in enumerate(overlap.argmax(axis=1)):
            if overlap[face, other] >= 0.4 and teacher[other, 0] >= 0.5:
                landmarks[face] = teacher[other, 5:15]
    taught = free & (teacher[:, 0] >= TAUGHT_DRAWN)
    unsure = free & (teacher[:, 0] >= 0.3) & ~taught
    boxes = np.concatenate([boxes, teacher[taught, 1:5]])
    return Labels(
        boxes, np.concatenate([landmarks, teacher[taught, 5:15]]), np.ones(len(boxes), np.float32), teacher[unsure, 1:5])


def labels_of_heads(heads: np.ndarray, teacher: np.ndarray) -> Labels:
    """Heads that people marked [n, 4], and a teacher's faces [k, 16] (score, box, landmarks, in a head).

    A face in a head is taught from score `TAUGHT_IN_HEAD` on, with a certainty half-way between its score and 1. A head
    without such a face may be turned away or unclear, and a face of some score outside any head may have been forgotten:
    both are ignored. What is left is background, as people marked every head.
    """
    sure = teacher[:, 0] >= TAUGHT_IN_HEAD
    in_head = teacher[:, 15] > 0
    taught = teacher[sure & in_head]
    boxes, landmarks = taught[:, 1:5], taught[:, 5:15].copy()
    landmarks[np.sqrt(anchor_code.area(boxes)) < LANDMARKS_FROM] = np.nan
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    has_face = (
        (centres[None] >= heads[:, None, :2]) & (centres[None] <= heads[:, None, 2:])
    ).all(axis=2).any(axis=1) if len(boxes) else np.zeros(len(heads), bool)
    return Labels(
        boxes, landmarks, (0.5 + 0.5 * taught[:, 0]).astype(np.float32),
        np.concatenate([heads[~has_face], teacher[sure & ~in_head, 1:5]]).astype(np.float32))


def head_boxes(points: np.ndarray, faces: np.ndarray, nearest: int = 5) -> np.ndarray:
    """Boxes [n, 4] of heads of which only dots [n, 2] are known: as large as the nearest faces [k, 4] say (none: 16 px)."""
    side = np.full(len(points), 16.0)
    if len(faces):
        centres, sides = (faces[:, :2] + faces[:, 2:]) / 2, np.sqrt(anchor_code.area(faces))
        distance = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
        order = np.argsort(distance, axis=1)[:, :nearest]
        side = HEAD_TO_FACE * np.median(sides[order], axis=1)
    return np.concatenate([points - side[:, None] / 2, points + side[:, None] / 2], axis=1).astype(np.float32)


def read_json_lines(path: Path) -> list[dict]:
    """One dictionary a line."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


class Store:
    """Decoded pixels of tar files, in files that are mapped into memory: all processes of a machine share them.

    A folder has NAME.pixels and NAME.json for every tar read so far (3 bytes a pixel); they are made anew when the tar
    changes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, tar: Path) -> dict[str, np.ndarray]:
        """Pixels [H, W, 3] uint8, R, G, B, of every picture of a tar, by file name."""
        index_path, pixel_path = (self.folder / f"{tar.stem}.{suffix}" for suffix in ("json", "pixels"))
        status = tar.stat()
        stamp = [str(tar.resolve()), status.st_size, status.st_mtime_ns]
        index = json.loads(index_path.read_text()) if index_path.exists() else {}
        if index.get("stamp") != stamp:
            index = {"stamp": stamp, "pictures": self._decode(tar, pixel_path)}
            temporary = index_path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(index))
            os.replace(temporary, index_path)
        pixels = np.memmap(pixel_path, np.uint8, "r").view(np.ndarray)
        return {
            name: pixels[offset : offset + height * width * 3].reshape(height, width, 3)
            for name, (offset, height, width) in index["pictures"].items()
        }

    def _decode(self, tar: Path, pixel_path: Path) -> dict[str, tuple[int, int, int]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        pictures, offset = {}, 0
        temporary = pixel_path.with_suffix(f".{os.getpid()}")
        with tarfile.open(tar) as archive, open(temporary, "wb") as out, ThreadPoolExecutor(os.cpu_count()) as pool:
            members = [member for member in archive if member.isfile()]
            # Some at a time, so that decoded ones do not fill the memory while they wait to be written.
            for begin in range(0, len(members), DECODED_AT_ONCE):
                some = members[begin : begin + DECODED_AT_ONCE]
                files = [(f"{tar}: {member.name}", archive.extractfile(member).read()) for member in some]
                for member, pixels in zip(some, pool.map(decode, *zip(*files))):
                    out.write(pixels.data)
                    pictures[member.name.removeprefix("./")] = (offset, *pixels.shape[:2])
                    offset += pixels.size
        os.replace(temporary, pixel_path)
        return pictures


def decode(name: str, data: bytes) -> np.ndarray:
    """Pixels [H, W, 3] uint8, R, G, B, of a picture file. Raises ValueError that names it if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: expected a picture, found {error}") from None


def read(folder: Path, collection: Collection, store: Store, parts: tuple[str, ...] = ("train", "dev", "held")) -> list[Photo]:
    """The photographs of a collection, or of some parts of it, in the order of its JSON lines.

    Raises ValueError that names the file and what is wrong with it.
    """
    pictures = store.open(folder / f"{collection.name}.tar")
    teacher_path = folder / f"{collection.name}.teacher.jsonl"
    columns = 16 if collection.labels == "heads" else 15
    teacher = {row["file"]: row["faces"] for row in read_json_lines(teacher_path)} if teacher_path.exists() else {}
    photos = []
    for row in read_json_lines(folder / f"{collection.name}.jsonl"):
        name = row["file"]
        if part_of(name, collection.labels) not in parts:
            continue
        if name not in pictures:
            raise ValueError(f"{folder / collection.name}.jsonl: expected {name} in {collection.name}.tar, found no such picture")
        pixels = pictures[name]
        if pixels.shape[:2] != (row["height"], row["width"]):
            raise ValueError(f"{collection.name}.tar: expected {name} with {row['width']} x {row['height']} pixels, "
                             f"found {pixels.shape[1]} x {pixels.shape[0]}")
        faces = np.array(teacher.get(name, []), np.float32).reshape(-1, columns)
        photo = Photo(name, pixels)
        if collection.labels == "boxes":
            photo.marked = np.array(row["boxes"], np.float32).reshape(-1, 4)
            photo.teacher = faces
            photo.labels = labels_of_drawn(photo.marked, faces)
        elif collection.labels == "heads":
            photo.heads = True
            photo.teacher = faces[faces[:, 15] > 0, :15]
            dots = np.array(row.get("points", []), np.float32).reshape(-1, 2)
            sure = photo.teacher[photo.teacher[:, 0] >= TAUGHT_IN_HEAD, 1:5]
            photo.marked = np.concatenate([np.array(row.get("heads", []), np.float32).reshape(-1, 4), head_boxes(dots, sure)])
            photo.labels = labels_of_heads(photo.marked, faces)
        photos.append(photo)
    return photos
