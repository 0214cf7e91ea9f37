"""`retinaface evaluate faces` against the rule written out again, on pictures whose faces are the network's own, moved about."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import sys
import tarfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from conftest import MODEL, ROOT, TRIMMED, detect, is_one_line, run

Box = Tuple[float, float, float, float]


def write_ppm(path: Path, width: int, height: int, seed: int) -> None:
    dice = random.Random(seed)
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + bytes(dice.randrange(256) for _ in range(3 * width * height)))


def side(box: Box) -> float:
    return math.sqrt(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))


def overlap(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def house(pictures: List[Dict[str, Any]], min_iou: float, low: float = 0, high: float = 1e9) -> Tuple[int, List[Tuple[float, bool]]]:
    faces, marks = 0, []
    for picture in pictures:
        truth = picture["boxes"]
        ok = [side(b) >= 8 and low <= side(b) < high for b in truth]
        faces += sum(ok)
        taken = set()
        for face in picture["faces"]:
            overlaps = [overlap(face["box"], b) for b in truth]
            best = max(range(len(truth)), key=lambda i: overlaps[i]) if truth else -1
            if best >= 0 and overlaps[best] >= min_iou:
                if side(truth[best]) < 8:
                    continue
                if best not in taken:
                    taken.add(best)
                    if ok[best]:
                        marks.append((face["score"], True))
                    continue
            if low <= side(face["box"]) < high:
                marks.append((face["score"], False))
    return faces, marks


def average_precision(faces: int, marks: List[Tuple[float, bool]]) -> float:
    marks = sorted(marks, key=lambda m: -m[0])
    hits, curve = 0, [(0.0, 0.0)]
    for i, (_, hit) in enumerate(marks):
        hits += hit
        curve.append((hits / faces, hits / (i + 1)))
    area = 0.0
    for i in range(1, len(curve)):
        area += (curve[i][0] - curve[i - 1][0]) * max(p for _, p in curve[i:])
    return area


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    folder = tmp_path_factory.mktemp("evaluate")
    names = ["a_1.ppm", "a_2.ppm", "b_1.ppm"][: 2 if TRIMMED else 3]
    for i, name in enumerate(names):
        write_ppm(folder / name, 130 + i, 97, i)
    dice = random.Random(5)
    pictures = []
    for row in detect("--score", "0.3", *[folder / n for n in names]):
        boxes, reference = [], []
        for face in row["faces"]:
            if dice.random() < 0.4:
                shift = [dice.uniform(-0.2, 0.2) * side(face["box"]) for _ in range(4)]
                boxes.append([round(v + s, 2) for v, s in zip(face["box"], shift)])
            if dice.random() < 0.3:
                points = [v + dice.uniform(-2, 2) for p in face["landmarks"] for v in p]
                reference.append([dice.choice([0.7, 0.9]), *face["box"], *points])
        boxes.append([3, 3, 9, 9])
        pictures.append({**row, "name": Path(row["file"]).name, "boxes": boxes, "reference": reference})
    with open(folder / "truth.jsonl", "w") as lines:
        for p in pictures:
            print(json.dumps({"file": p["name"], "width": p["width"], "height": p["height"], "boxes": p["boxes"]}), file=lines)
    with open(folder / "reference.jsonl", "w") as lines:
        for p in pictures:
            print(json.dumps({"file": p["name"], "faces": p["reference"]}), file=lines)
    return {"folder": folder, "pictures": pictures, "names": names}


def evaluate(case: Dict[str, Any], images: Path, *arguments: Any) -> List[Dict[str, Any]]:
    out = case["folder"] / "figures.json"
    done = run("evaluate", "faces", "--model", MODEL, "--truth", case["folder"] / "truth.jsonl", "--images", images, "--candidates", "0.3",
               "--reference", case["folder"] / "reference.jsonl", "--json", out, *arguments)
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads(out.read_text())["figures"]
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(rows)
    stated = ("NMS 0.4", "original size", "not mirrored", "no voting", "weights " + digest(MODEL)[:12])
    assert all(words in line for line in lines for words in stated)
    assert all("score > " in line for line in lines if not line.startswith("ms a picture"))
    return rows


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_figures(case: Dict[str, Any]) -> None:
    rows = evaluate(case, case["folder"], "--by-source")
    figures = {(r["figure"], r["faces"]): r for r in rows}
    pictures = case["pictures"]
    assert sum(len(p["faces"]) for p in pictures) > 20
    ranges = {"all": (0, 1e9), "8-16 px": (8, 16), "16-32 px": (16, 32), "32-64 px": (32, 64), "64-128 px": (64, 128), "128- px": (128, 1e9)}
    for name, (low, high) in ranges.items():
        faces, marks = house(pictures, 0.5, low, high)
        if faces == 0:
            assert ("AP@.5", name) not in figures
            continue
        assert figures["AP@.5", name]["count"] == faces
        assert figures["AP@.5", name]["value"] == pytest.approx(average_precision(faces, marks), abs=1e-6)
        over = [average_precision(*house(pictures, 0.5 + 0.05 * i, low, high)) for i in range(10)]
        assert figures["AP@.5:.95", name]["value"] == pytest.approx(sum(over) / 10, abs=1e-6)
        at = [hit for score, hit in marks if score > 0.5]
        assert figures["recall", name]["value"] == pytest.approx(sum(at) / faces)
        assert figures["precision", name]["value"] == pytest.approx(sum(at) / len(at) if at else 0)
    for source in {n.split("_")[0] for n in case["names"]}:
        own = [p for p in pictures if p["name"].startswith(source)]
        assert figures["AP@.5", source]["value"] == pytest.approx(average_precision(*house(own, 0.5)), abs=1e-6)


def test_landmark_error(case: Dict[str, Any]) -> None:
    errors, faces = [], 0
    for p in case["pictures"]:
        found = [f for f in p["faces"] if f["score"] > 0.5]
        for score, *rest in p["reference"]:
            box, points = rest[:4], rest[4:]
            if score < 0.8:
                continue
            faces += 1
            best = max(found, key=lambda f: overlap(f["box"], box), default=None)
            if best is None or overlap(best["box"], box) < 0.5:
                continue
            distance = sum(math.hypot(x - points[2 * i], y - points[2 * i + 1]) for i, (x, y) in enumerate(best["landmarks"])) / 5
            errors.append(distance / side(box))
    figures = {(r["figure"], r["faces"]): r for r in evaluate(case, case["folder"])}
    assert figures["landmarks found", "all"]["count"] == faces
    if errors:
        assert figures["landmark error %", "all"]["value"] == pytest.approx(100 * sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize("flavour", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archive_gives_the_same(case: Dict[str, Any], flavour: int, tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar"
    with tarfile.open(path, "w", format=flavour) as archive:
        for name in case["names"]:
            archive.add(case["folder"] / name, arcname="./" + name)
    without_time = [r for r in evaluate(case, path) if r["figure"] != "ms a picture"]
    assert without_time == [r for r in evaluate(case, case["folder"]) if r["figure"] != "ms a picture"]


@pytest.mark.parametrize("flavour", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_in_archives(case: Dict[str, Any], flavour: int, tmp_path: Path) -> None:
    name = "d" * 90 + "/" + "e" * 60 + ".ppm"
    with tarfile.open(tmp_path / "long.tar", "w", format=flavour) as archive:
        archive.add(case["folder"] / case["names"][0], arcname=name)
    picture = case["pictures"][0]
    row = {"file": name, "width": picture["width"], "height": picture["height"], "boxes": picture["boxes"]}
    (tmp_path / "truth.jsonl").write_text(json.dumps(row) + "\n")
    done = run("evaluate", "faces", "--model", MODEL, "--truth", tmp_path / "truth.jsonl", "--images", tmp_path / "long.tar")
    assert done.returncode == 0, done.stderr.decode()


def test_refusals(case: Dict[str, Any], tmp_path: Path) -> None:
    def refused(truth: str, images: Path, *words: str) -> None:
        (tmp_path / "truth.jsonl").write_text(truth)
        done = run("evaluate", "faces", "--model", MODEL, "--truth", tmp_path / "truth.jsonl", "--images", images)
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode())
        assert all(word in done.stderr.decode() for word in words), done.stderr.decode()

    row = {"file": case["names"][0], "width": 130, "height": 97, "boxes": []}
    refused("{\n", case["folder"], "truth.jsonl:1")
    refused(json.dumps({**row, "boxes": [[1, 2, 3]]}), case["folder"], "truth.jsonl:1", "expected 4")
    refused(json.dumps({**row, "width": 131}), case["folder"], row["file"], "131", "130")
    refused(json.dumps({**row, "file": "none.ppm"}), case["folder"], "none.ppm")
    refused("", case["folder"], "no pictures")
    garbage = tmp_path / "garbage.tar"
    garbage.write_bytes(b"x" * 2000)
    refused(json.dumps(row), garbage, "garbage.tar", "no tar archive")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(case["folder"] / case["names"][0], arcname=case["names"][0])
    short = tmp_path / "short.tar"
    short.write_bytes(data.getvalue()[:2000])
    refused(json.dumps(row), short, row["file"], "cannot read")


def test_predictions_are_judged_as_the_pictures_are(case: Dict[str, Any], tmp_path: Path) -> None:
    """The same figures without a picture; in any order, under longer names, faces as lists, from standard input."""
    lines = []
    for p in reversed(case["pictures"]):
        rows = [[f["score"], *f["box"], *(v for point in f["landmarks"] for v in point)] for f in p["faces"]]
        random.Random(1).shuffle(rows)
        lines.append(json.dumps({"file": "some/where/" + p["name"], "faces": rows}))
    done = run("evaluate", "faces", "--truth", case["folder"] / "truth.jsonl", "--reference", case["folder"] / "reference.jsonl",
               "--candidates", "0.3", "--by-source", "--predictions", "-", "--json", "-", input="\n".join(lines).encode())
    assert done.returncode == 0, done.stderr.decode()

    def values(rows: Any) -> Any:
        return [(r["figure"], r["faces"], r["count"], pytest.approx(r["value"], abs=1e-6)) for r in rows if r["figure"] != "ms a picture"]

    assert values(json.loads(done.stdout)["figures"]) == values(evaluate(case, case["folder"], "--by-source"))
    assert values(evaluate(case, case["folder"], "--jobs", "3")) == values(evaluate(case, case["folder"]))


def test_details_markdown_and_baseline(case: Dict[str, Any], tmp_path: Path) -> None:
    rows = evaluate(case, case["folder"], "--details", tmp_path / "details.jsonl", "--markdown", tmp_path / "table.md")
    details = [json.loads(line) for line in (tmp_path / "details.jsonl").read_text().splitlines()]
    assert [d["file"] for d in details] == case["names"]
    marks = [(d[0], d[1] == 1) for row in details for d in row["detections"] if d[1] >= 0]
    faces = sum(len(row["faces"]) for row in details)
    value = {r["faces"]: r["value"] for r in rows if r["figure"] == "AP@.5"}["all"]
    assert average_precision(faces, marks) == pytest.approx(value, abs=1e-6)
    table = (tmp_path / "table.md").read_text().splitlines()
    assert table[0].startswith("| faces | all |") and "NMS 0.4" in table[-1]

    folder = tmp_path / "many"
    folder.mkdir()
    dice = random.Random(2)
    with open(folder / "truth.jsonl", "w") as truth, open(folder / "good.jsonl", "w") as good, open(folder / "bad.jsonl", "w") as bad:
        for i in range(60):
            boxes = [[x, 10, x + 30, 40] for x in range(0, 200, 50)]
            found = [{"score": dice.uniform(0.1, 1), "box": box} for box in boxes]
            print(json.dumps({"file": f"{i}", "boxes": boxes}), file=truth)
            print(json.dumps({"file": f"{i}", "faces": found}), file=good)
            print(json.dumps({"file": f"{i}", "faces": found[: dice.randrange(4)]}), file=bad)
    done = run("evaluate", "faces", "--truth", folder / "truth.jsonl", "--predictions", folder / "good.jsonl", "--baseline",
               folder / "bad.jsonl", "--json", "-")
    figures = {(r["figure"].strip(), r["faces"]): r["value"] for r in json.loads(done.stdout)["figures"]}
    assert figures["AP@.5", "all"] == pytest.approx(1)
    low, middle, high = (figures[name, "all"] for name in ("95 % from", "AP@.5 less baseline", "95 % to"))
    assert 0 < low < middle < high < 1


def test_what_is_read_is_not_overwritten(case: Dict[str, Any], tmp_path: Path) -> None:
    truth = (case["folder"] / "truth.jsonl").read_bytes()
    done = run("evaluate", "faces", "--model", MODEL, "--truth", case["folder"] / "truth.jsonl", "--images", case["folder"],
               "--json", case["folder"] / "truth.jsonl")
    assert done.returncode == 1 and is_one_line(done.stderr.decode())
    assert (case["folder"] / "truth.jsonl").read_bytes() == truth


def test_names_do_not_lead_out(case: Dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("../a_1.ppm", str(case["folder"] / "a_1.ppm")):
        (tmp_path / "truth.jsonl").write_text(json.dumps({"file": name, "boxes": []}) + "\n")
        done = run("evaluate", "faces", "--model", MODEL, "--truth", tmp_path / "truth.jsonl", "--images", tmp_path / "in")
        assert done.returncode == 1
        assert "leads out" in done.stderr.decode()


def test_training_measures_the_same(tmp_path: Path) -> None:
    """A training run measures itself without a build of the tool (tools/train/measure.py): the same judgements, one by one."""
    pytest.importorskip("torch", reason="no PyTorch: tools/train's measure is not compared")
    numpy = pytest.importorskip("numpy")
    sys.path.insert(0, str(ROOT / "tools" / "train"))
    try:
        import measure
        from photos import Photo
    finally:
        sys.path.pop(0)
    dice = numpy.random.default_rng(3)
    found, photos = [], []
    for i in range(60):
        corners = dice.uniform(0, 200, (dice.integers(0, 9), 2))
        truth = numpy.concatenate([corners, corners + dice.uniform(5, 90, corners.shape)], 1).astype(numpy.float32)
        near = numpy.repeat(truth, 2, axis=0) + dice.normal(0, 3, (2 * len(truth), 4))
        stray = dice.uniform(0, 200, (3, 2))
        boxes = numpy.concatenate([near, numpy.concatenate([stray, stray + dice.uniform(5, 90, stray.shape)], 1)])
        boxes[:, 2:] = numpy.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        scores = numpy.sort(dice.uniform(0.03, 1, len(boxes)))[::-1]
        faces = numpy.concatenate([scores[:, None], boxes, dice.uniform(0, 200, (len(boxes), 10))], 1).astype(numpy.float32)
        points = dice.uniform(0, 200, (len(truth), 10))
        teacher = numpy.concatenate([dice.uniform(0.6, 1, (len(truth), 1)), truth, points], 1).astype(numpy.float32)
        found.append(faces)
        photos.append(Photo(f"{i}.jpg", numpy.zeros((9, 9, 3), numpy.uint8), marked=truth, teacher=teacher))
    with open(tmp_path / "truth", "w") as truth, open(tmp_path / "found", "w") as predictions, open(tmp_path / "teacher", "w") as reference:
        for photo, faces in zip(photos, found):
            print(json.dumps({"file": photo.name, "boxes": photo.marked.tolist()}), file=truth)
            print(json.dumps({"file": photo.name, "faces": faces.tolist()}), file=predictions)
            print(json.dumps({"file": photo.name, "faces": photo.teacher.tolist()}), file=reference)
    done = run("evaluate", "faces", "--truth", tmp_path / "truth", "--predictions", tmp_path / "found", "--reference", tmp_path / "teacher",
               "--json", tmp_path / "json", "--details", tmp_path / "details")
    assert done.returncode == 0, done.stderr.decode()

    marks = [measure.judge_photo(faces, photo) for faces, photo in zip(found, photos)]
    for line, mark, photo in zip((tmp_path / "details").read_text().splitlines(), marks, photos):
        detections = json.loads(line)["detections"]
        assert [d[1] for d in detections] == mark.outcome.tolist()
        assert [d[2] for d in detections if d[1] == 1] == mark.face[mark.outcome == 1].tolist()
        assert json.loads(line)["faces"] == pytest.approx(measure.sides_of(photo.marked)[mark.counted].tolist(), rel=1e-5)
    figures = {(row["figure"], row["faces"]): row["value"] for row in json.loads((tmp_path / "json").read_text())["figures"]}
    assert figures["AP@.5", "all"] == pytest.approx(measure.pooled_ap(marks), abs=1e-9)
    recall, precision = measure.at_threshold(marks, 0.5)
    assert (figures["recall", "all"], figures["precision", "all"]) == pytest.approx((recall, precision), abs=1e-9)
    errors, sides = measure.landmark_errors(found, photos)
    for low, high in measure.SIZE_BUCKETS:
        name = f"{low}-{high} px" if high < 9999 else f"{low}- px"
        value, faces = measure.bucket_ap(marks, [photo.marked for photo in photos], (low, high), 1.0)
        assert faces == 0 or figures["AP@.5", name] == pytest.approx(value, abs=1e-9), name
        inside = errors[(sides >= low) & (sides < high) & ~numpy.isnan(errors)]
        assert len(inside) == 0 or figures["landmark error %", name] == pytest.approx(100 * inside.mean(), rel=1e-5), name
