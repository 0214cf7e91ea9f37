"""Tests of tools/train: the network, matching, readers, the measure, and a shortened training on drawn faces.

They need PyTorch and Pillow and are skipped, visibly, without them; one also needs the reference weights, looked for in
$RETINAFACE_SHARED or beside the repository in ../shared.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: training is not tested")
pytest.importorskip("PIL", reason="Pillow is not installed: training is not tested")
from PIL import Image, ImageDraw  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RETINAFACE_SHARED", ROOT.parent / "shared"))
sys.path[:0] = [str(ROOT / "tools" / "train"), str(ROOT / "tools")]

import anchors  # noqa: E402
import data  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import losses  # noqa: E402
import model  # noqa: E402
import train  # noqa: E402
from retinaface_weights import archive, weights_file  # noqa: E402
from retinaface_weights.errors import ConversionError  # noqa: E402

SHIPPED = ROOT / "weights" / "retinaface_mobilenet025.safetensors"


def draw_face(draw: ImageDraw.ImageDraw, x: float, y: float, side: float) -> tuple[list[float], list[float]]:
    """Draws a face of the given side around (x, y); its box [4] and landmarks [10]."""
    box = [x - 0.4 * side, y - 0.5 * side, x + 0.4 * side, y + 0.5 * side]
    draw.ellipse(box, fill=(225, 180, 150), outline=(120, 80, 60))
    points = [(-0.17, -0.12), (0.17, -0.12), (0.0, 0.05), (-0.13, 0.24), (0.13, 0.24)]
    marks = []
    for dx, dy in points:
        px, py, r = x + dx * side, y + dy * side, max(1.0, 0.05 * side)
        draw.ellipse([px - r, py - r, px + r, py + r], fill=(40, 20, 20))
        marks += [px, py]
    return box, marks


def drawn_photo(rng: random.Random, side: int = 160, faces: int = 3) -> tuple[Image.Image, list, list]:
    """A noisy picture with some faces that do not overlap, and as many discs of other colours."""
    noise = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    boxes, marks = [], []
    half = side / 2
    cells = rng.sample([(0, 0), (0, 1), (1, 0), (1, 1)], min(faces, 4))
    for row, column in cells:
        size = rng.uniform(28, 60)
        x, y = ((k + 0.5) * half + rng.uniform(-8, 8) for k in (column, row))
        box, points = draw_face(draw, x, y, size)
        boxes.append(box)
        marks.append(points)
    return image, boxes, marks


def write_set(folder: Path, name: str, count: int, seed: int, faces: int = 3) -> None:
    """NAME.tar, NAME.jsonl and NAME.teacher.jsonl with drawn photographs."""
    rng = random.Random(seed)
    rows, teacher = [], []
    with tarfile.open(folder / f"{name}.tar", "w") as archive:
        for k in range(count):
            image, boxes, marks = drawn_photo(rng, faces=faces)
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=92)
            file = f"drawn_{name}_{k}.jpg"
            member = tarfile.TarInfo(file)
            member.size = len(stream.getvalue())
            stream.seek(0)
            archive.addfile(member, stream)
            rows.append({"file": file, "width": image.width, "height": image.height, "boxes": boxes})
            teacher.append({"file": file, "faces": [[0.99, *box, *mark] for box, mark in zip(boxes, marks)]})
    for suffix, lines in (("jsonl", rows), ("teacher.jsonl", teacher)):
        (folder / f"{name}.{suffix}").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_state_dict_names_and_output_order() -> None:
    network = model.RetinaFace().eval()
    names = set(network.state_dict())
    assert {"body.stage1.0.0.weight", "ssh1.conv7x7_3.1.bias", "ClassHead.2.conv1x1.bias", "fpn.merge2.0.weight"} <= names
    logits, boxes, points = network(torch.zeros(2, 3, 65, 97))
    count = len(anchors.make_anchors(65, 97))
    assert logits.shape == (2, count, 2) and boxes.shape == (2, count, 4) and points.shape == (2, count, 10)


@pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason=f"no reference outputs: {SHARED} is absent")
@pytest.mark.parametrize("name", ["tiny", "vga"])
def test_official_weights_reproduce_their_outputs(name: str) -> None:
    network = model.load_detector(str(SHARED / "weights" / "biubug6_mobilenet0.25_Final.pth")).eval()
    image = np.asarray(Image.open(SHARED / "golden" / "biubug6" / f"{name}.png").convert("RGB"))
    expected = np.load(SHARED / "golden" / "biubug6" / f"{name}.npz")
    pixels = train.prepare(torch.from_numpy(image[None, :, :, ::-1].copy()), torch.device("cpu"))
    with torch.no_grad():
        logits, boxes, points = network(pixels)
    for values, key in ((logits.softmax(-1), "conf"), (boxes, "loc"), (points, "landms")):
        assert np.abs(values[0].numpy() - expected[key]).max() < 1e-4


def test_pytorch_gives_the_outputs_stored_with_the_shipped_weights() -> None:
    """Which every kernel set gives too (test_detector.cpp)."""
    tensors = archive.load(SHIPPED.read_bytes()).tensors
    network = model.load_detector(str(SHIPPED)).eval()
    pixels = torch.from_numpy(tensors["selftest.image"][None, :, :, ::-1].copy())
    with torch.no_grad():
        found = network(train.prepare(pixels, torch.device("cpu")))
    for kind, values in zip(("class", "box", "landmark"), found):
        assert np.abs(values[0].numpy() - tensors[f"selftest.{kind}"]).max() < 1e-4


def test_a_weights_file_can_be_trained_on() -> None:
    """With norms restored it gives what it gave, and, on what they were restored with, the same in training."""
    network, restored = (model.load_detector(str(SHIPPED)).eval() for _ in range(2))
    generator = torch.Generator().manual_seed(3)
    image = 60 * torch.randn(2, 3, 128, 128, generator=generator)
    model.restore_norms(restored, image)
    for filters in (restored.body.stage2[0][3].weight, restored.ssh1.conv3X3[0].weight):
        length = filters.square().mean((1, 2, 3)).sqrt()
        assert torch.allclose(length, torch.full((len(filters),), model.TRAINED_FILTER), rtol=1e-4)
    other = 60 * torch.randn(1, 3, 96, 160, generator=generator)
    with torch.no_grad():
        for expected, found in zip(network(other), restored(other)):
            assert (expected - found).abs().max() < 1e-3
        for expected, found in zip(network(image), restored.train()(image)):
            assert (expected - found).abs().max() < 0.1


def test_weights_files_that_cannot_be_gone_on_from(tmp_path: Path) -> None:
    weights = weights_file.load(SHIPPED.read_bytes())
    weights.profile = "paper"
    (tmp_path / "other.safetensors").write_bytes(weights_file.dump(weights, "f16"))
    with pytest.raises(ValueError, match="expected mobilenet025 of profile biubug6, found mobilenet025 of paper"):
        model.load_detector(str(tmp_path / "other.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(ConversionError):
        model.load_detector(str(tmp_path / "cut.safetensors"))
    torch.save(model.RetinaFace().state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="found a weights file"):
        model.load_mean([tmp_path / "a.pth", SHIPPED])


def test_anchors_and_codes() -> None:
    table = anchors.make_anchors(33, 40)
    assert len(table) == 2 * (5 * 5 + 3 * 3 + 2 * 2)
    assert table[0].tolist() == [4, 4, 16, 16] and table[1].tolist() == [4, 4, 32, 32]
    assert table[2].tolist() == [12, 4, 16, 16] and table[50].tolist() == [8, 8, 64, 64]
    boxes = anchors.corners(table) + np.array([1, -2, 5, 3])
    assert np.allclose(anchors.decode_boxes(anchors.encode_boxes(boxes, table), table), boxes, atol=1e-3)
    points = np.random.default_rng(0).uniform(0, 40, (len(table), 10))
    assert np.allclose(anchors.decode_landmarks(anchors.encode_landmarks(points, table), table), points, atol=1e-3)


def test_tiny_faces_get_anchors_and_ignored_regions_do_not() -> None:
    table = anchors.make_anchors(256, 256)
    boxes = np.array([[60, 60, 67, 68], [100, 100, 160, 165]], np.float32)
    label, index = anchors.match(table, boxes, np.array([[200, 200, 240, 240]], np.float32))
    assert ((label == 1) & (index == 0)).sum() == 3
    assert ((label == 1) & (index == 1)).sum() >= 3
    inside = (np.abs(table[:, :2] - 220) < 8).all(axis=1) & (table[:, 2] == 32)
    assert inside.any() and (label[inside] == anchors.IGNORED).all()


def test_mirror_swaps_sides_of_the_landmarks() -> None:
    canvas = data.Canvas(Image.new("RGB", (100, 50)))
    canvas.boxes = [np.array([10, 5, 30, 25], np.float32)]
    canvas.landmarks = [np.array([14, 10, 26, 10, 20, 15, 15, 20, 25, 20], np.float32)]
    data.mirror(canvas)
    assert canvas.boxes[0].tolist() == [70, 5, 90, 25]
    assert canvas.landmarks[0].tolist() == [74, 10, 86, 10, 80, 15, 75, 20, 85, 20]


def test_crops_keep_labels_on_the_faces() -> None:
    """After every distortion of geometry, the decoded eyes still lie on dark pixels of a bright face."""
    rng = random.Random(4)
    photos = []
    for k in range(6):
        image, boxes, marks = drawn_photo(rng)
        photos.append(data.Photo(f"drawn_{k}", image, np.array(boxes, np.float32), np.array(marks, np.float32)))
    options = data.AugmentOptions(plain=1.0, negative=0.0, mosaic=0.3, smallest=24)
    crops = data.CropDataset(photos, [], [(128, 1, 1.0)], options, seed=2)
    table = anchors.make_anchors(128, 128)
    checked = 0
    for _ in range(30):
        crop = crops.sample(rng, 128)
        positive = crop["label"] == 1
        points = anchors.decode_landmarks(crop["landmark"][positive], table[positive])
        sides = np.sqrt(anchors.area(anchors.decode_boxes(crop["box"][positive], table[positive])))
        for face, side in zip(points.reshape(-1, 5, 2), sides):
            x, y = int(face[0, 0]), int(face[0, 1])
            if side > 30 and 1 <= x < 127 and 1 <= y < 127:
                checked += 1
                assert crop["image"][y - 1 : y + 2, x - 1 : x + 2].mean(axis=2).min() < 110
    assert checked > 50


def test_labels_of_people_and_teacher_merge() -> None:
    people = np.array([[10, 10, 30, 30]], np.float32)
    points = list(range(10))
    teacher = np.array(
        [[0.95, 10, 10, 34, 34, *points], [0.97, 60, 60, 80, 80, *points], [0.5, 90, 90, 99, 99, *points]], np.float32)
    boxes, landmarks, ignored = data.merge_labels(people, teacher, 0.25)
    assert boxes.tolist() == [[10, 10, 31, 31], [60, 60, 80, 80]]
    assert landmarks.tolist() == [points, points] and ignored.tolist() == [[90, 90, 99, 99]]


def test_wider_reader(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "0--Parade"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 48), (10, 20, 30)).save(folder / "a.jpg")
    Image.new("RGB", (32, 32)).save(folder / "b.jpg")
    (tmp_path / "label.txt").write_text(
        "# 0--Parade/a.jpg\n"
        "10 12 20 16 12.0 14.0 0.0 20.0 14.0 0.0 16.0 18.0 0.0 13.0 22.0 0.0 19.0 22.0 1.0 0.82\n"
        "40 30 8 9 " + "-1.0 " * 15 + "0.3\n"
        "5 5 0 0 " + "-1.0 " * 15 + "0.3\n"
        "# 0--Parade/b.jpg\n"
        "1 2 3 4\n")
    first, second = data.read_wider(tmp_path / "label.txt")
    assert first.name == "0--Parade/a.jpg" and first.image.size == (64, 48)
    assert first.boxes.tolist() == [[10, 12, 30, 28], [40, 30, 48, 39]]
    assert first.landmarks[0].tolist() == [12, 14, 20, 14, 16, 18, 13, 22, 19, 22]
    assert np.isnan(first.landmarks[1]).all()
    assert second.boxes.tolist() == [[1, 2, 4, 6]] and np.isnan(second.landmarks).all()


def test_house_ap_by_hand() -> None:
    truth = np.array([[0, 0, 20, 20], [50, 50, 70, 70], [90, 90, 96, 96]], np.float32)

    def row(score: float, *box: float) -> list[float]:
        return [score, *box, *([0.0] * 10)]

    found = np.array([
        row(0.9, 0, 0, 20, 20),      # found
        row(0.8, 1, 1, 21, 21),      # a second time: false alarm
        row(0.7, 90, 90, 96, 96),    # under 8 px: neither
        row(0.6, 52, 50, 72, 70),    # found
    ])
    marks = evaluate.judge(found, truth)
    assert marks.outcome.tolist() == [1, 0, -1, 1] and marks.counted.tolist() == [True, True, False]
    assert evaluate.pooled_ap([marks]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert evaluate.at_threshold([marks], 0.7) == (0.5, 0.5)
    assert evaluate.threshold_for_recall([marks], 1.0) == pytest.approx(0.6)
    reference = np.array([row(0.9, 0, 0, 20, 20)])
    reference[0, 5::2] = 2.0
    errors, sides = evaluate.landmark_errors([found], [reference])
    assert errors.tolist() == pytest.approx([0.1]) and sides.tolist() == [20]


def test_suppression_and_bootstrap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40]], float)
    assert evaluate.suppress(boxes, np.array([0.5, 0.9, 0.3])).tolist() == [1, 2]
    good = [evaluate.Marks(np.array([0.9]), np.array([1]), np.array([0]), np.array([9.0]), np.array([True]))] * 4
    bad = [evaluate.Marks(np.array([0.9]), np.array([0]), np.array([-1]), np.array([9.0]), np.array([True]))] * 4
    mean, low, high, share = evaluate.bootstrap(good, bad, rounds=20)
    assert (mean, low, high, share) == (1.0, 1.0, 1.0, 1.0)
    mean, low, high = evaluate.mean_interval(np.arange(100.0))
    # Of the mean of 100 drawn from 0..99 the standard deviation is sqrt((100^2 - 1) / 12 / 100).
    assert mean == 49.5 and abs(49.5 - low - 1.96 * 2.887) < 0.5 and abs(high - 49.5 - 1.96 * 2.887) < 0.5


def test_reference_faces_that_people_drew() -> None:
    def face(score: float, *box: float) -> list[float]:
        return [score, *box, *([0.0] * 10)]

    drawn = np.array([[0, 0, 20, 20], [50, 50, 70, 70]], np.float32)
    photo = data.Photo("p", Image.new("RGB", (99, 99)), drawn, np.full((2, 10), np.nan, np.float32))
    found = np.array([
        face(0.9, 0, 0, 20, 20),     # drawn
        face(0.9, 5, 0, 20, 20),     # a second one on the same face
        face(0.7, 50, 50, 70, 70),   # unsure: not compared at all
        face(0.9, 50, 40, 70, 59),   # beside a drawn face
    ])
    assert evaluate.confirmed([found, found[:0]], [photo, photo]).tolist() == [True, False, False]


@pytest.mark.parametrize("kind", ["ohem", "focal"])
def test_loss_is_finite_without_faces_and_with_a_teacher(kind: str) -> None:
    outputs = tuple(torch.randn(2, 50, n, requires_grad=True) for n in (2, 4, 10))
    target = {
        "label": torch.zeros(2, 50, dtype=torch.int64), "box": torch.zeros(2, 50, 4),
        "landmark": torch.zeros(2, 50, 10), "has_landmark": torch.zeros(2, 50, dtype=torch.bool),
        "weight": torch.ones(2, 50), "centred": torch.ones(2, 50),
        "distillable": torch.ones(2, 50, dtype=torch.bool),
    }
    options = losses.LossOptions(class_loss=kind, iou_weight=1.0, distill_box=1.0, distill_landmark=1.0)
    teacher = tuple(torch.randn(2, 50, n) for n in (2, 4, 10))
    loss, parts = losses.multi_task_loss(outputs, target, teacher, options)
    loss.backward()
    assert torch.isfinite(loss) and parts["box"] == 0.0 and torch.isfinite(outputs[2].grad).all()


def test_overlap_loss_is_that_of_the_decoded_boxes() -> None:
    codes = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    others = torch.randn(40, 4, generator=torch.Generator().manual_seed(2)) * 3
    assert float(losses.overlap_loss(codes, codes, torch.ones(40))) == pytest.approx(0, abs=1e-6)
    table = np.tile([[100.0, 50.0, 32.0, 32.0]], (40, 1))
    a, b = (anchors.decode_boxes(c.double().numpy(), table) for c in (codes, others))
    inter = np.prod(np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0), axis=1)
    union = anchors.area(a) + anchors.area(b) - inter
    hull = np.prod(np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2]), axis=1)
    expected = 1 - (inter / union - (hull - union) / hull)
    weight = np.linspace(0.5, 2, 40)
    found = losses.overlap_loss(codes, others, torch.tensor(weight, dtype=torch.float32))
    assert float(found) == pytest.approx(float((expected * weight).sum() / weight.sum()), rel=1e-4)


def test_large_faces_own_more_of_the_landmark_terms_with_a_higher_power() -> None:
    outputs = torch.zeros(1, 2, 2), torch.zeros(1, 2, 4), torch.zeros(1, 2, 10)
    target = {
        "label": torch.ones(1, 2, dtype=torch.int64), "box": torch.zeros(1, 2, 4), "landmark": torch.zeros(1, 2, 10),
        "has_landmark": torch.ones(1, 2, dtype=torch.bool), "weight": torch.tensor([[0.5, 2.0]]),
        "centred": torch.ones(1, 2), "distillable": torch.ones(1, 2, dtype=torch.bool),
    }
    target["landmark"][0, 1] = 1.0  # the larger face's are wrong, by 1 - beta / 2 each
    for power, share in ((1.0, 2 / 2.5), (2.0, 4 / 4.25)):
        options = losses.LossOptions(landmark_size_power=power, landmark_beta=0.2)
        _, parts = losses.multi_task_loss(outputs, target, None, options)
        assert parts["landmark"] == pytest.approx(share * 10 * 0.9)


def test_well_centred_anchors_own_more_of_the_landmark_terms_with_a_higher_power() -> None:
    outputs = torch.zeros(1, 2, 2), torch.zeros(1, 2, 4), torch.zeros(1, 2, 10)
    teacher = torch.tensor([[[-9.0, 9.0]] * 2]), torch.zeros(1, 2, 4), torch.zeros(1, 2, 10)
    target = {
        "label": torch.ones(1, 2, dtype=torch.int64), "box": torch.zeros(1, 2, 4), "landmark": torch.zeros(1, 2, 10),
        "has_landmark": torch.ones(1, 2, dtype=torch.bool), "weight": torch.full((1, 2), 2.0),
        "centred": torch.tensor([[0.5, 1.0]]), "distillable": torch.ones(1, 2, dtype=torch.bool),
    }
    target["landmark"][0, 1] = 1.0
    teacher[2][0, 1] = 1.0
    for power, share in ((0.0, 1 / 2), (1.0, 1 / 1.5), (2.0, 1 / 1.25)):
        options = losses.LossOptions(landmark_centred_power=power, landmark_beta=0.2)
        _, parts = losses.multi_task_loss(outputs, target, teacher, options)
        assert parts["landmark"] == pytest.approx(share * 10 * 0.9)
        assert parts["distill_landmark"] == pytest.approx(share * 10 * 0.9)


def test_the_best_anchor_of_every_face_is_centred() -> None:
    face, small = np.array([96, 100, 250, 240], np.float32), np.array([20, 30, 37, 46], np.float32)
    canvas = data.Canvas(Image.new("RGB", (256, 256)), [face, small], [np.full(10, np.nan, np.float32)] * 2)
    crop = data.targets(canvas)
    positive = crop["label"] == 1
    found = anchors.iou(anchors.corners(anchors.make_anchors(256, 256)), np.stack([face, small]))
    best = found.argmax(axis=1)
    for k in (0, 1):
        mine = positive & (best == k)
        np.testing.assert_allclose(crop["centred"][mine], found[mine, k] / found[:, k].max(), rtol=1e-5)
        assert crop["centred"][mine].max() == 1.0 and crop["centred"][mine].min() < 0.7
    assert (crop["centred"][~positive] == 1).all()


def test_plain_crops_are_not_distorted() -> None:
    image = Image.new("RGB", (128, 128), (90, 120, 150))
    photo = data.Photo("drawn", image, np.array([[20, 20, 100, 100]], np.float32), np.full((1, 10), np.nan, np.float32))
    options = data.AugmentOptions(plain=0.0, negative=0.0, mosaic=0.0, smallest=80)
    crops = data.CropDataset([photo], [], [(64, 1, 1.0)], options, seed=1)
    rng = random.Random(1)

    def colours() -> int:
        return len({tuple(crops.sample(rng, 64)["image"][32, 32]) for _ in range(20)})

    assert colours() > 10
    crops.plain.fill_(1.0)  # as train.py does for the end of a run
    assert colours() == 1


def test_close_ups_show_the_largest_face_large() -> None:
    image = Image.new("RGB", (300, 200), (90, 120, 150))
    boxes = np.array([[5, 5, 25, 25], [60, 40, 180, 160]], np.float32)
    photo = data.Photo("drawn", image, boxes, np.full((2, 10), np.nan, np.float32))
    options = data.AugmentOptions(plain=1.0, negative=0.0, mosaic=0.0, close_up=1.0)
    crops = data.CropDataset([photo], [], [(512, 1, 1.0)], options, seed=3)
    rng = random.Random(4)
    sides = [math.sqrt(max(anchors.area(np.stack(c.boxes)))) for c in (crops.compose(rng, 512) for _ in range(60)) if c.boxes]
    assert len(sides) > 50 and min(sides) > 100 and max(sides) > 400
    assert not data.CropDataset([data.Photo("small", image, boxes[:1], np.full((1, 10), np.nan, np.float32))], [],
                                [(512, 1, 1.0)], options, seed=3).close_ups


def test_close_ups_are_measured_at_the_size_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    large = data.Photo("large", Image.new("RGB", (300, 200)), np.array([[0, 0, 150, 150]], np.float32), np.zeros((0, 10)))
    small = data.Photo("small", Image.new("RGB", (300, 200)), np.array([[0, 0, 90, 90]], np.float32), np.zeros((0, 10)))
    face = np.array([[0.9, 0, 0, 150, 150, *range(10)]])
    scales = []

    def detect(network: object, image: Image.Image, scale: float) -> np.ndarray:
        scales.append(scale)
        return face + np.array([0, 0, 0, 0, 0, *[3.0, 4.0] * 5])

    monkeypatch.setattr(evaluate, "detect", detect)
    value, faces, error = evaluate.close_ups(None, [small, large], [face, face], 600)
    assert (value, faces, scales) == (1.0, 1, [4.0]) and error == pytest.approx(5 / 150)


def test_saved_close_ups_are_what_the_product_evaluator_reads(tmp_path: Path) -> None:
    photo = data.Photo("folder/large.jpg", Image.new("RGB", (301, 200), (1, 2, 3)), np.array([[1, 2, 151, 152]], np.float32),
                       np.zeros((0, 10)))
    evaluate.save_close_ups([photo], 300, tmp_path)
    row, = data.read_json_lines(tmp_path / "300.jsonl")
    with Image.open(tmp_path / "300" / row["file"]) as image:
        assert image.size == (row["width"], row["height"]) == (602, 400)
        assert image.getpixel((9, 9)) == (1, 2, 3)
    assert row["boxes"] == [[2, 4, 302, 304]]


def test_several_starts_are_averaged(tmp_path: Path) -> None:
    states = []
    for name in "ab":
        states.append(model.RetinaFace().state_dict())
        torch.save(states[-1], tmp_path / name)
    mean = model.load_mean([str(tmp_path / "a"), str(tmp_path / "b")], [1, 3]).state_dict()
    for name, value in mean.items():
        torch.testing.assert_close(value, (states[0][name] * 0.25 + states[1][name] * 0.75).to(value.dtype))
    export.export_state([tmp_path / "a", tmp_path / "b"], tmp_path / "c", shares=[0.25, 0.75])
    for name, value in model.load_detector(str(tmp_path / "c")).state_dict().items():
        torch.testing.assert_close(value, mean[name])
    options = ["--data", "d", "--steps", "1", "--out", "o", "--init", "a", "b"]
    with pytest.raises(SystemExit):
        train.parse_arguments([*options, "--init-shares", "1"])
    with pytest.raises(SystemExit):
        export.main([str(tmp_path / "a"), str(tmp_path / "b"), "--shares", "1", "-o", str(tmp_path / "d.safetensors")])
    with pytest.raises(ValueError, match="2 detectors"):
        model.load_mean([tmp_path / "a", tmp_path / "b"], [1])


def test_calibration_moves_one_score_to_a_half_and_keeps_the_order(tmp_path: Path) -> None:
    before = model.RetinaFace().eval()
    torch.save(before.state_dict(), tmp_path / "a.pth")
    export.export_state([tmp_path / "a.pth"], tmp_path / "b.pth", half_score=0.8)
    after = model.load_detector(str(tmp_path / "b.pth")).eval()
    with torch.no_grad():
        old, new = (n(torch.randn(1, 3, 96, 96) * 0 + 50)[0] for n in (before, after))
    margins = [(v[..., 1] - v[..., 0]).flatten().double() for v in (old, new)]
    slope = np.log(0.02 / 0.98) / (np.log(0.02 / 0.98) - np.log(4.0))
    assert torch.allclose(margins[1], (margins[0] - np.log(4.0)) * slope, atol=1e-4)


def test_short_training_resumes_learns_and_exports(tmp_path: Path) -> None:
    """The documented commands, shortened: train, stop, go on, measure, export."""
    write_set(tmp_path, "train", 40, seed=1)
    write_set(tmp_path, "val", 12, seed=2)
    write_set(tmp_path, "negatives", 12, seed=3, faces=0)
    run = tmp_path / "run"

    def command(steps: int, processes: int) -> list[str]:
        return [
            "--data", str(tmp_path), "--eval-data", str(tmp_path), "--out", str(run), "--steps", str(steps),
            "--crops", "128", "--crop-shares", "1", "--batch", "12", "--dev-share", "0.1", "--ema", "0.95",
            "--lr", "4e-3", "--plain-end", "0.2", "--device", "cpu", "--processes", str(processes),
        ]

    train.train(train.parse_arguments(command(50, 2)))
    saved = torch.load(run / "last.pt", weights_only=True)
    assert saved["step"] == 50 and saved["crops"] == 50 * 12 * 2
    final = train.train(train.parse_arguments(command(250, 1)))
    assert torch.load(run / "last.pt", weights_only=True)["step"] == 250
    lines = (run / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,crops,seconds,lr,class,box,iou,landmark") and len(lines) == 1 + 5
    assert float(lines[-1].split(",")[4]) < 0.5 * float(lines[1].split(",")[4])

    network = model.load_detector(str(final)).eval()
    photos = data.read_tar(tmp_path / "val.tar", tmp_path / "val.jsonl")
    marks = [evaluate.judge(evaluate.detect(network, p.image), p.boxes) for p in photos]
    assert evaluate.pooled_ap(marks) > 0.7

    evaluate.main([str(final), "--data", str(tmp_path), "--scales", "1", "--crowds", "2"])
    if not export.CONVERTER.exists():
        pytest.skip("the converter is absent: export is not tested")
    pytest.importorskip("numpy")
    output = tmp_path / "weights.safetensors"
    assert export.main([str(final), "-o", str(output), "--version", "test", "--source", "drawn faces", "--licence", "none"]) == 0
    assert output.stat().st_size < 2_000_000
    (length,) = np.frombuffer(output.read_bytes()[:8], "<u8")
    header = json.loads(output.read_bytes()[8 : 8 + int(length)])
    assert header["__metadata__"]["profile"] == "biubug6" and header["__metadata__"]["version"] == "test"


def test_training_goes_on_from_a_weights_file(tmp_path: Path) -> None:
    """The whole network, or, from a checkpoint, some modules while everything else stays as it is."""
    write_set(tmp_path, "train", 8, seed=4)

    def train_from(start: Path, name: str, *options: str) -> Path:
        return train.train(train.parse_arguments([
            "--data", str(tmp_path), "--init", str(start), "--steps", "3", "--crops", "128", "--crop-shares", "1",
            "--batch", "2", "--source-weights", "drawn=2", "--dev-share", "0", "--device", "cpu",
            "--out", str(tmp_path / name), *options]))

    def changed(before: Path, after: Path) -> set[str]:
        states = [model.load_detector(str(path)).state_dict() for path in (before, after)]
        return {key for key, value in states[0].items() if not torch.equal(value, states[1][key])}

    whole = train_from(SHIPPED, "whole")
    assert {"body.stage1.0.0.weight", "body.stage1.0.1.running_mean", "ClassHead.0.conv1x1.weight"} <= changed(SHIPPED, whole)
    heads = {f"{head}.2.conv1x1.{kind}" for head in ("LandmarkHead", "BboxHead") for kind in ("weight", "bias")}
    trained = changed(whole, train_from(whole, "heads", "--only", "LandmarkHead.2", "BboxHead.2"))
    assert trained and trained <= heads
    boxes = train_from(SHIPPED, "boxes", "--only", "BboxHead.2")
    image = 60 * torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(3))
    before, after = (model.load_detector(str(path)).eval()(image) for path in (SHIPPED, boxes))
    assert not torch.equal(before[1], after[1])
    for expected, found in ((before[0], after[0]), (before[2], after[2])):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    frozen = changed(whole, train_from(whole, "frozen", "--only", "body", "fpn"))
    assert "body.stage1.0.1.weight" in frozen and "body.stage1.0.1.running_mean" not in frozen
    for wrong in (["--source-weights", "drawn"], ["--only", "BboxHead.3"]):
        with pytest.raises(SystemExit):
            train.parse_arguments(["--data", "x", "--out", "y", "--steps", "1", *wrong])


def test_evaluation_names_what_is_wrong_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Before it reads anything."""
    for wrong, words in ((["--crowds", "0"], "--crowds"), (["--close-ups", "99999"], "99999"), (["--scales", "-1"], "found -1"),
                         (["--close-ups", "--save-close-ups", "x"], "--save-close-ups")):
        with pytest.raises(SystemExit):
            evaluate.main([str(SHIPPED), "--data", "absent", *wrong])
        assert words in capsys.readouterr().err
