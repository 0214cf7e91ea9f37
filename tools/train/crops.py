"""The random crops that a training step sees, and their anchor targets."""

from __future__ import annotations

from dataclasses import dataclass, field
import io
import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
import torch

import anchors as anchor_code
from photos import Labels, Photo
import recipe as recipe_code

MIRROR_ORDER = (1, 0, 2, 4, 3)
"""New order of the five landmarks after mirroring: left and right swap."""

SMALLEST_FACE = 5.5
"""Side in pixels under which a face in a crop is neither taught nor counted as background."""

GREY = (123, 117, 104)
"""The mean that the network subtracts."""


@dataclass
class Canvas:
    """A crop under construction: an RGB image and the labels on it."""

    image: Image.Image
    labels: Labels = field(default_factory=Labels)
    photos: list[Photo] = field(default_factory=list)
    """Of which there are pieces in it."""

    def add(self, labels: Labels, limits: np.ndarray) -> None:
        """Adds labels in pixels of the canvas, clipped to `limits` (x1, y1, x2, y2). Half hidden or tiny faces become ignored."""
        mine = self.labels
        boxes = clip(labels.boxes, limits)
        sides = boxes[:, 2:] - boxes[:, :2]
        inside = (sides > 1).all(axis=1)
        size = np.where(inside, sides.prod(axis=1), 0)
        visible = size / np.maximum(anchor_code.area(labels.boxes), 1e-6)
        taught = inside & (visible >= 0.5) & (size >= SMALLEST_FACE**2)
        ignored = clip(labels.ignored, limits)
        ignored = ignored[(ignored[:, 2:] - ignored[:, :2] > 1).all(axis=1)]
        self.labels = Labels(
            np.concatenate([mine.boxes, boxes[taught]]),
            np.concatenate([mine.landmarks, labels.landmarks[taught]]),
            np.concatenate([mine.certainty, labels.certainty[taught]]),
            np.concatenate([mine.ignored, ignored, boxes[inside & ~taught & (visible >= 0.15)]]))

    def move(self, image: Image.Image, matrix: np.ndarray, shift: np.ndarray, swaps: bool = False) -> None:
        """Replaces the image by one in which the pixel p has become matrix p + shift. Boxes keep their size (`swaps`: with
        width and height swapped) and move with their centre."""
        def boxes(group: np.ndarray) -> np.ndarray:
            centre = (group[:, :2] + group[:, 2:]) / 2 @ matrix.T + shift
            half = (group[:, 2:] - group[:, :2])[:, ::-1 if swaps else 1] / 2
            return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)

        old, self.image, self.labels = self.labels, image, Labels()
        points = (old.landmarks.reshape(-1, 5, 2) @ matrix.T + shift).reshape(-1, 10).astype(np.float32)
        limits = np.array([0, 0, *image.size], np.float32)
        self.add(Labels(boxes(old.boxes), points, old.certainty, boxes(old.ignored)), limits)


def clip(boxes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Boxes [n, 4] within limits [4]; what lies outside gets no area, or a negative one."""
    return np.concatenate([np.maximum(boxes[:, :2], limits[:2]), np.minimum(boxes[:, 2:], limits[2:])], axis=1)


def random_fill(rng: random.Random) -> tuple[int, int, int]:
    """Colour of what no photograph covers: usually grey like the subtracted mean, sometimes black, white or any."""
    choice = rng.random()
    if choice < 0.5:
        return GREY
    if choice < 0.7:
        return (0, 0, 0)
    if choice < 0.75:
        return (255, 255, 255)
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def resize_region(
    rng: random.Random, pixels: np.ndarray, region: tuple[float, float, float, float], size: tuple[int, int]
) -> Image.Image:
    """`region` (x1, y1, x2, y2) of the pixels at `size` (w, h), with the resampling filters that users' code has."""
    # Only what the region and its filters need is copied from the mapped file.
    left, top = (max(0, math.floor(v) - 4) for v in region[:2])
    right, bottom = min(pixels.shape[1], math.ceil(region[2]) + 4), min(pixels.shape[0], math.ceil(region[3]) + 4)
    image = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    x1, y1, x2, y2 = region[0] - left, region[1] - top, region[2] - left, region[3] - top
    if rng.random() < 0.15:
        # Bilinear without prefilter: what cv2.resize and most mobile pipelines do; it aliases when shrinking.
        sx, sy = (x2 - x1) / size[0], (y2 - y1) / size[1]
        return image.transform(size, Image.Transform.AFFINE, (sx, 0, x1, 0, sy, y1), Image.Resampling.BILINEAR)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
    chosen = rng.choices(filters, (0.5, 0.25, 0.15, 0.1))[0]
    return image.resize(size, chosen, box=(x1, y1, min(x2, image.width), min(y2, image.height)), reducing_gap=2.0)


def paste_photo(
    rng: random.Random, canvas: Canvas, photo: Photo, cell: tuple[int, int, int, int], scale: float, aspect: float = 1.0,
    face: int | None = None,
) -> None:
    """Fills `cell` (x1, y1, x2, y2) of the canvas with a piece of a photograph, and adds its labels.

    The photograph is resized by `scale`, times and through the root of `aspect` in x and y, and placed so that the centre of
    `face` (None: any point) lies anywhere in the cell.
    """
    scales = (scale * math.sqrt(aspect), scale / math.sqrt(aspect))
    if face is not None:
        box = photo.labels.boxes[face]
        centre, side = ((float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2),
                        math.sqrt(max(1.0, float((box[2] - box[0]) * (box[3] - box[1])))))
    else:
        centre, side = (rng.uniform(0, photo.width), rng.uniform(0, photo.height)), 0.0
    # Offset of the photograph's origin in the cell; a large face keeps most of itself inside.
    extents, lengths = (cell[2] - cell[0], cell[3] - cell[1]), (photo.width * scales[0], photo.height * scales[1])
    offsets = []
    for extent, middle, length, factor in zip(extents, centre, lengths, scales):
        margin = min(0.35 * side * factor, 0.45 * extent)
        offset = rng.uniform(margin, extent - margin) - middle * factor
        if length >= extent:
            # Keep the cell covered where the photograph is large enough, most of the time.
            if rng.random() < 0.85:
                offset = min(0.0, max(extent - length, offset))
        else:
            offset = rng.uniform(0, extent - length)
        offsets.append(offset)
    # Whole destination pixels, exact source region.
    left, top = max(0, math.ceil(offsets[0])), max(0, math.ceil(offsets[1]))
    right, bottom = (min(extents[k], math.floor(offsets[k] + lengths[k])) for k in (0, 1))
    if right - left < 2 or bottom - top < 2:
        return
    region = tuple((edge - offsets[k % 2]) / scales[k % 2] for k, edge in enumerate((left, top, right, bottom)))
    region = (max(0.0, region[0]), max(0.0, region[1]), min(photo.width, region[2]), min(photo.height, region[3]))
    canvas.image.paste(resize_region(rng, photo.pixels, region, (right - left, bottom - top)), (cell[0] + left, cell[1] + top))
    canvas.photos.append(photo)
    factor = np.array(scales * 2, np.float32)
    shift = np.array([cell[0] + offsets[0], cell[1] + offsets[1]] * 2, np.float32)
    limits = np.array([cell[0] + left, cell[1] + top, cell[0] + right, cell[1] + bottom], np.float32)
    labels = photo.labels
    canvas.add(Labels(
        labels.boxes * factor + shift, labels.landmarks * np.tile(factor[:2], 5) + np.tile(shift[:2], 5), labels.certainty,
        labels.ignored * factor + shift), limits)


def mirror(canvas: Canvas) -> None:
    """Swaps left and right, landmarks re-ordered."""
    width = canvas.image.width
    canvas.image = canvas.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    labels = canvas.labels
    for group in (labels.boxes, labels.ignored):
        group[:, [0, 2]] = width - group[:, [2, 0]]
    points = labels.landmarks.reshape(-1, 5, 2)[:, list(MIRROR_ORDER)]
    points[:, :, 0] = width - points[:, :, 0]
    labels.landmarks = points.reshape(-1, 10)


def turn(canvas: Canvas, degrees: float) -> None:
    """Turns the crop about its centre, counter-clockwise."""
    middle = np.array(canvas.image.size, np.float32) / 2
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    quarters, rest = divmod(degrees, 90)
    if rest:
        image = canvas.image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=GREY)
    else:
        kinds = Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270
        image = canvas.image.transpose(kinds[int(quarters) - 1])
    canvas.move(image, matrix, middle - matrix @ middle, swaps=not rest and int(quarters) % 2 == 1)


def occlude(rng: random.Random, canvas: Canvas, share: float, other: Photo | None) -> None:
    """Covers parts of some faces: a mask over mouth and nose, a bar over the eyes, or a rectangle of a colour or of another
    photograph."""
    draw = ImageDraw.Draw(canvas.image)
    for box, points in zip(canvas.labels.boxes, canvas.labels.landmarks):
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        if rng.random() > share or width < 12:
            continue
        colour = rng.choice(
            [(235, 238, 240), (130, 175, 205), (20, 20, 24), tuple(rng.randrange(256) for _ in range(3))]
        )
        kind = rng.random()
        known = not np.isnan(points).any()
        if kind < 0.4 and known:
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
        elif kind < 0.6 and known:
            eyes = points[:4].reshape(2, 2)
            side = eyes[1] - eyes[0]
            ends = [eyes[0] - side * 0.35, eyes[1] + side * 0.35]
            draw.line([(float(p[0]), float(p[1])) for p in ends], fill=colour, width=max(2, int(height * 0.18)))
        else:
            w, h = max(3, round(width * rng.uniform(0.2, 0.55))), max(3, round(height * rng.uniform(0.2, 0.55)))
            x, y = round(rng.uniform(box[0], box[2] - w)), round(rng.uniform(box[1], box[3] - h))
            if other is None or rng.random() < 0.4 or other.width <= w or other.height <= h:
                draw.rectangle([x, y, x + w - 1, y + h - 1], fill=colour)
            else:
                left, top = rng.randrange(other.width - w), rng.randrange(other.height - h)
                canvas.image.paste(Image.fromarray(np.ascontiguousarray(other.pixels[top : top + h, left : left + w])), (x, y))


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


def add_noise(rng: random.Random, image: Image.Image, gain: float, deviation: float) -> Image.Image:
    """`gain` times the image, and Gaussian noise of that deviation, in grey levels."""
    if not _NOISE:
        generator = np.random.default_rng(0)
        _NOISE.extend(generator.standard_normal((NOISE_SIDE, NOISE_SIDE, 3), np.float32) for _ in range(2))
    rows = (rng.randrange(NOISE_SIDE) + np.arange(image.height)) % NOISE_SIDE
    columns = (rng.randrange(NOISE_SIDE) + np.arange(image.width)) % NOISE_SIDE
    noise = rng.choice(_NOISE)[rows[:, None], columns]
    noisy = np.asarray(image, np.float32) * gain + noise * deviation
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def degrade(rng: random.Random, image: Image.Image, low_light: float) -> Image.Image:
    """What cameras and networks do to pictures: low resolution, blur, noise, little light, JPEG, over-sharpening."""
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
    choice = rng.random()
    if choice < low_light:
        image = add_noise(rng, image, rng.uniform(0.12, 0.5), rng.uniform(2, 10))
    elif choice < low_light + 0.10:
        image = add_noise(rng, image, 1, rng.uniform(3, 18))
    if rng.random() < 0.18:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=rng.randrange(25, 90))
        image = Image.open(stream).convert("RGB")
    return image


class Batches(torch.utils.data.Dataset):
    """The batch of every step of a recipe, by the step's number: the same however often a run was stopped.

    A batch is a dictionary: image [B, side, side, 3] uint8, R, G, B, the targets of `multi_task_loss`, and network [B] int64, which of
    `Recipe.networks` teaches a crop (-1: none). Processes that train together are `team` and share every batch's crops: each has, by
    its `rank`, every `team`th.
    """

    def __init__(
        self, recipe: recipe_code.Recipe, collections: list[tuple[recipe_code.Collection, list[Photo]]], seed: int,
        rank: int = 0, team: int = 1,
    ) -> None:
        self.recipe, self.seed, self.rank, self.team = recipe, seed, rank, team
        weights = {}
        networks = recipe.networks()
        self.networks: dict[int, int] = {}
        self.photos, self.negatives = [], []
        for collection, photos in collections:
            if collection.taught_by in networks:
                self.networks.update({id(p): networks.index(collection.taught_by) for p in photos})
            if collection.labels == "none":
                self.negatives += photos
            else:
                self.photos += [p for p in photos if len(p.labels.boxes)]
                weights.update({id(p): collection.weights.get(p.source, 1.0) for p in photos})
        if not self.photos:
            raise ValueError("expected photographs with faces to train on, found none")
        # A photograph with many faces is seen a little more often than one with a single face.
        weight = np.array([weights[id(p)] * min(len(p.labels.boxes), 12) ** 0.35 for p in self.photos])
        self.cumulative = np.cumsum(weight / weight.sum()).tolist()
        large = np.array([anchor_code.area(p.labels.boxes).max() >= recipe.crops.close_up_face**2 for p in self.photos], bool)
        self.close_ups = [p for p, is_large in zip(self.photos, large) if is_large]
        self.cumulative_close_ups = np.cumsum(weight[large]).tolist()

    def __len__(self) -> int:
        return self.recipe.schedule.steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        crops = self.recipe.crops
        side = random.Random(f"{self.seed} {step}").choices(crops.sides, crops.shares)[0]
        return self.crops(step, side, range(self.rank, self.size(side), self.team))

    def size(self, side: int) -> int:
        """Crops of that side a step, one or more for every process."""
        first = self.recipe.crops.sides[0]
        return max(self.team, round(self.recipe.schedule.batch * (first / side) ** 2))

    def crops(self, step: int, side: int, numbers: range) -> dict[str, torch.Tensor]:
        """Some crops of a step."""
        crops, schedule = self.recipe.crops, self.recipe.schedule
        plain = crops.plain_at_end if schedule.left(step) <= schedule.plain_end else crops.plain
        samples = [self.sample(random.Random(f"{self.seed} {step} {number}"), side, plain) for number in numbers]
        return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}

    def draw_photo(self, rng: random.Random) -> Photo:
        """Any photograph with faces, by weight."""
        return rng.choices(self.photos, cum_weights=self.cumulative)[0]

    def sample(self, rng: random.Random, side: int, plain: float) -> dict[str, np.ndarray]:
        """One crop with its anchor targets."""
        options = self.recipe.crops
        is_plain = rng.random() < plain
        canvas = self.compose(rng, side, is_plain)
        if rng.random() < 0.5:
            mirror(canvas)
        if not is_plain:
            choice = rng.random()
            if choice < options.quarter_turn:
                turn(canvas, rng.choice((90, 180, 270)))
            elif choice < options.quarter_turn + options.turn:
                turn(canvas, rng.uniform(-options.turn_degrees, options.turn_degrees))
            occlude(rng, canvas, options.occlusion, rng.choice(self.negatives) if self.negatives else None)
            if rng.random() < 0.7:
                canvas.image = canvas.image.convert("RGB", colour_matrix(rng))
            if rng.random() < 0.25:
                gamma = math.exp(rng.uniform(-0.6, 0.6))
                canvas.image = canvas.image.point([round(255 * (v / 255) ** gamma) for v in range(256)] * 3)
            canvas.image = degrade(rng, canvas.image, options.low_light)
        network = max((self.networks.get(id(p), -1) for p in canvas.photos), default=-1)
        return targets(canvas) | {"network": np.array(network)}

    def compose(self, rng: random.Random, side: int, is_plain: bool) -> Canvas:
        """A crop before distortions: a photograph, a mosaic of several, or one without a face."""
        options = self.recipe.crops
        canvas = Canvas(Image.new("RGB", (side, side), random_fill(rng)))
        whole = (0, 0, side, side)
        choice = rng.random()
        if choice < options.negative and self.negatives:
            scale = math.exp(rng.uniform(math.log(0.4), math.log(options.upscale)))
            photo = rng.choice(self.negatives)
            paste_photo(rng, canvas, photo, whole, covering(photo, side, side, scale, options.upscale))
        elif choice < options.negative + options.mosaic:
            self.compose_mosaic(rng, canvas)
        else:
            self.compose_one(rng, canvas, is_plain)
        return canvas

    def compose_mosaic(self, rng: random.Random, canvas: Canvas) -> None:
        """Tiles so small that whole photographs of groups shrink into them: many tiny faces a crop, with labels that were
        made on larger ones."""
        options, side = self.recipe.crops, canvas.image.width
        parts = rng.choice((2, 2, 3, 3, 4)) * max(1, side // 256)
        columns, rows = (
            [0] + [round(side * (k + rng.uniform(-0.3, 0.3)) / parts) for k in range(1, parts)] + [side] for _ in range(2)
        )
        for y1, y2 in zip(rows, rows[1:]):
            for x1, x2 in zip(columns, columns[1:]):
                if self.negatives and rng.random() < options.negative_tile:
                    photo, face, scale = rng.choice(self.negatives), None, rng.uniform(0.2, 1)
                else:
                    photo = self.draw_photo(rng)
                    face, scale = face_at(rng, photo, options.smallest, 0.6 * (x2 - x1))
                paste_photo(rng, canvas, photo, (x1, y1, x2, y2), covering(photo, x2 - x1, y2 - y1, scale, 1.5), face=face)

    def compose_one(self, rng: random.Random, canvas: Canvas, is_plain: bool) -> None:
        """One photograph: a close-up, a square of it, or one of its faces at a chosen size."""
        options, side = self.recipe.crops, canvas.image.width
        aspect = 1.0
        if not is_plain and rng.random() < options.aspect:
            aspect = math.exp(rng.uniform(*(math.log(v) for v in options.aspect_range)))
        if side > 384 and self.close_ups and rng.random() < options.close_up:
            # Large faces, which the small crops cannot hold.
            photo = rng.choices(self.close_ups, cum_weights=self.cumulative_close_ups)[0]
            face, scale = face_at(
                rng, photo, 0.25 * side, options.close_up_largest * side, int(anchor_code.area(photo.labels.boxes).argmax()))
            scale = covering(photo, side, side, scale, options.close_up_upscale)
        else:
            photo = self.draw_photo(rng)
            if rng.random() < options.redistributed:
                face = rng.randrange(len(photo.labels.boxes))
                scale = min(side / (rng.uniform(*options.shortest_side) * min(photo.width, photo.height)), options.upscale)
            else:
                face, scale = face_at(rng, photo, options.smallest, options.largest_share * side)
                scale = covering(photo, side, side, scale, options.upscale)
        paste_photo(rng, canvas, photo, (0, 0, side, side), scale, aspect, face)


def face_at(rng: random.Random, photo: Photo, smallest: float, largest: float, face: int | None = None) -> tuple[int, float]:
    """A face of the photograph (any unless given), and the scale that gives it a side drawn log-uniformly from the range."""
    face = rng.randrange(len(photo.labels.boxes)) if face is None else face
    side = math.sqrt(max(1.0, float(anchor_code.area(photo.labels.boxes[face][None])[0])))
    return face, math.exp(rng.uniform(math.log(smallest), math.log(largest))) / side


def covering(photo: Photo, width: int, height: int, scale: float, upscale: float) -> float:
    """The scale, but not so small that most of the cell stays empty, nor so large that pixels turn to blur."""
    return min(max(scale, 0.75 * max(width / photo.width, height / photo.height), 0.08), upscale)


def targets(canvas: Canvas) -> dict[str, np.ndarray]:
    """Image [H, W, 3] uint8 and anchor targets of a finished crop."""
    width, height = canvas.image.size
    anchors = anchor_code.make_anchors(height, width)
    labels = canvas.labels
    label, index, overlap = anchor_code.match(height, width, labels.boxes, labels.ignored)
    count = len(anchors)
    box = np.zeros((count, 4), np.float32)
    landmark = np.zeros((count, 10), np.float32)
    has_landmark = np.zeros(count, bool)
    weight, centred, certainty = (np.ones(count, np.float32) for _ in range(3))
    positive = np.flatnonzero(label == 1)
    if len(positive):
        chosen = index[positive]
        box[positive] = anchor_code.encode_boxes(labels.boxes[chosen], anchors[positive])
        codes = anchor_code.encode_landmarks(labels.landmarks[chosen], anchors[positive])
        has_landmark[positive] = ~np.isnan(codes).any(axis=1)
        landmark[positive] = np.nan_to_num(codes)
        certainty[positive] = labels.certainty[chosen]
        # A crowd has fifty tiny faces, a close-up has one large face: without this the tiny ones, whose landmarks are
        # mostly noise, would own the regression.
        side = np.sqrt(anchor_code.area(labels.boxes))
        weight[positive] = np.clip(np.sqrt(side[chosen] / 32), 0.5, 2.0)
        best = np.full(len(labels.boxes), 1e-9)
        np.maximum.at(best, chosen, overlap[positive])
        centred[positive] = overlap[positive] / best[chosen]
    return {
        "image": np.asarray(canvas.image),
        "label": label,
        "certainty": certainty,
        "box": box,
        "landmark": landmark,
        "has_landmark": has_landmark,
        "weight": weight,
        "centred": centred,
        "negative": np.array(not len(labels.boxes) and not len(labels.ignored)),
    }
