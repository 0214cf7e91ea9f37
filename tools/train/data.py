"""Photographs with faces: readers, and the random crops a training step sees.

Two layouts are read: a tar of JPEG files with a JSON-lines file of boxes (and, optionally, one of faces that a
reference network found, which brings landmarks), and WIDER FACE with the `label.txt` of the RetinaFace authors.
Photographs are decoded once and kept in memory (3..4 bytes a pixel).
"""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import io
import json
import math
from pathlib import Path
import random
import tarfile

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
import torch

import anchors as anchor_code

MIRROR_ORDER = (1, 0, 2, 4, 3)
"""New order of the five landmarks after mirroring: left and right swap."""

SMALLEST_FACE = 5.5
"""Side in pixels under which a face in a crop is neither taught nor counted as background."""

DISTILLABLE_FACE = 18.0
"""Side in pixels from which on the reference network's outputs on the crop are worth copying."""


@dataclass
class Photo:
    """A decoded photograph. Boxes [n, 4] in pixels; landmarks [n, 10], NaN where unknown; ignored regions [m, 4]."""

    name: str
    image: Image.Image
    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    @property
    def source(self) -> str:
        """The part of the file name before the first underscore: which collection it came from."""
        return Path(self.name).name.split("_")[0]


def name_hash(name: str) -> float:
    """A number in 0..1 that depends on the file name only: for splits that survive reordering."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def merge_labels(
    boxes: np.ndarray, teacher: np.ndarray, teacher_mix: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People's boxes [n, 4] and a reference network's faces [k, 15] (score, box, landmarks) to one set of labels.

    A face found by both keeps the person's box, moved by the share `teacher_mix` towards the network's (people's
    boxes in different collections follow different habits, the network's do not), and gets its landmarks. A face that
    only the network found counts from score 0.9 on; from 0.3 to 0.9 it becomes an ignored region.

    Returns boxes [m, 4], landmarks [m, 10] (NaN: unknown) and ignored regions [k, 4].
    """
    landmarks = np.full((len(boxes), 10), np.nan, np.float32)
    boxes = boxes.astype(np.float32).copy()
    if not len(teacher):
        return boxes, landmarks, np.zeros((0, 4), np.float32)
    free = np.ones(len(teacher), bool)
    if len(boxes):
        overlap = anchor_code.iou(boxes, teacher[:, 1:5])
        free = overlap.max(axis=0) < 0.3
        for face, other in enumerate(overlap.argmax(axis=1)):
            if overlap[face, other] >= 0.4 and teacher[other, 0] >= 0.5:
                landmarks[face] = teacher[other, 5:]
                boxes[face] += teacher_mix * (teacher[other, 1:5] - boxes[face])
    sure = free & (teacher[:, 0] >= 0.9)
    unsure = free & (teacher[:, 0] >= 0.3) & ~sure
    return (
        np.concatenate([boxes, teacher[sure, 1:5]]).astype(np.float32),
        np.concatenate([landmarks, teacher[sure, 5:]]).astype(np.float32),
        teacher[unsure, 1:5].astype(np.float32),
    )


def read_json_lines(path: str | Path) -> list[dict]:
    """One dictionary a line."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_tar(
    tar_path: str | Path, truth_path: str | Path, teacher_path: str | Path | None = None, teacher_mix: float = 0.0,
    limit: int | None = None,
) -> list[Photo]:
    """Photographs of a tar file with their labels, in the order of the JSON lines; at most `limit`, evenly chosen."""
    rows = read_json_lines(truth_path)
    if limit is not None and limit < len(rows):
        rows = [rows[i * len(rows) // limit] for i in range(limit)]
    teacher = {row["file"]: row["faces"] for row in read_json_lines(teacher_path)} if teacher_path else {}
    wanted = {row["file"] for row in rows}
    images: dict[str, Image.Image] = {}
    with tarfile.open(tar_path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name not in wanted:
                name = Path(name).name
            if member.isfile() and name in wanted:
                images[name] = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
    photos = []
    for row in rows:
        boxes = np.array(row["boxes"], np.float32).reshape(-1, 4)
        faces = np.array(teacher.get(row["file"], []), np.float32).reshape(-1, 15)
        photos.append(Photo(row["file"], images[row["file"]], *merge_labels(boxes, faces, teacher_mix)))
    return photos


def read_wider(label_path: str | Path, image_folder: str | Path | None = None, limit: int | None = None) -> list[Photo]:
    """WIDER FACE with the `label.txt` of `retinaface_gt`.

    A line `# folder/name.jpg` starts a photograph; every other line is a face: x y w h, then for each of the five
    landmarks x y flag (all -1: not annotated), then a blur value. Files without landmarks (four numbers, as in the
    validation list) are read too. Images are looked for in `images/` beside the list unless a folder is given.
    """
    label_path = Path(label_path)
    folder = Path(image_folder) if image_folder else label_path.parent / "images"
    rows: list[tuple[str, list[list[float]]]] = []
    with open(label_path, encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line.startswith("#"):
                rows.append((line[1:].strip(), []))
            elif line:
                rows[-1][1].append([float(value) for value in line.split()])
    photos = []
    for name, faces in rows[:limit]:
        boxes, landmarks, ignored = [], [], []
        for face in faces:
            x, y, w, h = face[:4]
            if w < 1 or h < 1:
                continue
            boxes.append([x, y, x + w, y + h])
            points = np.array(face[4:19], np.float32).reshape(-1, 3) if len(face) >= 19 else np.full((5, 3), -1.0)
            known = bool((points[:, :2] >= 0).all())
            landmarks.append(points[:, :2].reshape(10) if known else np.full(10, np.nan))
        image = Image.open(folder / name).convert("RGB")
        photos.append(
            Photo(
                name, image, np.array(boxes, np.float32).reshape(-1, 4),
                np.array(landmarks, np.float32).reshape(-1, 10), np.array(ignored, np.float32).reshape(-1, 4),
            )
        )
    return photos


@dataclass
class AugmentOptions:
    """Probabilities and ranges of the random crops."""

    mosaic: float = 0.3
    negative: float = 0.13
    negative_tile: float = 0.15
    """Share of a mosaic's tiles that come from photographs without a face."""
    smallest: float = 6.5
    """Smallest target side of the chosen face, pixels."""
    largest_share: float = 1.0
    """Largest target side as a share of the crop's side (the face then fills it)."""
    upscale: float = 3.0
    """Largest enlargement of a photograph."""
    close_up: float = 0.6
    """Share of the one-photograph crops of over 384 px that are close-ups: the largest face of a photograph that has one
    of at least `close_up_face` px, at a quarter of the crop's side or more."""
    close_up_face: float = 96.0
    close_up_upscale: float = 6.0
    close_up_largest: float = 1.1
    """Largest target side of a close-up's face as a share of the crop's side."""
    negative_weight: float = 12.0
    """Weight in the class loss of a photograph without a face. Among hundreds of positives and thousands of mined
    negatives beside faces, a dog taken for a face would hardly count: with weight 1, photographs that were trained on
    kept as many false alarms as others."""
    plain: float = 0.15
    """Share of crops that are resized, mirrored and nothing else."""
    source_weights: dict[str, float] = field(default_factory=lambda: {"large": 2.5, "varied": 1.4})
    """How much more often than by its number a source's photographs are drawn (1 where not named)."""


@dataclass
class Canvas:
    """A crop under construction: an RGB image and the labels on it."""

    image: Image.Image
    boxes: list[np.ndarray] = field(default_factory=list)
    landmarks: list[np.ndarray] = field(default_factory=list)
    ignored: list[np.ndarray] = field(default_factory=list)


def random_fill(rng: random.Random) -> tuple[int, int, int]:
    """Colour of what no photograph covers: usually grey like the subtracted mean, sometimes black, white or any."""
    choice = rng.random()
    if choice < 0.5:
        return (123, 117, 104)
    if choice < 0.7:
        return (0, 0, 0)
    if choice < 0.75:
        return (255, 255, 255)
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def resize_region(
    rng: random.Random, image: Image.Image, region: tuple[float, float, float, float], size: tuple[int, int]
) -> Image.Image:
    """`region` (x1, y1, x2, y2) of the image at `size` (w, h), with the resampling filters that users' code has."""
    choice = rng.random()
    if choice < 0.15:
        # Bilinear without prefilter: what cv2.resize and most mobile pipelines do; it aliases when shrinking.
        x1, y1, x2, y2 = region
        sx, sy = (x2 - x1) / size[0], (y2 - y1) / size[1]
        return image.transform(size, Image.Transform.AFFINE, (sx, 0, x1, 0, sy, y1), Image.Resampling.BILINEAR)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
    return image.resize(size, rng.choices(filters, (0.5, 0.25, 0.15, 0.1))[0], box=region)


def paste_photo(
    rng: random.Random, canvas: Canvas, photo: Photo, cell: tuple[int, int, int, int], smallest: float, largest: float,
    upscale: float, face_index: int | None = None,
) -> None:
    """Fills `cell` (x1, y1, x2, y2) of the canvas with a piece of a photograph, and adds its labels.

    One face of the photograph (`face_index`, or any) is brought to a side drawn log-uniformly from
    `smallest`..`largest`; the piece is placed so that this face's centre lies anywhere in the cell.
    """
    width, height = cell[2] - cell[0], cell[3] - cell[1]
    image = photo.image
    if len(photo.boxes):
        face = photo.boxes[rng.randrange(len(photo.boxes)) if face_index is None else face_index]
        side = math.sqrt(max(1.0, float((face[2] - face[0]) * (face[3] - face[1]))))
        scale = math.exp(rng.uniform(math.log(smallest), math.log(largest))) / side
        centre = (float(face[0] + face[2]) / 2, float(face[1] + face[3]) / 2)
    else:
        side = 0.0
        scale = math.exp(rng.uniform(math.log(0.4), math.log(upscale)))
        centre = (rng.uniform(0, image.width), rng.uniform(0, image.height))
    # Not so small that most of the cell stays empty, not so large that pixels turn to blur.
    scale = min(max(scale, 0.75 * max(width / image.width, height / image.height), 0.08), upscale)
    # Offset of the photograph's origin in the cell; a large face keeps most of itself inside.
    offsets = []
    for extent, middle, length in ((width, centre[0], image.width), (height, centre[1], image.height)):
        margin = min(0.35 * side * scale, 0.45 * extent)
        offset = rng.uniform(margin, extent - margin) - middle * scale
        if length * scale >= extent:
            # Keep the cell covered where the photograph is large enough, most of the time.
            if rng.random() < 0.85:
                offset = min(0.0, max(extent - length * scale, offset))
        else:
            offset = rng.uniform(0, extent - length * scale)
        offsets.append(offset)
    # Whole destination pixels, exact source region.
    left, top = max(0, math.ceil(offsets[0])), max(0, math.ceil(offsets[1]))
    right = min(width, math.floor(offsets[0] + image.width * scale))
    bottom = min(height, math.floor(offsets[1] + image.height * scale))
    if right - left < 2 or bottom - top < 2:
        return
    region = (
        max(0.0, (left - offsets[0]) / scale), max(0.0, (top - offsets[1]) / scale),
        min(image.width, (right - offsets[0]) / scale), min(image.height, (bottom - offsets[1]) / scale),
    )
    piece = resize_region(rng, image, region, (right - left, bottom - top))
    canvas.image.paste(piece, (cell[0] + left, cell[1] + top))
    shift = np.array([cell[0] + offsets[0], cell[1] + offsets[1]], np.float32)
    limits = np.array([cell[0] + left, cell[1] + top, cell[0] + right, cell[1] + bottom], np.float32)
    boxes = photo.boxes * scale + np.tile(shift, 2)
    landmarks = photo.landmarks * scale + np.tile(shift, 5)
    add_labels(canvas, boxes, landmarks, photo.ignored * scale + np.tile(shift, 2), limits)


def add_labels(
    canvas: Canvas, boxes: np.ndarray, landmarks: np.ndarray, ignored: np.ndarray, limits: np.ndarray
) -> None:
    """Clips labels to `limits` (x1, y1, x2, y2). Half hidden or tiny faces become ignored regions."""
    for group, is_face in ((boxes, True), (ignored, False)):
        for k, box in enumerate(group):
            clipped = np.concatenate([np.maximum(box[:2], limits[:2]), np.minimum(box[2:], limits[2:])])
            width, height = clipped[2:] - clipped[:2]
            if width <= 1 or height <= 1:
                continue
            whole = float((box[2] - box[0]) * (box[3] - box[1]))
            visible = float(width * height) / max(whole, 1e-6)
            if is_face and visible >= 0.5 and width * height >= SMALLEST_FACE**2:
                canvas.boxes.append(clipped)
                canvas.landmarks.append(landmarks[k])
            elif visible >= 0.15 or not is_face:
                canvas.ignored.append(clipped)


def mirror(canvas: Canvas) -> None:
    """Swaps left and right, landmarks re-ordered."""
    width = canvas.image.width
    canvas.image = canvas.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for group in (canvas.boxes, canvas.ignored):
        for k, box in enumerate(group):
            group[k] = np.array([width - box[2], box[1], width - box[0], box[3]], np.float32)
    for k, points in enumerate(canvas.landmarks):
        points = points.reshape(5, 2)[list(MIRROR_ORDER)].copy()
        points[:, 0] = width - points[:, 0]
        canvas.landmarks[k] = points.reshape(10)


def rotate(canvas: Canvas, degrees: float) -> None:
    """Turns the crop about its centre. Boxes keep their size and move with their centre: good for small angles."""
    width, height = canvas.image.size
    canvas.image = canvas.image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(123, 117, 104))
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    middle = np.array([width / 2, height / 2], np.float32)

    def move(points: np.ndarray) -> np.ndarray:
        return (points - middle) @ turn.T + middle

    limits = np.array([0, 0, width, height], np.float32)
    old = Canvas(canvas.image, canvas.boxes, canvas.landmarks, canvas.ignored)
    canvas.boxes, canvas.landmarks, canvas.ignored = [], [], []

    def turned(box: np.ndarray) -> np.ndarray:
        centre, half = move((box[:2] + box[2:]) / 2), (box[2:] - box[:2]) / 2
        return np.concatenate([centre - half, centre + half])

    boxes = np.array([turned(b) for b in old.boxes], np.float32).reshape(-1, 4)
    ignored = np.array([turned(b) for b in old.ignored], np.float32).reshape(-1, 4)
    points = np.array([move(p.reshape(5, 2)).reshape(10) for p in old.landmarks], np.float32).reshape(-1, 10)
    add_labels(canvas, boxes, points, ignored, limits)


def occlude(rng: random.Random, canvas: Canvas) -> None:
    """Covers parts of some faces: a mask over mouth and nose, a bar over the eyes, or any rectangle."""
    draw = ImageDraw.Draw(canvas.image)
    for box, points in zip(canvas.boxes, canvas.landmarks):
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        if rng.random() > 0.10 or width < 12:
            continue
        colour = rng.choice(
            [(235, 238, 240), (130, 175, 205), (20, 20, 24), tuple(rng.randrange(256) for _ in range(3))]
        )
        kind = rng.random()
        if kind < 0.45 and not np.isnan(points).any():
            eyes, nose, mouth = points[:4].reshape(2, 2), points[4:6], points[6:].reshape(2, 2)
            down = mouth.mean(0) - eyes.mean(0)
            side = eyes[1] - eyes[0]
            top = eyes.mean(0) + down * rng.uniform(0.3, 0.6)
            spread = rng.uniform(0.75, 0.95)
            polygon = [
                top - side * spread, nose - down * rng.uniform(0.0, 0.25), top + side * spread,
                mouth.mean(0) + side * spread * 0.85 + down * 0.25, mouth.mean(0) + down * rng.uniform(0.5, 0.75),
                mouth.mean(0) - side * spread * 0.85 + down * 0.25,
            ]
            draw.polygon([(float(p[0]), float(p[1])) for p in polygon], fill=colour)
        elif kind < 0.65 and not np.isnan(points).any():
            eyes = points[:4].reshape(2, 2)
            side = eyes[1] - eyes[0]
            ends = [eyes[0] - side * 0.35, eyes[1] + side * 0.35]
            draw.line([(float(p[0]), float(p[1])) for p in ends], fill=colour, width=max(2, int(height * 0.18)))
        else:
            w, h = width * rng.uniform(0.2, 0.55), height * rng.uniform(0.2, 0.55)
            x, y = rng.uniform(box[0], box[2] - w), rng.uniform(box[1], box[3] - h)
            draw.rectangle([float(x), float(y), float(x + w), float(y + h)], fill=colour)


def colour_matrix(rng: random.Random) -> tuple[float, ...]:
    """A random 3 x 4 colour transform: saturation (down to grey), hue, contrast, brightness, colour temperature."""
    grey = np.full((3, 3), (0.299, 0.587, 0.114), np.float64)
    saturation = 0.0 if rng.random() < 0.12 else rng.uniform(0.5, 1.5)
    matrix = saturation * np.eye(3) + (1 - saturation) * grey
    if rng.random() < 0.5:
        angle = math.radians(rng.uniform(-18, 18))
        axis = np.full((3, 3), 1 / 3)
        cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        matrix = (math.cos(angle) * np.eye(3) + (1 - math.cos(angle)) * axis + math.sin(angle) * cross) @ matrix
    gains = [rng.uniform(0.88, 1.12) for _ in range(3)]
    matrix = np.diag(gains) @ matrix
    contrast = rng.uniform(0.6, 1.4)
    offset = 128 * (1 - contrast) + rng.uniform(-40, 40)
    return tuple(float(v) for row in contrast * matrix for v in (*row, offset))


NOISE_SIDE = 1024
"""Side in pixels of the prepared noise, of which crops take a piece, repeated where they are larger."""

_NOISE: list[np.ndarray] = []


def degrade(rng: random.Random, image: Image.Image) -> Image.Image:
    """What cameras and networks do to pictures: low resolution, blur, noise, JPEG, over-sharpening."""
    size = image.size
    choice = rng.random()
    if choice < 0.12:
        factor = rng.uniform(1.2, 2.5)
        small = (max(8, int(size[0] / factor)), max(8, int(size[1] / factor)))
        image = image.resize(small, Image.Resampling.BILINEAR).resize(size, Image.Resampling.BICUBIC)
    elif choice < 0.20:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.6)))
    elif choice < 0.28:
        image = image.filter(ImageFilter.SHARPEN)
    if rng.random() < 0.12:
        if not _NOISE:
            generator = np.random.default_rng(0)
            _NOISE.extend(generator.standard_normal((NOISE_SIDE, NOISE_SIDE, 3), np.float32) for _ in range(2))
        rows = (rng.randrange(NOISE_SIDE) + np.arange(size[1])) % NOISE_SIDE
        columns = (rng.randrange(NOISE_SIDE) + np.arange(size[0])) % NOISE_SIDE
        noise = rng.choice(_NOISE)[rows[:, None], columns]
        noisy = np.asarray(image, np.float32) + noise * rng.uniform(3, 18)
        image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    if rng.random() < 0.18:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=rng.randrange(25, 90))
        image = Image.open(stream).convert("RGB")
    return image


class CropDataset(torch.utils.data.IterableDataset):
    """An endless stream of batches of random crops.

    A batch is a dictionary: image [B, size, size, 3] uint8 in B, G, R order, and the targets of `multi_task_loss`,
    numbered by the anchors of that crop size. `sizes` lists (crop side, batch size, share of the batches). Processes
    that train together give their `rank`: their crops differ, their sequence of sizes does not, so that none waits.
    """

    def __init__(
        self, photos: list[Photo], negatives: list[Photo], sizes: list[tuple[int, int, float]],
        options: AugmentOptions, seed: int, rank: int = 0,
    ) -> None:
        self.photos = [p for p in photos if len(p.boxes)]
        self.negatives = negatives
        self.sizes = sizes
        self.options = options
        self.seed = seed
        self.rank = rank
        self.plain = torch.tensor(options.plain).share_memory_()
        """`options.plain`, which may be set while loader processes run."""
        weight = np.array([options.source_weights.get(p.source, 1.0) for p in self.photos], float)
        # A photograph with many faces is seen a little more often than one with a single face.
        weight *= np.array([min(len(p.boxes), 12) ** 0.35 for p in self.photos])
        self.cumulative = np.cumsum(weight / weight.sum()).tolist()
        large = np.array([anchor_code.area(p.boxes).max() >= options.close_up_face**2 for p in self.photos], bool)
        self.close_ups = [p for p, is_large in zip(self.photos, large) if is_large]
        self.cumulative_close_ups = np.cumsum(weight[large]).tolist()

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        stream = worker.id if worker else 0
        sequence = random.Random(self.seed * 1000 + stream)
        rng = random.Random((self.seed * 1000 + stream) * 1000 + self.rank)
        while True:
            side, count, _ = sequence.choices(self.sizes, [share for *_, share in self.sizes])[0]
            yield collate([self.sample(rng, side) for _ in range(count)])

    def draw_photo(self, rng: random.Random) -> Photo:
        return rng.choices(self.photos, cum_weights=self.cumulative)[0]

    def sample(self, rng: random.Random, side: int) -> dict[str, np.ndarray]:
        """One crop with its anchor targets."""
        canvas = self.compose(rng, side)
        if rng.random() < 0.5:
            mirror(canvas)
        if rng.random() > float(self.plain):
            if rng.random() < 0.2:
                rotate(canvas, rng.uniform(-25, 25))
            occlude(rng, canvas)
            if rng.random() < 0.7:
                canvas.image = canvas.image.convert("RGB", colour_matrix(rng))
            if rng.random() < 0.25:
                gamma = math.exp(rng.uniform(-0.6, 0.6))
                canvas.image = canvas.image.point([round(255 * (v / 255) ** gamma) for v in range(256)] * 3)
            canvas.image = degrade(rng, canvas.image)
        crop = targets(canvas)
        if not canvas.boxes and not canvas.ignored:
            crop["weight"][:] = self.options.negative_weight
        return crop

    def compose(self, rng: random.Random, side: int) -> Canvas:
        """A crop before distortions: a photograph, a mosaic of several, or one without a face."""
        options = self.options
        canvas = Canvas(Image.new("RGB", (side, side), random_fill(rng)))
        choice = rng.random()
        whole = (0, 0, side, side)
        if choice < options.negative and self.negatives:
            paste_photo(rng, canvas, rng.choice(self.negatives), whole, 1, 1, options.upscale)
        elif choice < options.negative + options.mosaic:
            # Cells small enough that whole photographs of groups shrink into them: many tiny faces a crop.
            parts = rng.choice((2, 2, 3, 3, 4)) * max(1, side // 256)
            steps = [0] + [round(side * (k + rng.uniform(-0.3, 0.3)) / parts) for k in range(1, parts)] + [side]
            rows = [0] + [round(side * (k + rng.uniform(-0.3, 0.3)) / parts) for k in range(1, parts)] + [side]
            for y1, y2 in zip(rows, rows[1:]):
                for x1, x2 in zip(steps, steps[1:]):
                    is_negative = self.negatives and rng.random() < options.negative_tile
                    photo = rng.choice(self.negatives) if is_negative else self.draw_photo(rng)
                    paste_photo(rng, canvas, photo, (x1, y1, x2, y2), options.smallest, 0.6 * (x2 - x1), 1.5)
        else:
            if side > 384 and self.close_ups and rng.random() < options.close_up:
                # Large faces, which the small crops cannot hold.
                photo = rng.choices(self.close_ups, cum_weights=self.cumulative_close_ups)[0]
                smallest, largest, upscale = 0.25 * side, options.close_up_largest * side, options.close_up_upscale
                face = int(anchor_code.area(photo.boxes).argmax())
            else:
                photo, face = self.draw_photo(rng), None
                smallest, largest, upscale = options.smallest, options.largest_share * side, options.upscale
            paste_photo(rng, canvas, photo, whole, smallest, largest, upscale, face)
        return canvas


def targets(canvas: Canvas) -> dict[str, np.ndarray]:
    """Image [H, W, 3] uint8 (B, G, R) and anchor targets of a finished crop."""
    width, height = canvas.image.size
    anchors = anchor_code.make_anchors(height, width)
    boxes = np.array(canvas.boxes, np.float32).reshape(-1, 4)
    points = np.array(canvas.landmarks, np.float32).reshape(-1, 10)
    ignored = np.array(canvas.ignored, np.float32).reshape(-1, 4)
    label, index = anchor_code.match(anchors, boxes, ignored)
    box = np.zeros((len(anchors), 4), np.float32)
    landmark = np.zeros((len(anchors), 10), np.float32)
    has_landmark = np.zeros(len(anchors), bool)
    weight = np.ones(len(anchors), np.float32)
    distillable = np.ones(len(anchors), bool)
    distillable[anchors[:, 2] <= 16] = False
    centred = np.ones(len(anchors), np.float32)
    positive = label == 1
    if positive.any():
        chosen = index[positive]
        box[positive] = anchor_code.encode_boxes(boxes[chosen], anchors[positive])
        codes = anchor_code.encode_landmarks(points[chosen], anchors[positive])
        known = ~np.isnan(codes).any(axis=1)
        landmark[positive] = np.nan_to_num(codes)
        has_landmark[positive] = known
        side = np.sqrt(anchor_code.area(boxes))
        distillable[positive] = side[chosen] >= DISTILLABLE_FACE
        # A mosaic has fifty tiny faces, a close-up has one large face: without this the tiny ones, whose landmarks are
        # mostly noise, would own the regression.
        weight[positive] = np.clip(np.sqrt(side[chosen] / 32), 0.5, 2.0)
        overlap = anchor_code.iou_of_pairs(anchor_code.corners(anchors[positive]), boxes[chosen])
        best = np.full(len(boxes), 1e-9)
        np.maximum.at(best, chosen, overlap)
        centred[positive] = overlap / best[chosen]
    return {
        "image": np.asarray(canvas.image)[:, :, ::-1],
        "label": label,
        "box": box,
        "landmark": landmark,
        "has_landmark": has_landmark,
        "weight": weight,
        "centred": centred,
        "distillable": distillable,
    }


def collate(samples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Stacks the arrays of several crops."""
    return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}
