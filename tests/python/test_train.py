"""Tests of tools/train: the network, matching, labels, crops, the measure, and a shortened run of the shipped recipe on drawn
faces.

They need PyTorch and Pillow and are skipped, visibly, without them; one also needs the reference weights, looked for in
$RETINAFACE_SHARED or beside the repository in ../shared.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import shutil
import signal
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: training is not tested")
pytest.importorskip("PIL", reason="Pillow is not installed: training is not tested")
pytest.importorskip("tomllib", reason="Python is older than 3.11: training is not tested")
from PIL import Image, ImageDraw  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RETINAFACE_SHARED", ROOT.parent / "shared"))
sys.path[:0] = [str(ROOT / "tools" / "train"), str(ROOT / "tools")]

import anchors  # noqa: E402
import crops  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import losses  # noqa: E402
import measure  # noqa: E402
import model  # noqa: E402
import photos  # noqa: E402
import recipe  # noqa: E402
import runner  # noqa: E402
import scrfd  # noqa: E402
import train  # noqa: E402
from retinaface_weights import archive, biubug6_names, weights_file  # noqa: E402
from retinaface_weights.errors import ConversionError  # noqa: E402

SHIPPED = ROOT / "weights" / "retinaface_mobilenet025.safetensors"
RECIPE = ROOT / "tools" / "train" / "recipes" / "mobilenet025.toml"


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


def write_set(folder: Path, name: str, count: int, seed: int, faces: int = 3, heads: bool = False) -> None:
    """NAME.tar, NAME.jsonl and NAME.teacher.jsonl with drawn photographs: faces drawn by people, or heads, the last of them
    without a face that a teacher found."""
    rng = random.Random(seed)
    rows, teacher = [], []
    with tarfile.open(folder / f"{name}.tar", "w") as tar:
        for k in range(count):
            image, boxes, marks = drawn_photo(rng, faces=faces)
            stream = io.BytesIO()
            image.save(stream, "WEBP" if heads else "JPEG", quality=92)
            file = f"drawn_{name}_{k}.{'webp' if heads else 'jpg'}"
            member = tarfile.TarInfo(file)
            member.size = len(stream.getvalue())
            stream.seek(0)
            tar.addfile(member, stream)
            row = {"file": file, "width": image.width, "height": image.height}
            found = [[0.99, *box, *mark] for box, mark in zip(boxes, marks)]
            if heads and k % 2:
                rows.append({**row, "points": [[(b[0] + b[2]) / 2, (b[1] + b[3]) / 2] for b in boxes]})
            elif heads:
                rows.append({**row, "heads": [[b[0] - 4, b[1] - 6, b[2] + 4, b[3] + 2] for b in boxes]})
            else:
                rows.append({**row, "boxes": boxes})
            teacher.append({"file": file, "faces": [[*f, 1] for f in found[:-1]] if heads else found})
    for suffix, lines in (("jsonl", rows), ("teacher.jsonl", teacher)):
        (folder / f"{name}.{suffix}").write_text("".join(json.dumps(line) + "\n" for line in lines))


def photo_of(image: Image.Image, boxes: list, marks: list | None = None, name: str = "drawn") -> photos.Photo:
    """A photograph with faces that people drew, all of them certain."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = np.full((len(boxes), 10), np.nan, np.float32) if marks is None else np.array(marks, np.float32)
    return photos.Photo(name, np.asarray(image), photos.Labels(boxes, landmarks, np.ones(len(boxes), np.float32)), boxes)


def shipped_recipe(**crop_options: object) -> recipe.Recipe:
    """The shipped recipe with other options of the crops."""
    result = recipe.load(RECIPE)
    for name, value in crop_options.items():
        assert hasattr(result.crops, name)
        setattr(result.crops, name, value)
    return result


def batches_of(group: list[photos.Photo], negatives: list[photos.Photo], settings: recipe.Recipe) -> crops.Batches:
    return crops.Batches(settings, [(recipe.Collection("train", "boxes"), group), (recipe.Collection("n", "none"), negatives)], 1)


def write_recipe(path: Path, **values: object) -> Path:
    """The shipped recipe with other values of some keys, each of which it has once."""
    text = RECIPE.read_text()
    if "steps" in values:
        schedule = recipe.load(RECIPE).schedule.of_length(values["steps"])
        values = {name: getattr(schedule, name) for name in ("warmup", "decay", "restart", "freeze_norms", "plain_end")} | values
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value} ", text)
        assert count == 1, name
    path.write_text(text)
    return path


def write_backbone(path: Path) -> Path:
    """An untrained ImageNet backbone, named as the published one."""
    torch.manual_seed(1)
    network = model.Network()
    own, sources, state = model.own_names("mobilenet025"), biubug6_names.sources("mobilenet025"), network.state_dict()
    tensors = {
        "module." + theirs.removeprefix("body."): state[mine] for name in own if name.startswith("backbone.")
        for mine, theirs in zip(own[name].names(), sources[name].names())
    }
    tensors["module.stage1.0.0.weight"] = torch.randn(8, 3, 3, 3) * 0.3
    torch.save({"state_dict": tensors}, path)
    return path


def test_network_has_the_layers_of_its_description() -> None:
    network = model.Network().eval()
    assert {"backbone.conv0.conv.weight", "context.p3.conv7_3.norm.bias", "head.p5.class.bias"} <= set(network.state_dict())
    outputs = network(torch.zeros(2, 3, 65, 97))
    count = len(anchors.make_anchors(65, 97))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "class": (2, count, 2), "box": (2, count, 4), "landmark": (2, count, 10)}


def test_norms_that_keep_their_statistics_are_folded() -> None:
    """The same outputs and gradients as of the convolution and the BatchNorm one after the other."""
    torch.manual_seed(1)
    image = torch.randn(2, 3, 65, 64)
    network = model.Network().double()
    for block in network.modules():
        if isinstance(block, model.ConvNorm):
            for value in (block.norm.weight, block.norm.running_var):
                torch.nn.init.uniform_(value, 0.5, 1.5)
            torch.nn.init.normal_(block.norm.bias)
            torch.nn.init.normal_(block.norm.running_mean)
    found = []
    for apart in (False, True):
        network.eval()
        if apart:
            for block in network.modules():
                if isinstance(block, model.ConvNorm):
                    block.training = True  # its norm's is False
        outputs = network(image.double())
        network.zero_grad()
        sum(value.square().mean() for value in outputs.values()).backward()
        found.append([*outputs.values(), *(p.grad.clone() for p in network.parameters())])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason=f"no reference outputs: {SHARED} is absent")
@pytest.mark.parametrize("name", ["tiny", "vga"])
def test_official_weights_reproduce_their_outputs(name: str) -> None:
    network = model.load_detector(SHARED / "weights" / "biubug6_mobilenet0.25_Final.pth").eval()
    image = np.array(Image.open(SHARED / "golden" / "biubug6" / f"{name}.png").convert("RGB"))
    expected = np.load(SHARED / "golden" / "biubug6" / f"{name}.npz")
    with torch.no_grad():
        outputs = network(model.prepare(torch.from_numpy(image)[None]))
    for values, key in ((outputs["class"].softmax(-1), "conf"), (outputs["box"], "loc"), (outputs["landmark"], "landms")):
        assert np.abs(values[0].numpy() - expected[key]).max() < 1e-4


def test_pytorch_gives_the_outputs_stored_with_the_shipped_weights() -> None:
    """Which every kernel set gives too (test_detector.cpp)."""
    tensors = archive.load(SHIPPED.read_bytes()).tensors
    network = model.load_detector(SHIPPED).eval()
    with torch.no_grad():
        found = network(model.prepare(torch.from_numpy(np.array(tensors["selftest.image"]))[None]))
    for kind, values in found.items():
        assert np.abs(values[0].numpy() - tensors[f"selftest.{kind}"]).max() < 1e-4


def test_weights_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(ConversionError):
        model.load_detector(tmp_path / "cut.safetensors")


def test_recipes_that_are_wrong_say_where(tmp_path: Path) -> None:
    text = RECIPE.read_text()
    for old, new, words in (
        ("steps = ", "stepz = ", "schedule: expected one of steps, .*found 'stepz'"),
        ('labels = "boxes"', 'labels = "faces"', "collection train: expected labels boxes, heads, none, found 'faces'"),
        ("batch = 128", "batch = 1.5", "batch: expected int, found 1.5"),
        ("[crops]", "[crops", "expected TOML"),
        ("shares = [0.38, ", "shares = [", "crops.shares: expected a number for each of the 4 sides, found 3"),
        ("[weights]", "[weight]", "found 'weight'"),
        ("batch = 128", "", "batch"),
        ("warmup = ", "warmup = 1_000", "schedule: expected a warmup and a decay within the [0-9]+ steps of the first cycle, found 1000"),
        ("restart = 8400", "restart = 20000", "schedule.restart: expected a step of the run's 11400, found 20000"),
        ("restart_rate = 2e-3", "", "schedule.restart_rate: expected a rate for the second cycle, found 0"),
    ):
        assert old in text
        (tmp_path / "r.toml").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=words):
            recipe.load(tmp_path / "r.toml")
    for path in RECIPE.parent.glob("*.toml"):
        recipe.load(path)


def test_anchors_and_codes() -> None:
    table = anchors.make_anchors(33, 40)
    assert len(table) == 2 * (5 * 5 + 3 * 3 + 2 * 2)
    assert table[0].tolist() == [4, 4, 16, 16] and table[1].tolist() == [4, 4, 32, 32]
    assert table[2].tolist() == [12, 4, 16, 16] and table[50].tolist() == [8, 8, 64, 64]
    boxes = anchors.corners(table) + np.array([1, -2, 5, 3])
    assert np.allclose(anchors.decode_boxes(anchors.encode_boxes(boxes, table), table), boxes, atol=1e-3)
    points = np.random.default_rng(0).uniform(0, 40, (len(table), 10))
    assert np.allclose(anchors.decode_landmarks(anchors.encode_landmarks(points, table), table), points, atol=1e-3)


def test_overlapping_pairs_are_all_there_are() -> None:
    generator = np.random.default_rng(2)
    for height, width in ((96, 160), (70, 45)):
        low = generator.uniform(-20, 150, (40, 2))
        boxes = np.concatenate([low, low + generator.uniform(1, 120, (40, 2))], axis=1)
        shapes = anchors.corners(anchors.make_anchors(height, width)).astype(float)
        pairs = anchors.overlapping(boxes, height, width)
        found = np.zeros((len(shapes), len(boxes)))
        found[pairs.anchor, pairs.box] = pairs.intersection / pairs.union
        assert len(set(zip(pairs.anchor.tolist(), pairs.box.tolist()))) == len(pairs.anchor)
        np.testing.assert_allclose(np.maximum(found, 0), anchors.iou(shapes, boxes), atol=1e-9)
        some = anchors.overlapping(boxes, height, width, smallest=0.5, largest=2)
        share = anchors.area(boxes)[pairs.box] / anchors.area(shapes)[pairs.anchor]
        kept = (share >= 0.5) & (share <= 2)
        assert 0 < kept.sum() < len(kept)
        assert np.array_equal(pairs.anchor[kept], some.anchor) and np.array_equal(pairs.intersection[kept], some.intersection)


def test_tiny_faces_get_anchors_and_ignored_regions_do_not() -> None:
    table = anchors.make_anchors(256, 256)
    boxes = np.array([[60, 60, 67, 68], [100, 100, 160, 165]], np.float32)
    label, index, overlap = anchors.match(256, 256, boxes, np.array([[200, 200, 240, 240]], np.float32))
    assert ((label == 1) & (index == 0)).sum() == 3
    assert ((label == 1) & (index == 1)).sum() >= 3
    inside = (np.abs(table[:, :2] - 220) < 8).all(axis=1) & (table[:, 2] == 32)
    assert inside.any() and (label[inside] == anchors.IGNORED).all()
    exact = anchors.iou(anchors.corners(table), boxes)
    positive = np.flatnonzero(label == 1)
    np.testing.assert_allclose(overlap[positive], exact[positive, index[positive]], atol=1e-6)
    assert (label[(exact.max(axis=1) >= 0.35)] == 1).all()


def test_mirror_swaps_sides_of_the_landmarks() -> None:
    canvas = crops.Canvas(Image.new("RGB", (100, 50)), photos.Labels(
        np.array([[10, 5, 30, 25]], np.float32), np.array([[14, 10, 26, 10, 20, 15, 15, 20, 25, 20]], np.float32),
        np.ones(1, np.float32), np.array([[0, 0, 9, 9]], np.float32)))
    crops.mirror(canvas)
    assert canvas.labels.boxes[0].tolist() == [70, 5, 90, 25] and canvas.labels.ignored[0].tolist() == [91, 0, 100, 9]
    assert canvas.labels.landmarks[0].tolist() == [74, 10, 86, 10, 80, 15, 75, 20, 85, 20]


@pytest.mark.parametrize("changes", [
    {"mosaic": 0.3}, {"redistributed": 1.0, "shortest_side": [0.5, 1.0]}, {"turn": 1.0}, {"quarter_turn": 1.0}, {"aspect": 1.0}])
def test_crops_keep_labels_on_the_faces(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every distortion of geometry, the decoded eyes still lie on dark pixels of a bright face."""
    rng = random.Random(4)
    group = [photo_of(*drawn_photo(rng), name=f"drawn_{k}") for k in range(6)]
    settings = {"negative": 0.0, "mosaic": 0.0, "smallest": 24, "occlusion": 0.0, "turn": 0.0, "quarter_turn": 0.0, **changes}
    monkeypatch.setattr(crops, "degrade", lambda rng, image, low_light: image)
    monkeypatch.setattr(crops, "colour_matrix", lambda rng: (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0))
    batches = batches_of(group, [], shipped_recipe(**settings))
    table = anchors.make_anchors(128, 128)
    checked = 0
    for _ in range(30):
        crop = batches.sample(rng, 128, plain=0.0)
        positive = crop["label"] == 1
        points = anchors.decode_landmarks(crop["landmark"][positive], table[positive])
        sides = np.sqrt(anchors.area(anchors.decode_boxes(crop["box"][positive], table[positive])))
        for face, side in zip(points.reshape(-1, 5, 2), sides):
            x, y = int(face[0, 0]), int(face[0, 1])
            if side > 30 and 1 <= x < 127 and 1 <= y < 127:
                checked += 1
                assert crop["image"][y - 1 : y + 2, x - 1 : x + 2].mean(axis=2).min() < 130
    assert checked > 50


def test_labels_of_people_and_teacher_merge() -> None:
    points = list(range(10))
    teacher = np.array(
        [[0.95, 10, 10, 34, 34, *points], [0.97, 60, 60, 80, 80, *points], [0.5, 90, 90, 99, 99, *points]], np.float32)
    labels = photos.labels_of_drawn(np.array([[10, 10, 30, 30]], np.float32), teacher)
    assert labels.boxes.tolist() == [[10, 10, 30, 30], [60, 60, 80, 80]] and labels.certainty.tolist() == [1, 1]
    assert labels.landmarks.tolist() == [points, points] and labels.ignored.tolist() == [[90, 90, 99, 99]]
    nobody = photos.labels_of_drawn(np.zeros((0, 4)), np.zeros((0, 15), np.float32))
    assert nobody.boxes.shape == (0, 4) and nobody.ignored.shape == (0, 4)


def test_labels_of_heads_and_teacher_merge() -> None:
    points = list(range(10))
    heads = np.array([[0, 0, 30, 30], [40, 0, 70, 30], [80, 0, 110, 30]], np.float32)
    teacher = np.array([
        [0.8, 5, 8, 25, 28, *points, 1],       # a face in a head
        [0.5, 45, 8, 51, 14, *points, 1],      # a small one
        [0.4, 85, 8, 105, 28, *points, 1],     # too unsure: its head is ignored
        [0.9, 200, 0, 220, 20, *points, 0],    # sure, but nobody marked a head
        [0.3, 300, 0, 320, 20, *points, 0],    # unsure and in no head: background
    ], np.float32)
    labels = photos.labels_of_heads(heads, teacher)
    assert labels.boxes.tolist() == [[5, 8, 25, 28], [45, 8, 51, 14]]
    np.testing.assert_allclose(labels.certainty, [0.9, 0.75])
    assert labels.landmarks[0].tolist() == points and np.isnan(labels.landmarks[1]).all()
    assert labels.ignored.tolist() == [[80, 0, 110, 30], [200, 0, 220, 20]]
    boxes = photos.head_boxes(np.array([[50.0, 50.0]]), np.array([[0, 0, 20, 20]], np.float32))
    np.testing.assert_allclose(boxes, [[37, 37, 63, 63]])
    assert photos.head_boxes(np.array([[8.0, 8.0]]), np.zeros((0, 4), np.float32)).tolist() == [[0, 0, 16, 16]]


def test_parts_depend_on_the_name_only() -> None:
    names = [f"web_{k}.webp" for k in range(4000)]
    for labels, held, dev in (("heads", 0.10, 0.03), ("boxes", 0.0, 0.03), ("none", 0.5, 0.0)):
        parts = [photos.part_of(name, labels) for name in names]
        assert abs(parts.count("held") / 4000 - held) < 0.03 and abs(parts.count("dev") / 4000 - dev) < 0.02


def test_store_keeps_pixels_and_notices_another_tar(tmp_path: Path) -> None:
    store = photos.Store(tmp_path / "pixels")
    for seed in (1, 2):
        write_set(tmp_path, "train", 2, seed)
        pixels = store.open(tmp_path / "train.tar")
        with tarfile.open(tmp_path / "train.tar") as tar:
            for name, values in pixels.items():
                expected = Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGB")
                np.testing.assert_array_equal(values, np.asarray(expected))
    with tarfile.open(tmp_path / "broken.tar", "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size = 9
        tar.addfile(member, io.BytesIO(b"no jpeg.."))
    with pytest.raises(ValueError, match="broken.tar: a.jpg: expected a picture"):
        store.open(tmp_path / "broken.tar")
    lines = (tmp_path / "train.jsonl").read_text()
    (tmp_path / "train.jsonl").write_text(lines.replace('"width": 160', '"width": 161', 1))
    with pytest.raises(ValueError, match="expected drawn_train_0.jpg with 161 x 160 pixels, found 160 x 160"):
        photos.read(tmp_path, recipe.Collection("train", "boxes"), store)
    (tmp_path / "train.jsonl").write_text(lines.replace("train_0", "train_9", 1))
    with pytest.raises(ValueError, match="expected drawn_train_9.jpg in train.tar"):
        photos.read(tmp_path, recipe.Collection("train", "boxes"), store)


def row(score: float, *box: float) -> list[float]:
    """A detection whose points are all (0, 0)."""
    return [score, *box, *([0.0] * 10)]


def test_house_ap_by_hand() -> None:
    truth = np.array([[0, 0, 20, 20], [50, 50, 70, 70], [90, 90, 96, 96]], np.float32)
    found = np.array([
        row(0.9, 0, 0, 20, 20),      # found
        row(0.8, 1, 1, 21, 21),      # a second time: false alarm
        row(0.7, 90, 90, 96, 96),    # under 8 px: neither
        row(0.6, 52, 50, 72, 70),    # found
    ])
    marks = measure.judge(found, truth)
    assert marks.outcome.tolist() == [1, 0, -1, 1] and marks.counted.tolist() == [True, True, False]
    assert measure.pooled_ap([marks]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert measure.at_threshold([marks], 0.7) == (0.5, 0.5)
    # Precision: 1 at 0.9, 1/2 at 0.8, 2/3 at 0.6.
    assert measure.threshold_of_precision([marks], 0.6) == pytest.approx(0.6)
    assert measure.threshold_of_precision([marks], 0.7) == pytest.approx(0.9)
    assert measure.threshold_of_precision([], 0.7) == 0.5
    assert measure.bucket_ap([marks], [truth], (16, 32), 1.0) == (pytest.approx(0.5 + 0.5 * 2 / 3), 2)
    assert measure.bucket_ap([marks], [truth], (8, 16), 0.5) == (pytest.approx(0.5 + 0.5 * 2 / 3), 2)
    teacher = np.array([row(0.9, 0, 0, 20, 20), row(0.9, 50, 50, 70, 70), row(0.5, 0, 0, 20, 20)], np.float32)
    teacher[0, 5::2] = 2.0
    photo = photos.Photo("p", np.zeros((99, 99, 3), np.uint8), marked=truth, teacher=teacher)
    errors, sides = measure.landmark_errors([found[:3], found[:0]], [photo, photo])
    np.testing.assert_allclose(errors, [0.1, np.nan, np.nan, np.nan], rtol=1e-6)
    assert sides.tolist() == [20, 20, 20, 20]
    assert measure.sure_recall([found[:3]], [photo], 0.5) == (0.5, 2)
    assert measure.sure_recall([found[:1]], [photo], 0.95) == (0.0, 2)


def test_crowds_by_hand() -> None:
    heads = np.array([[0, 0, 20, 20], [10, 0, 30, 20], [50, 0, 70, 20], [80, 0, 88, 8]], np.float32)
    found = np.array([
        row(0.9, 12, 6, 20, 14),     # its centre, (16, 10), is in the first two; nearer the second's
        row(0.8, 11, 6, 19, 14),     # the first is left
        row(0.7, 13, 6, 19, 14),     # both are taken: false alarm
        row(0.6, 100, 0, 110, 10),   # no head: false alarm
        row(0.5, 81, 1, 87, 7),      # a head too small to count: neither
    ])
    marks = measure.judge_crowd(found, heads)
    assert marks.outcome.tolist() == [1, 1, 0, 0, -1] and marks.face.tolist() == [1, 0, -1, -1, 3]
    assert marks.counted.tolist() == [True, True, True, False]
    recall, precision = measure.at_threshold([marks], 0.5)
    assert (recall, precision) == (pytest.approx(2 / 3), 0.5)
    photo = photos.Photo("p", np.zeros((9, 9, 3), np.uint8), marked=heads, heads=True)
    assert measure.judge_photo(found, photo).outcome.tolist() == marks.outcome.tolist()


def test_suppression_and_bootstrap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40]], float)
    assert measure.suppress(boxes, np.array([0.5, 0.9, 0.3])).tolist() == [1, 2]
    good = [measure.Marks(np.array([0.9]), np.array([1]), np.array([0]), np.array([9.0]), np.array([True]))] * 4
    bad = [measure.Marks(np.array([0.9]), np.array([0]), np.array([-1]), np.array([9.0]), np.array([True]))] * 4
    assert measure.bootstrap(good, bad, rounds=20) == (1.0, 1.0, 1.0, 1.0)


def test_scrfd_outputs_become_faces() -> None:
    outputs = [np.zeros((count * 2, values), np.float32) for values in (1, 4, 10) for count in (32, 8, 2)]  # 64 x 32 px
    anchor = (3 * 8 + 5) * 2 + 1  # stride 8, row 3, column 5: its corner is (40, 24)
    outputs[0][anchor], outputs[3][anchor], outputs[6][anchor] = 0.9, [1, 2, 0.5, 0.25], np.arange(10) / 8
    outputs[1][0] = 0.4
    outputs[4][0] = [0, 0, 1, 1]
    faces = scrfd.decode(outputs, 32, 64)
    np.testing.assert_allclose(faces[0], [0.9, 32, 8, 44, 26, 40, 25, 42, 27, 44, 29, 46, 31, 48, 33], rtol=1e-6)
    np.testing.assert_allclose(faces[1, :5], [0.4, 0, 0, 16, 16], rtol=1e-6)
    with pytest.raises(ValueError, match="expected 128 anchors of stride 8, found 64"):
        scrfd.decode(outputs, 64, 64)


def loss_target(count: int, batch: int = 2) -> dict[str, torch.Tensor]:
    """Background everywhere."""
    return {
        "label": torch.zeros(batch, count, dtype=torch.int64), "certainty": torch.ones(batch, count),
        "box": torch.zeros(batch, count, 4), "landmark": torch.zeros(batch, count, 10),
        "has_landmark": torch.zeros(batch, count, dtype=torch.bool), "weight": torch.ones(batch, count),
        "centred": torch.ones(batch, count), "negative": torch.zeros(batch, dtype=torch.bool),
    }


def test_loss_is_finite_without_faces() -> None:
    outputs = {name: torch.randn(2, 50, n, requires_grad=True) for name, n in (("class", 2), ("box", 4), ("landmark", 10))}
    loss, parts = losses.multi_task_loss(outputs, loss_target(50), recipe.load(RECIPE).loss)
    loss.backward()
    assert torch.isfinite(loss) and float(parts["box"]) == 0.0 and torch.isfinite(outputs["landmark"].grad).all()


def test_class_loss_by_hand() -> None:
    """One positive of certainty 0.8, one ignored, and of the background the one hardest anchor."""
    logits = torch.tensor([[[0.0, 1.0], [0.0, 9.0], [0.0, -2.0], [0.0, 2.0]]])
    label, certainty = torch.tensor([[1, -1, 0, 0]]), torch.tensor([[0.8, 1.0, 1.0, 1.0]])
    weight = torch.tensor([[2.0, 1.0, 1.0, 3.0]])

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    expected = 2 * (0.8 * softplus(-1) + 0.2 * softplus(1)) + 3 * softplus(2)
    found = losses.class_loss(logits, label, certainty, weight, torch.ones(1, 1), recipe.Loss(negatives=1))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_photographs_without_a_face_weigh_more() -> None:
    outputs = {name: torch.zeros(2, 5, n) for name, n in (("class", 2), ("box", 4), ("landmark", 10))}
    target = loss_target(5)
    target["label"][0, 0] = 1
    options = recipe.Loss(negatives=9, negative_weight=12)
    _, parts = losses.multi_task_loss(outputs, target, options)
    assert float(parts["class"]) == pytest.approx(10 * math.log(2), rel=1e-5)
    target["negative"][1] = True
    _, parts = losses.multi_task_loss(outputs, target, options)
    assert float(parts["class"]) == pytest.approx((5 + 5 * 12) * math.log(2), rel=1e-5)


def test_a_crowd_weighs_less_than_its_faces_would() -> None:
    """Two pictures, of one positive anchor and of four, of which boxes and classes are off by other amounts."""
    outputs = {name: torch.zeros(2, 5, n) for name, n in (("class", 2), ("box", 4), ("landmark", 10))}
    outputs["class"][0, :, 1], outputs["class"][1, :, 1] = 1.0, -1.0
    target = loss_target(5)
    target["label"][0, 0], target["label"][1, :4] = 1, 1
    target["box"][1] = 1.0  # off by 1 - beta / 2 each

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    for power, share in ((0.0, 1.0), (0.5, 1 / math.sqrt(2)), (1.0, 0.5)):
        options = recipe.Loss(negatives=9, crowd_power=power, crowd_anchors=2, box_beta=0.2)
        _, parts = losses.multi_task_loss(outputs, target, options)
        total = 1 + 4 * share
        assert float(parts["box"]) == pytest.approx(4 * share / total * 4 * 0.9)
        one, four = softplus(-1) + 4 * softplus(1), 4 * softplus(1) + softplus(-1)
        assert float(parts["class"]) == pytest.approx((one + share * four) / total, rel=1e-5)


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


def test_a_network_teaches_what_it_makes_of_a_crop() -> None:
    """By hand: two crops of three anchors, the second one of which is not taught."""
    logits = torch.tensor([[[0.0, 1.0], [0.0, -2.0], [0.0, 0.0]]]).repeat(2, 1, 1)
    outputs = {"class": logits, "box": torch.zeros(2, 3, 4), "landmark": torch.zeros(2, 3, 10)}
    taught = {"class": torch.tensor([[[0.0, 2.0], [0.0, -2.0], [0.0, -1.0]]]).repeat(2, 1, 1),
              "box": torch.ones(2, 3, 4), "landmark": torch.full((2, 3, 10), -1.0)}
    taught["box"][0, 1:], taught["landmark"][0, 1:] = 9.0, 9.0  # of anchors that it does not take for a face

    def divergence(theirs: float, mine: float) -> float:
        p, q = (1 / (1 + math.exp(-z)) for z in (theirs, mine))
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    score = 1 / (1 + math.exp(-2))
    options = recipe.Loss(class_weight=2.0, box_weight=3.0, landmark_weight=5.0, box_beta=0.2, landmark_beta=0.4)
    found = losses.teaching_loss(outputs, taught, torch.tensor([True, False]), options)
    expected = 2 * (divergence(2, 1) + divergence(-1, 0)) + score * (3 * 4 * 0.9 + 5 * 10 * 0.8)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    nothing = losses.teaching_loss(outputs, taught, torch.tensor([False, False]), options)
    assert float(nothing) == 0.0


@pytest.mark.parametrize("what", ["size", "centred"])
def test_some_faces_own_more_of_the_landmark_term_with_a_higher_power(what: str) -> None:
    outputs = {"class": torch.zeros(1, 2, 2), "box": torch.zeros(1, 2, 4), "landmark": torch.zeros(1, 2, 10)}
    target = loss_target(2, 1)
    target["label"] += 1
    target["has_landmark"] |= True
    target["weight" if what == "size" else "centred"] = torch.tensor([[0.5, 1.0]])
    target["weight"] = target["weight"] * 2
    target["landmark"][0, 1] = 1.0  # the second one's are wrong, by 1 - beta / 2 each
    for power, share in ((1.0, 1 / 1.5), (2.0, 1 / 1.25)):
        options = recipe.Loss(**{f"landmark_{what}_power": power}, landmark_beta=0.2)
        _, parts = losses.multi_task_loss(outputs, target, options)
        assert float(parts["landmark"]) == pytest.approx(share * 10 * 0.9)


def test_the_best_anchor_of_every_face_is_centred() -> None:
    boxes = np.array([[96, 100, 250, 240], [20, 30, 37, 46]], np.float32)
    labels = photos.Labels(boxes, np.full((2, 10), np.nan, np.float32), np.array([1, 0.7], np.float32))
    crop = crops.targets(crops.Canvas(Image.new("RGB", (256, 256)), labels))
    positive = crop["label"] == 1
    found = anchors.iou(anchors.corners(anchors.make_anchors(256, 256)), boxes)
    best = found.argmax(axis=1)
    for k in (0, 1):
        mine = positive & (best == k)
        np.testing.assert_allclose(crop["centred"][mine], found[mine, k] / found[:, k].max(), rtol=1e-5)
        assert crop["centred"][mine].max() == 1.0 and crop["centred"][mine].min() < 0.7
        assert np.allclose(crop["certainty"][mine], labels.certainty[k])
    assert (crop["centred"][~positive] == 1).all() and not crop["negative"]


def test_plain_crops_are_not_distorted() -> None:
    photo = photo_of(Image.new("RGB", (128, 128), (90, 120, 150)), [[20, 20, 100, 100]])
    batches = batches_of([photo], [], shipped_recipe(negative=0.0, mosaic=0.0, redistributed=0.0, smallest=80))
    rng = random.Random(1)

    def colours(plain: float) -> int:
        return len({tuple(batches.sample(rng, 64, plain)["image"][32, 32]) for _ in range(20)})

    assert colours(0.0) > 10
    assert colours(1.0) == 1


def test_close_ups_show_the_largest_face_large() -> None:
    image = Image.new("RGB", (300, 200), (90, 120, 150))
    boxes = [[5, 5, 25, 25], [60, 40, 180, 160]]
    settings = shipped_recipe(negative=0.0, mosaic=0.0, close_up=1.0)
    batches = batches_of([photo_of(image, boxes)], [], settings)
    rng = random.Random(4)
    found = [batches.compose(rng, 512, True).labels.boxes for _ in range(60)]
    sides = [math.sqrt(max(anchors.area(b))) for b in found if len(b)]
    assert len(sides) > 50 and min(sides) > 100 and max(sides) > 400
    assert not batches_of([photo_of(image, boxes[:1])], [], settings).close_ups


def test_squares_of_a_photograph_have_the_sides_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample redistribution: 0.3 to 2.0 of the shorter side."""
    photo = photo_of(Image.new("RGB", (640, 400)), [[300, 180, 340, 220]])
    batches = batches_of([photo], [], shipped_recipe(negative=0.0, mosaic=0.0, redistributed=1.0))
    scales = []
    monkeypatch.setattr(crops, "paste_photo", lambda rng, canvas, photo, cell, scale, *more: scales.append(scale))
    rng = random.Random(4)
    for _ in range(300):
        batches.compose(rng, 256, True)
    shares = 256 / np.array(scales) / 400
    assert 0.3 <= shares.min() < 0.35 and 1.9 < shares.max() <= 2.0 + 1e-6


def test_batches_depend_on_their_number_only() -> None:
    rng = random.Random(4)
    group = [photo_of(*drawn_photo(rng), name=f"drawn_{k}") for k in range(6)]
    settings = shipped_recipe(sides=[64, 128], shares=[0.5, 0.5])
    settings.schedule.batch = 8
    first, second = batches_of(group, group[:2], settings), batches_of(group, group[:2], settings)
    for step in (0, 3, 4):
        batch, again = first[step], second[step]
        assert batch["image"].shape in ((8, 64, 64, 3), (2, 128, 128, 3))
        for name, value in batch.items():
            assert torch.equal(value, again[name])
    alone, *shares = (
        crops.Batches(settings, [(recipe.Collection("train", "boxes"), group)], 1, rank, team)[0]["image"]
        for rank, team in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), alone)


def test_the_rate_falls_and_begins_again() -> None:
    """Ends of both cycles have the least rate and undistorted crops; what shortens a run shortens both."""
    schedule = recipe.Schedule(1000, 8, 1.0, 100, 500, restart=800, restart_rate=0.4, plain_end=50)
    rates = [train.learning_rate(step, schedule) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02) and rates[100:301] == [1.0] * 201 and rates[799] == pytest.approx(0.01, abs=1e-4)
    assert rates[550] == pytest.approx(0.01 + 0.99 / 2) and rates[800] == pytest.approx(0.4)
    assert rates[900] == pytest.approx(0.4 * (0.01 + 0.99 / 2)) and rates[999] == pytest.approx(0.004, abs=1e-4)
    assert [schedule.left(step) for step in (0, 799, 800, 999)] == [800, 1, 200, 1]
    half = schedule.of_length(500)
    assert (half.restart, half.left(0), half.left(400)) == (400, 400, 100)
    one = recipe.Schedule(1000, 8, 1.0, 100, 500)
    assert one.left(0) == 1000 and train.learning_rate(999, one) == pytest.approx(0.01, abs=1e-4)


def test_a_network_runs_in_training_as_it_is() -> None:
    torch.manual_seed(3)
    network = model.Network().eval()
    pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected, outputs = network(model.prepare(pixels), features=True), runner.Runner(network, features=True)(pixels)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name].float(), value, rtol=0.1, atol=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: recorded steps are not tested")
@pytest.mark.parametrize("training", [True, False])
def test_recorded_steps_have_the_gradients_of_others(training: bool) -> None:
    torch.manual_seed(3)
    network = model.Network().cuda().to(memory_format=torch.channels_last)
    run = runner.Runner(network)
    for side in (64, 128, 64):
        network.train(training)
        pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8, device="cuda")
        with torch.autocast("cuda", torch.bfloat16):
            expected = network(model.prepare(pixels))
        outputs, found = run(pixels), []
        for values in (expected, outputs):
            network.zero_grad(set_to_none=True)
            sum(value.float().square().mean() for value in values.values()).backward()
            found.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.99


def test_calibration_moves_one_score_to_a_half_and_keeps_the_order() -> None:
    torch.manual_seed(5)
    network = model.Network().eval()
    image = 40 * torch.randn(1, 3, 96, 96)
    parameters = export.fold(network)
    margins = []
    for step in range(2):
        if step:
            export.calibrate(parameters, 0.8)
        for level in (3, 4, 5):
            head = network.get_submodule(f"head.p{level}.class")
            for kind in ("weight", "bias"):
                getattr(head, kind).data = torch.from_numpy(parameters[f"head.p{level}.class.{kind}"]).float().clone()
        with torch.no_grad():
            values = network(image)["class"]
        margins.append((values[..., 1] - values[..., 0]).flatten().double())
    slope = np.log(0.02 / 0.98) / (np.log(0.02 / 0.98) - np.log(4.0))
    assert torch.allclose(margins[1], (margins[0] - np.log(4.0)) * slope, atol=1e-4)


@pytest.fixture
def drawn_data(tmp_path: Path) -> Path:
    """A data folder as the shipped recipe wants it."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_set(folder, "train", 40, seed=1)
    write_set(folder, "val", 12, seed=2)
    write_set(folder, "crowds", 40, seed=5, heads=True)
    write_set(folder, "negatives", 12, seed=3, faces=0)
    write_backbone(folder / "backbone.pth")
    for name in recipe.load(RECIPE).networks():
        shutil.copy(SHIPPED, folder / name)
    return folder


def run_of(folder: Path, settings: Path, out: Path, *more: str, detector: Path | None = None) -> Path:
    start = ["--detector", str(detector)] if detector else ["--backbone", str(folder / "backbone.pth")]
    options = train.parse_arguments([
        str(settings), "--data", str(folder), *start, "--out", str(out), "--device", "cpu", "--pixels", str(folder / "pixels"),
        "--networks", str(folder), *more])
    return train.train(options, recipe.load(settings))


def test_the_whole_recipe_shortened(tmp_path: Path, drawn_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """From the backbone to a weights file by one command of two processes, then its measure by the documented one."""
    settings = write_recipe(tmp_path / "short.toml", steps=150, batch=24, sides=[128, 160], shares=[0.7, 0.3], ema=0.95,
                            learning_rate=5e-3, teacher_weight=0.1)  # of a network that has never seen drawings
    weights = run_of(drawn_data, settings, tmp_path / "run", "--processes", "2", "--snapshot-steps", "100")
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert lines[0] == "step,crops,seconds,rate,class,box,overlap,landmark,teacher,pixel" and len(lines) == 1 + 3
    first, _, last = (dict(zip(lines[0].split(","), map(float, line.split(",")))) for line in lines[1:])
    assert last["class"] < 0.6 * first["class"] and last["landmark"] < 0.8 * first["landmark"] and last["teacher"] < 0.6 * first["teacher"]
    assert len((tmp_path / "run" / "dev.csv").read_text().splitlines()) == 3
    content = weights_file.load(weights.read_bytes())
    assert (content.architecture, content.profile, content.version) == ("mobilenet025", "biubug6", "1.0.0")
    assert weights.stat().st_size < 1_200_000

    folded, network = model.load_detector(weights).eval(), model.load_detector(tmp_path / "run" / "last.pt").eval()
    pixels = model.prepare(torch.from_numpy(np.array(drawn_photo(random.Random(9))[0]))[None])
    with torch.no_grad():
        torch.testing.assert_close(folded(pixels)["box"], network(pixels)["box"], rtol=0.02, atol=0.02)
    capfd.readouterr()
    evaluate.main([str(SHIPPED), str(weights), "--data", str(drawn_data)])
    table = capfd.readouterr().out
    found = dict(re.findall(r"(?m)^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", table))
    assert float(found["AP"]) > 0.5 and float(found["crowds: AP"]) > 0.4, table
    assert float(found["decides"]) == pytest.approx(
        np.mean([float(found[name]) for name in ("AP", "AP, resized by 0.5", "crowds: AP")]), abs=2e-3)
    assert "paired bootstrap" in table


def test_a_run_goes_on_from_a_weights_file(tmp_path: Path, drawn_data: Path) -> None:
    """Its first step has the file's network, whose filters have a length that AdamW's steps suit; its last one another."""
    image = model.prepare(torch.from_numpy(np.array(drawn_photo(random.Random(9))[0]))[None])
    shipped = model.load_detector(SHIPPED).eval()
    restored = model.load_detector(SHIPPED)
    model.restore_norms(restored, image)
    with torch.no_grad():
        for name, value in shipped(image).items():
            torch.testing.assert_close(restored(image)[name], value, rtol=1e-4, atol=1e-4)
    for block in restored.modules():
        if isinstance(block, model.ConvNorm):
            root = block.conv.weight.square().mean((1, 2, 3)).sqrt()
            torch.testing.assert_close(root[root > 0], torch.full_like(root[root > 0], model.TRAINED_FILTER), rtol=1e-3, atol=0)

    settings = write_recipe(tmp_path / "short.toml", steps=2, batch=2, sides=[64], shares=[1.0], learning_rate=1e-9, restart_rate=1e-9,
                            freeze_norms=0)
    weights = run_of(drawn_data, settings, tmp_path / "run", detector=SHIPPED)
    with torch.no_grad():
        for name in ("box", "landmark"):
            expected = shipped(image)[name]
            torch.testing.assert_close(model.load_detector(weights).eval()(image)[name], expected, rtol=0.05, atol=0.05)
    other = write_recipe(tmp_path / "other.toml", steps=1)
    other.write_text(other.read_text().replace('profile = "biubug6"', 'profile = "insightface"'))
    with pytest.raises(ValueError, match="expected mobilenet025 of profile insightface, found mobilenet025 of biubug6"):
        run_of(drawn_data, other, tmp_path / "another", detector=SHIPPED)


def test_networks_that_teach_are_asked_for_by_name(tmp_path: Path, drawn_data: Path) -> None:
    settings = write_recipe(tmp_path / "short.toml", steps=2, batch=2, sides=[64], shares=[1.0])
    options = ["--data", str(drawn_data), "--backbone", str(drawn_data / "backbone.pth"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    with pytest.raises(ValueError, match="taught_by: expected --networks, a folder with 0.9.0.safetensors and 0.12.0.safetensors"):
        train.train(train.parse_arguments([str(settings), *options]), recipe.load(settings))
    (drawn_data / "0.12.0.safetensors").unlink()
    with pytest.raises(OSError, match="0.12.0.safetensors"):
        run_of(drawn_data, settings, tmp_path / "run", "--processes", "2")
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path: Path, drawn_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write_recipe(tmp_path / "short.toml", steps=5, batch=4, sides=[64], shares=[1.0])
    run_of(drawn_data, settings, tmp_path / "whole")
    calls = []

    def stop_at_third(*arguments: object) -> tuple:
        calls.append(1)
        if len(calls) == 3:  # with norms frozen at the fourth
            signal.raise_signal(signal.SIGTERM)
        return losses.multi_task_loss(*arguments)

    monkeypatch.setattr(train, "multi_task_loss", stop_at_third)
    stopped = run_of(drawn_data, settings, tmp_path / "parts")
    assert stopped.name == "last.pt" and torch.load(stopped, weights_only=True)["step"] == 3
    weights = run_of(drawn_data, settings, tmp_path / "parts")
    assert len(calls) == 5
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["ema"] for name in ("whole", "parts")]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert weights.read_bytes() == (tmp_path / "whole" / weights.name).read_bytes()
    with pytest.raises(ValueError, match="expected the recipe that the run began with, found another schedule"):
        run_of(drawn_data, write_recipe(tmp_path / "other.toml", steps=6), tmp_path / "parts")
