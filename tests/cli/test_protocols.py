"""The protocols of `retinaface evaluate` against straightforward implementations in NumPy and scikit-learn, on generated data."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from conftest import MODEL, ROOT, TRIMMED, is_one_line, run
from PIL import Image

LISTS = ("easy", "medium", "hard")


def evaluate(*arguments: Any, code: int = 0) -> Dict[str, Any]:
    done = run("evaluate", *arguments, "--json", "-")
    assert done.returncode == code, done.stderr.decode()
    return json.loads(done.stdout)


def values(report: Dict[str, Any]) -> Dict[Tuple[str, str], float]:
    return {(row["figure"], row["faces"]): row["value"] for row in report["figures"]}


# WIDER FACE


class Wider:
    """Ground truth and predictions with everything that is odd: ties, faces outside the lists, pictures without faces or without
    predictions, duplicated faces and predictions, an event without faces, boxes of one pixel."""

    def __init__(self, seed: int, events: int = 5, pictures: int = 12) -> None:
        dice = np.random.default_rng(seed)
        self.names: List[Tuple[str, str]] = []
        self.faces: List[np.ndarray] = []
        self.found: List[np.ndarray] = []
        self.lists: Dict[str, List[np.ndarray]] = {name: [] for name in LISTS}
        for e in range(events):
            for i in range(pictures):
                self.names.append((f"{e}--Event", f"{e}_Event_{i}"))
                count = 0 if e == 1 or i == 3 else int(dice.integers(1, 9))
                corner, side = dice.integers(0, 200, (count, 2)), dice.integers(1, 60, (count, 2))
                faces = np.concatenate([corner, side], 1).astype(float)
                if count > 2:
                    faces[1] = faces[0]  # drawn twice
                self.faces.append(faces)
                for k, name in enumerate(LISTS):
                    keep = np.flatnonzero(dice.random(count) < (0.3, 0.6, 0.9)[k]) + 1
                    self.lists[name].append(keep)
                near = faces[dice.integers(0, count, 2 * count)] + dice.normal(0, 4, (2 * count, 4)) if count else np.zeros((0, 4))
                far = np.concatenate([dice.integers(0, 200, (6, 2)), dice.integers(1, 60, (6, 2))], 1).astype(float)
                boxes = np.concatenate([near, far, near[:1]])
                boxes[:, 2:] = np.maximum(boxes[:, 2:], 0.5)
                scores = np.round(dice.random(len(boxes)), 2 if e % 2 else 6)  # ties
                found = np.concatenate([boxes, scores[:, None]], 1)
                self.found.append(found[:0] if i == 5 else found)

    def write_text(self, folder: Path) -> None:
        lines = []
        for (event, name), faces in zip(self.names, self.faces):
            lines += [f"{event}/{name}.jpg", str(len(faces))]
            lines += [" ".join(f"{v:g}" for v in face) + " 0 0 0 0 0 0" for face in faces] or ["0 0 0 0 0 0 0 0 0 0"]
        (folder / "wider_face_val_bbx_gt.txt").write_text("\n".join(lines) + "\n")
        for list_name, lists in self.lists.items():
            lines = []
            for (event, name), keep in zip(self.names, lists):
                lines += [f"{event}/{name}.jpg", str(len(keep)), *map(str, keep)]
            (folder / f"wider_{list_name}_val.txt").write_text("\n".join(lines) + "\n")

    def write_mat(self, folder: Path) -> None:
        """The cell arrays of the official files, compressed as these are."""
        savemat = pytest.importorskip("scipy.io").savemat

        def cell(items: List[Any]) -> np.ndarray:
            array = np.empty((len(items), 1), object)
            for i, item in enumerate(items):
                array[i, 0] = item
            return array

        def by_event(items: List[Any]) -> np.ndarray:
            return cell([cell([item for (e, _), item in zip(self.names, items) if e == event]) for event in events])

        events = list(dict.fromkeys(e for e, _ in self.names))
        common = {"event_list": cell(events), "file_list": by_event([name for _, name in self.names])}
        savemat(folder / "wider_face_val.mat", {**common, "face_bbx_list": by_event(self.faces)}, do_compression=True)
        for name, lists in self.lists.items():
            savemat(folder / f"wider_{name}_val.mat", {**common, "gt_list": by_event([k.reshape(-1, 1).astype(float) for k in lists])})

    def write_predictions(self, folder: Path) -> Path:
        for k, ((event, name), found) in enumerate(zip(self.names, self.found)):
            (folder / event).mkdir(parents=True, exist_ok=True)
            if k % 17 == 5:
                self.found[k] = found[:0]
                continue  # no file at all
            lines = [f"{event}/{name}.jpg", str(len(found)), *(" ".join(f"{v:.17g}" for v in box) for box in found)]
            (folder / event / f"{name}.txt").write_text("\n".join(lines) + "\n")
        return folder

    def average_precision(self, list_name: str, min_overlap: float = 0.5) -> Tuple[float, np.ndarray]:
        """As the official MATLAB code does it, step by step."""
        scores = np.concatenate([f[:, 4] for f in self.found])
        low, high = scores.min(), scores.max()
        thresholds = np.array([1 - (t + 1) / 1000 for t in range(1000)])
        total, curve = 0, np.zeros((1000, 2))
        for faces, found, keep in zip(self.faces, self.found, self.lists[list_name]):
            total += len(keep)
            if len(faces) == 0 or len(found) == 0:
                continue
            found = found[np.argsort(-found[:, 4], kind="stable")]
            score = (found[:, 4] - low) / (high - low)
            wanted = np.zeros(len(faces), bool)
            wanted[keep - 1] = True
            state, proposal, recalled = np.zeros(len(faces)), np.ones(len(found)), np.zeros(len(found))
            corners = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:]], 1)
            for h, (x, y, w, height, _) in enumerate(found):
                iw = np.minimum(corners[:, 2], x + w) - np.maximum(corners[:, 0], x) + 1
                ih = np.minimum(corners[:, 3], y + height) - np.maximum(corners[:, 1], y) + 1
                shared = iw * ih
                joined = (faces[:, 2] + 1) * (faces[:, 3] + 1) + (w + 1) * (height + 1) - shared
                overlap = np.where((iw > 0) & (ih > 0), shared / np.where(joined > 0, joined, 1), 0)
                best = int(np.argmax(overlap))
                if overlap[best] >= min_overlap:
                    if not wanted[best]:
                        state[best], proposal[h] = -1, -1
                    elif state[best] == 0:
                        state[best] = 1
                recalled[h] = (state == 1).sum()
            for t, threshold in enumerate(thresholds):
                index = np.flatnonzero(score >= threshold)
                if len(index):
                    curve[t] += (proposal[: index[-1] + 1] == 1).sum(), recalled[index[-1]]
        precision = np.divide(curve[:, 1], curve[:, 0], out=np.zeros(1000), where=curve[:, 0] > 0)
        recall = curve[:, 1] / total
        mrec, mpre = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
        for i in range(len(mpre) - 2, -1, -1):
            mpre[i] = max(mpre[i], mpre[i + 1])
        step = np.flatnonzero(mrec[1:] != mrec[:-1]) + 1
        return float(((mrec[step] - mrec[step - 1]) * mpre[step]).sum()), np.stack([recall, precision], 1)


@pytest.mark.parametrize("seed", [1] if TRIMMED else [1, 2, 3])
def test_wider(seed: int, tmp_path: Path) -> None:
    case = Wider(seed, pictures=8 if TRIMMED else 12)
    case.write_text(tmp_path)
    report = evaluate("wider", "--truth", tmp_path, "--predictions", case.write_predictions(tmp_path / "found"))
    found = values(report)
    for name in LISTS:
        ap, curve = case.average_precision(name)
        assert 0 < ap < 1
        assert found["AP@.5", name] == pytest.approx(ap, abs=1e-9)
        (points,) = [c["points"] for c in report["curves"] if c["name"] == name]
        np.testing.assert_allclose(np.array(points), curve, atol=1e-12)
        if not TRIMMED:
            over = [case.average_precision(name, 0.5 + 0.05 * i)[0] for i in range(10)]
            assert found["mAP@.5:.95", name] == pytest.approx(np.mean(over), abs=1e-9)


def test_wider_mat_files(tmp_path: Path) -> None:
    """The official files, and the text that the converter makes of them, give what the text gives."""
    case = Wider(4)
    for name in ("text", "mat", "converted"):
        (tmp_path / name).mkdir()
    case.write_text(tmp_path / "text")
    case.write_mat(tmp_path / "mat")
    predictions = case.write_predictions(tmp_path / "found")
    expected = values(evaluate("wider", "--truth", tmp_path / "text", "--predictions", predictions))

    for path in (tmp_path / "mat").iterdir():
        shutil.copy(path, tmp_path / "converted")
    subprocess.run([sys.executable, ROOT / "tools" / "convert_truth.py", "wider", tmp_path / "converted"], check=True, stdout=subprocess.PIPE)
    for path in (tmp_path / "converted").glob("*.mat"):
        path.unlink()
    assert values(evaluate("wider", "--truth", tmp_path / "converted", "--predictions", predictions)) == expected

    done = run("evaluate", "wider", "--truth", tmp_path / "mat", "--predictions", predictions, "--json", "-")
    if b"libmatio" in done.stderr:
        pytest.skip("the tool was built without libmatio")
    assert done.returncode == 0, done.stderr.decode()
    assert values(json.loads(done.stdout)) == expected


def test_wider_pictures(tmp_path: Path) -> None:
    """Detecting gives the figures of the predictions that it writes."""
    dice = np.random.default_rng(1)
    lines = []
    for event, name in (("0--A", "0_A_1"), ("0--A", "0_A_2"), ("1--B", "1_B_7")):
        (tmp_path / "images" / event).mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(tmp_path / "images" / event / f"{name}.jpg", "JPEG")
        lines += [f"{event}/{name}.jpg", "2", "10 10 30 30 0 0 0 0 0 0", "50 20 40 40 0 0 0 1 0 0"]
    (tmp_path / "wider_face_val_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    arguments = ("wider", "--truth", tmp_path, "--model", MODEL, "--candidates", "0.3", "--images", tmp_path)
    direct = evaluate(*arguments, "--write-predictions", tmp_path / "found")
    assert {row["count"] for row in direct["figures"] if row["figure"] == "AP@.5"} == {3}  # one of two is called invalid
    again = evaluate("wider", "--truth", tmp_path, "--predictions", tmp_path / "found")
    figures = values(direct)
    assert {k: v for k, v in figures.items() if k[0] != "ms a picture"} == values(again)
    assert sorted(p.name for p in (tmp_path / "found").rglob("*.txt")) == ["0_A_1.txt", "0_A_2.txt", "1_B_7.txt"]


def test_wider_refusals(tmp_path: Path) -> None:
    case = Wider(1, pictures=4)
    case.write_text(tmp_path)
    predictions = case.write_predictions(tmp_path / "found")

    def refused(*words: str) -> None:
        done = run("evaluate", "wider", "--truth", tmp_path, "--predictions", predictions)
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode()), done.stderr.decode()
        assert all(word in done.stderr.decode() for word in words), done.stderr.decode()

    path = predictions / "0--Event" / "0_Event_0.txt"
    good = path.read_text()
    path.write_text(good + "1 2 3 4 0.5\n")
    refused("0_Event_0.txt", "expected", "found")
    path.write_text(good.replace(good.splitlines()[2], "1 2 3"))
    refused("0_Event_0.txt:3")
    path.write_text(good)
    (tmp_path / "wider_hard_val.txt").write_text("0--Event/0_Event_0.jpg\n1\n99\n")
    refused("wider_hard_val.txt", "99")
    (tmp_path / "wider_hard_val.txt").write_text("0--Event/unknown.jpg\n0\n")
    refused("unknown")
    (tmp_path / "wider_face_val_bbx_gt.txt").write_text("0--Event/0_Event_0.jpg\n5\n1 2 3 4\n")
    refused("ends in the middle")
    (tmp_path / "wider_face_val_bbx_gt.txt").unlink()
    refused("wider_face_val")


# Five landmarks


def landmark_case(seed: int, count: int) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    dice = np.random.default_rng(seed)
    truth, found = [], []
    for i in range(count):
        faces, predictions = [], []
        for k in range(int(dice.integers(1, 4))):
            side = dice.uniform(30, 90)
            x, y = 150 * k + dice.uniform(0, 40), dice.uniform(0, 40)
            box = [x, y, x + side, y + 1.2 * side]
            points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * [side, 1.2 * side] + [x, y]
            faces.append({"box": box, "landmarks": points.tolist()})
            if dice.random() < 0.85:
                moved = points + dice.normal(0, side * dice.choice([0.02, 0.15]), (5, 2))
                predictions.append({"score": float(dice.uniform(0.4, 1)), "box": (np.array(box) + dice.normal(0, 2, 4)).tolist(),
                                    "landmarks": moved.tolist()})
        truth.append({"file": f"{i}.jpg", "faces": faces})
        found.append({"file": f"{i}.jpg", "faces": predictions})
    return truth, found


def write_lines(path: Path, rows: List[Dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def iou(a: Any, b: Any) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_landmarks(tmp_path: Path) -> None:
    truth, found = landmark_case(1, 100)
    report = evaluate("landmarks", "--truth", write_lines(tmp_path / "truth.jsonl", truth), "--predictions",
                      write_lines(tmp_path / "found.jsonl", found))
    by_box, by_eyes = [], []
    for row, predictions in zip(truth, found):
        for face in row["faces"]:
            box, points = face["box"], np.array(face["landmarks"])
            usable = [p for p in predictions["faces"] if p["score"] > 0.5 and iou(p["box"], box) >= 0.5]
            if not usable:
                by_box.append(np.inf)
                by_eyes.append(np.inf)
                continue
            best = max(usable, key=lambda p: iou(p["box"], box))
            distance = np.linalg.norm(np.array(best["landmarks"]) - points, axis=1).mean()
            by_box.append(distance / np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
            by_eyes.append(distance / np.linalg.norm(points[0] - points[1]))
    figures = values(report)
    for name, errors in (("sqrt(box)", np.array(by_box)), ("eye distance", np.array(by_eyes))):
        met = errors[np.isfinite(errors)]
        assert 0 < len(met) < len(errors)
        assert figures["NME %", name] == pytest.approx(100 * met.mean(), rel=1e-5)
        assert figures["failures %", name] == pytest.approx(100 * (met > 0.1).mean())
        assert figures["failures, missed too %", name] == pytest.approx(100 * (errors > 0.1).mean())
        (curve,) = [c["points"] for c in report["curves"] if c["name"] == name]
        for x, share in curve[:-1]:
            assert share == pytest.approx((errors <= x + 1e-12).mean(), abs=0.5 / len(errors))


@pytest.mark.parametrize("count", [5, 19, 21, 68])
def test_pts_files(count: int, tmp_path: Path) -> None:
    dice = np.random.default_rng(count)
    folder = tmp_path / "truth" / "sub"
    folder.mkdir(parents=True)
    found, errors = [], []
    for i in range(10):
        points = dice.uniform(20, 100, (count, 2))
        if count == 21 and i % 2:
            points[7] = (0, 0)  # the left eye is not marked
        (folder / f"{i}.pts").write_text(f"version: 1\nn_points:  {count}\n{{\n" + "".join(f"{x} {y}\n" for x, y in points) + "}\n")
        seen = points[~(points <= 0).all(1)]
        if count == 68:
            five = np.array([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
        else:
            index = {5: [0, 1, 2, 3, 4], 19: [7, 10, 13, 15, 17], 21: [7, 10, 14, 17, 19]}[count]
            five = points[index]
        guess = five + dice.normal(0, 3, (5, 2))
        visible = ~(five <= 0).all(1)
        side = np.sqrt(np.prod(seen.max(0) - seen.min(0)))
        errors.append(np.linalg.norm(guess - five, axis=1)[visible].mean() / side)
        face = {"score": 0.9, "box": [0, 0, 120, 120], "landmarks": guess.tolist()}
        other = {"score": 0.95, "box": [200, 200, 220, 220], "landmarks": guess.tolist()}
        found.append({"file": f"data/sub/{i}.jpg", "faces": [other, face]})
    report = evaluate("landmarks", "--truth", tmp_path / "truth", "--predictions", write_lines(tmp_path / "found.jsonl", found))
    assert values(report)["NME %", "sqrt(box)"] == pytest.approx(100 * np.mean(errors), rel=1e-5)


# AFLW2000-3D


def dense_case(count: int = 60) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    dice = np.random.default_rng(3)
    truth, found = [], []
    for i in range(count):
        points, pose = dice.uniform(50, 250, (68, 3)), [dice.uniform(-40, 40), dice.uniform(-89, 89), dice.uniform(-40, 40)]
        truth.append({"file": f"image{i:05}", "points": points.tolist(), "pose": pose})
        guess = {"points": (points + dice.normal(0, 5, points.shape)).tolist(), "pose": (np.array(pose) + dice.normal(0, 4, 3)).tolist()}
        far = {"points": (points + 500).tolist(), "pose": [0, 0, 0]}
        found.append({"file": f"AFLW2000/image{i:05}.jpg", "faces": [far, guess] if i % 3 else [guess]})
    return truth, found[:-1]


def check_dense(figures: Dict[Tuple[str, str], float], truth: List[Dict[str, Any]], found: List[Dict[str, Any]]) -> None:
    errors, yaws, angles = [], [], []
    for row, predictions in zip(truth, found):
        points, guess = np.array(row["points"])[:, :2], predictions["faces"][-1]
        size = points.max(0) - points.min(0)
        errors.append(np.linalg.norm(np.array(guess["points"])[:, :2] - points, axis=1).mean() / np.sqrt(size[0] * size[1]))
        yaws.append(abs(row["pose"][1]))
        angles.append(np.abs(np.array(guess["pose"]) - row["pose"]))
    errors, yaws = np.array(errors), np.array(yaws)
    bins = [errors[yaws <= 30].mean(), errors[(yaws > 30) & (yaws <= 60)].mean(), errors[yaws > 60].mean()]
    for name, value in zip(("yaw 0-30", "yaw 30-60", "yaw 60-90", "mean of bins"), [*bins, np.mean(bins)]):
        assert figures["NME %", name] == pytest.approx(100 * value, rel=1e-5)
    for name, value in zip(("pitch", "yaw", "roll"), np.mean(angles, 0)):
        assert figures["pose error, degrees", name] == pytest.approx(value, rel=1e-5)
    assert figures["found %", "all"] == pytest.approx(100 * len(found) / len(truth))


def test_dense(tmp_path: Path) -> None:
    truth, found = dense_case()
    report = evaluate("dense", "--truth", write_lines(tmp_path / "truth.jsonl", truth), "--predictions",
                      write_lines(tmp_path / "found.jsonl", found))
    check_dense(values(report), truth, found)


def test_dense_mat_files(tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    truth, found = dense_case(20)
    (tmp_path / "mat").mkdir()
    for row in truth:
        pose = np.concatenate([np.radians(row["pose"]), [1, 2, 3, 4]])
        savemat(tmp_path / "mat" / f"{row['file']}.mat", {"pt3d_68": np.array(row["points"]).T, "Pose_Para": pose[None]})
    predictions = write_lines(tmp_path / "found.jsonl", found)
    converted = subprocess.run([sys.executable, ROOT / "tools" / "convert_truth.py", "aflw2000", tmp_path / "mat"], check=True, stdout=subprocess.PIPE)
    (tmp_path / "truth.jsonl").write_bytes(converted.stdout)
    check_dense(values(evaluate("dense", "--truth", tmp_path / "truth.jsonl", "--predictions", predictions)), truth, found)
    done = run("evaluate", "dense", "--truth", tmp_path / "mat", "--predictions", predictions, "--json", "-")
    if b"libmatio" in done.stderr:
        pytest.skip("the tool was built without libmatio")
    assert done.returncode == 0, done.stderr.decode()
    check_dense(values(json.loads(done.stdout)), truth, found)


# Verification


def people(dice: np.random.Generator, images: int, dimension: int) -> Tuple[np.ndarray, np.ndarray]:
    """Who is in an image, and embeddings [images, 2, dimension] (the second of the mirror)."""
    who = dice.integers(0, images // 5, images)
    centres = dice.normal(size=(images // 5, 1, dimension))
    return who, (centres[who] + dice.normal(0, 1.2, (images, 2, dimension))).astype(np.float32)


def make_pairs(dice: np.random.Generator, who: np.ndarray, count: int) -> List[Tuple[int, int, int]]:
    pairs = []
    while len(pairs) < count:
        a, b = dice.integers(0, len(who), 2)
        same = int(who[a] == who[b])
        if a != b and same == len(pairs) % 2:
            pairs.append((int(a), int(b), same))
    return pairs


def tar_at_far(labels: np.ndarray, scores: np.ndarray) -> Dict[str, float]:
    metrics = pytest.importorskip("sklearn.metrics")
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    rates = {f"TAR at FAR 1e-{k}": float(tpr[fpr <= 10.0**-k].max()) for k in range(1, 7)}
    return {**rates, "area under ROC": float(metrics.roc_auc_score(labels, scores))}


@pytest.mark.parametrize("form", ["npy", "jsonl"])
def test_ten_folds(form: str, tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    who, embeddings = people(dice, 200, 16)
    pairs = make_pairs(dice, who, 605)
    names = [f"person{w}/{i}" for i, w in enumerate(who)]
    (tmp_path / "pairs.txt").write_text("".join(f"{names[a]} {names[b]} {same}\n" for a, b, same in pairs))
    if form == "npy":
        np.save(tmp_path / "e.npy", embeddings)
        (tmp_path / "names.txt").write_text("".join(f"crops/{name}.png\n" for name in names))
        arguments = ["--embeddings", tmp_path / "e.npy", "--names", tmp_path / "names.txt"]
    else:
        rows = [{"file": n + ".jpg", "embedding": e[0].tolist(), "mirrored": e[1].tolist()} for n, e in zip(names, embeddings)]
        arguments = ["--embeddings", write_lines(tmp_path / "e.jsonl", rows)]
    figures = values(evaluate("verify", "--pairs", tmp_path / "pairs.txt", *arguments))

    units = embeddings.astype(np.float64).sum(1)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    index, labels = np.array(pairs)[:, :2], np.array(pairs)[:, 2].astype(bool)
    distance = ((units[index[:, 0]] - units[index[:, 1]]) ** 2).sum(1)
    right = (distance[None] < np.arange(0, 4, 0.01)[:, None]) == labels[None]
    accuracy = []
    for fold in np.array_split(np.arange(len(pairs)), 10):
        others = np.setdiff1d(np.arange(len(pairs)), fold)
        accuracy.append(right[np.argmax(right[:, others].mean(1))][fold].mean())
    assert 0.6 < np.mean(accuracy) < 1
    assert figures["accuracy", "mean of folds"] == pytest.approx(np.mean(accuracy), abs=1e-12)
    assert figures["standard deviation", "mean of folds"] == pytest.approx(np.std(accuracy), abs=1e-12)
    for name, value in tar_at_far(labels, -distance).items():
        assert figures[name, "all"] == pytest.approx(value, abs=1e-12)


def test_lfw_pairs(tmp_path: Path) -> None:
    """LFW's own list names images by person and number."""
    rows, lines = [], ["2\t5"]
    for fold in range(2):
        for k in range(5):
            rows += [{"file": f"lfw/P{fold}{k}/P{fold}{k}_{i:04}.jpg", "embedding": [1.0 if k % 2 else -1.0, 0.1 * i]} for i in (1, 2)]
        lines += [f"P{fold}{k}\t1\t2" for k in range(5)] + [f"P{fold}{k}\t1\tP{fold}{(k + 1 + k // 4) % 4}\t2" for k in range(5)]  # the last two look alike
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    report = evaluate("verify", "--pairs", tmp_path / "pairs.txt", "--folds", 2, "--embeddings", write_lines(tmp_path / "e.jsonl", rows))
    assert {row["count"] for row in report["figures"] if row["figure"] == "area under ROC"} == {20}
    assert values(report)["accuracy", "mean of folds"] == pytest.approx(0.9)


@pytest.mark.parametrize("weighted", [True, False])
def test_templates(weighted: bool, tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    who, embeddings = people(dice, 400, 16)
    template = who * 4 + dice.integers(0, 4, len(who))
    medium = dice.integers(0, 5, len(who))
    scores = dice.uniform(0.3, 1, len(who))
    np.save(tmp_path / "e.npy", embeddings)
    (tmp_path / "tid_mid.txt").write_text("".join(f"{i}.jpg {t} {m}\n" for i, (t, m) in enumerate(zip(template, medium))))
    (tmp_path / "scores.txt").write_text("".join(f"{i}.jpg 1 2 3 4 5 6 7 8 9 10 {s!r}\n" for i, s in enumerate(scores.tolist())))
    known = np.unique(template)
    pairs = [(int(a), int(b), int(a // 4 == b // 4)) for a in known for b in dice.choice(known, 20) if a != b]
    pairs += [(int(a), int(b), 1) for a in known for b in known if a < b and a // 4 == b // 4]
    (tmp_path / "pairs.txt").write_text("".join(f"{a} {b} {same}\n" for a, b, same in pairs))
    extra = ["--detection-scores", tmp_path / "scores.txt"] if weighted else ["--unit-embeddings"]
    figures = values(evaluate("verify", "--templates", tmp_path / "tid_mid.txt", "--pairs", tmp_path / "pairs.txt", "--embeddings",
                              tmp_path / "e.npy", *extra))

    features = embeddings.astype(np.float64).sum(1)
    features = features * scores[:, None] if weighted else features / np.linalg.norm(features, axis=1, keepdims=True)
    units = {}
    for t in known:
        inside = template == t
        total = np.sum([features[inside & (medium == m)].mean(0) for m in np.unique(medium[inside])], axis=0)
        units[int(t)] = total / np.linalg.norm(total)
    similarity = np.array([units[a] @ units[b] for a, b, _ in pairs])
    for name, value in tar_at_far(np.array([same for *_, same in pairs]), similarity).items():
        assert figures[name, "all"] == pytest.approx(value, abs=1e-12)


def test_verify_refusals(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("a b 1\na c 0\n")
    np.save(tmp_path / "e.npy", np.zeros((2, 4), np.float32))
    (tmp_path / "names.txt").write_text("a\nb\n")

    def refused(*words: str) -> None:
        done = run("evaluate", "verify", "--pairs", tmp_path / "pairs.txt", "--embeddings", tmp_path / "e.npy", "--names", tmp_path / "names.txt")
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode())
        assert all(word in done.stderr.decode() for word in words), done.stderr.decode()

    refused("no embedding of 'c'")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    refused("3 names for 2 rows")
    whole = (tmp_path / "e.npy").read_bytes()
    for size in (0, 5, 11, 60, len(whole) - 1):
        (tmp_path / "e.npy").write_bytes(whole[:size])
        refused("e.npy")


# What every protocol offers


def test_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("RETINAFACE_PYTHON", sys.executable)
    truth, found = landmark_case(1, 10)
    for name in ("curve.svg", "curve.png"):
        evaluate("landmarks", "--truth", write_lines(tmp_path / "truth.jsonl", truth), "--predictions",
                 write_lines(tmp_path / "found.jsonl", found), "--plot", tmp_path / name)
    assert (tmp_path / "curve.svg").read_text().lstrip().startswith("<?xml")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.png", "curve.svg", "found.jsonl", "truth.jsonl"]
    monkeypatch.setenv("RETINAFACE_PYTHON", str(tmp_path / "none"))
    done = run("evaluate", "landmarks", "--truth", tmp_path / "truth.jsonl", "--predictions", tmp_path / "found.jsonl", "--plot", tmp_path / "x.svg")
    assert done.returncode == 1 and is_one_line(done.stderr.decode())


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["faces"], ["faces", "--truth", "x"], ["wider", "--truth", "x", "--images", "a", "--predictions", "b"],
                                       ["dense", "--truth", "x"], ["verify", "--pairs", "x"], ["landmarks", "--truth", "x", "--predictions", "y", "--plot", "z.gif"]], ids=" ".join)
def test_usage(arguments: List[str]) -> None:
    assert run("evaluate", *arguments).returncode == 2
