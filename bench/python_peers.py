#!/usr/bin/env python3
"""The Python package beside what Python users have, on this machine.

    python_peers.py [--truth val.jsonl --images val.tar] [--scrfd FILE.onnx] [--yunet FILE.onnx] [--only NAME,...] [--rounds 40]
    python_peers.py --overhead libretinaface.so
    python_peers.py --threads 1,2,4,8

The first form prints milliseconds a VGA picture (RGB array in, faces out, one core, every detector a burst in turn, medians) and, where a
labelled set is given, House AP: candidates with score > 0.02; each, by score, takes the face that it overlaps most; IoU < 0.5 or a face
already found is a false alarm; faces under 8 pixels count as neither; area under the envelope (what `retinaface evaluate` prints).
What is not installed is named and left out:

    pip install . onnxruntime mediapipe==0.10.14 facenet-pytorch opencv-python-headless ultralight

--overhead compares Detector.detect with the same call through the C library, interleaved; --threads shows how Python threads that share one
Detector scale, and that they find the same faces.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import os
import statistics
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, Protocol

import numpy as np
import retinaface
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LEAST_SCORE = 0.02


class Peer(Protocol):
    """Finds faces in an RGB array: scores [n] and boxes [n, 4] in its pixels, x1, y1, x2, y2."""

    def __call__(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


def nms(scores: np.ndarray, boxes: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of the survivors, best first."""
    order, kept = np.argsort(-scores, kind="stable"), []
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        side = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        common = np.prod(np.maximum(side, 0), axis=1)
        order = rest[common <= threshold * (area[best] + area[rest] - common)]
    return np.array(kept, dtype=int)


def ours(arguments: argparse.Namespace, least: float) -> Peer:
    detector = retinaface.Detector(score=least)

    def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        faces = detector.detect(rgb)
        return faces.scores, faces.boxes

    return detect


def scrfd(arguments: argparse.Namespace, least: float) -> Peer:
    """SCRFD-500M with five points: what insightface does with it, in numpy."""
    import onnxruntime

    if arguments.scrfd is None:
        raise RuntimeError("give its file with --scrfd")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(arguments.scrfd), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = (-(-side // 32) * 32 for side in rgb.shape[:2])
        padded = np.zeros((height, width, 3), np.uint8)
        padded[: rgb.shape[0], : rgb.shape[1]] = rgb
        outputs = session.run(None, {name: ((padded.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]})
        scores, boxes = [], []
        for level, stride in enumerate((8, 16, 32)):
            score, distance = outputs[level].reshape(-1), outputs[3 + level].reshape(-1, 4) * stride
            keep = np.flatnonzero(score > least)
            cell = keep // 2  # two anchors a cell
            x, y = cell % (width // stride) * stride, cell // (width // stride) * stride
            d = distance[keep]
            scores.append(score[keep])
            boxes.append(np.stack([x - d[:, 0], y - d[:, 1], x + d[:, 2], y + d[:, 3]], axis=1))
        score, box = np.concatenate(scores), np.concatenate(boxes)
        kept = nms(score, box, 0.4)
        return score[kept], box[kept]

    return detect


def yunet(arguments: argparse.Namespace, least: float) -> Peer:
    import cv2

    if arguments.yunet is None:
        raise RuntimeError("no package of PyPI carries its model; give its file with --yunet")
    cv2.setNumThreads(1)
    detector = cv2.FaceDetectorYN.create(str(arguments.yunet), "", (320, 320), least, 0.4, 5000)

    def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        detector.setInputSize(rgb.shape[1::-1])
        _, found = detector.detect(rgb[..., ::-1].copy())
        if found is None:
            return np.zeros(0), np.zeros((0, 4))
        return found[:, 14], np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)

    return detect


def mediapipe(model: int) -> Callable[[argparse.Namespace, float], Peer]:
    def make(arguments: argparse.Namespace, least: float) -> Peer:
        import mediapipe

        detector = mediapipe.solutions.face_detection.FaceDetection(model_selection=model, min_detection_confidence=least)

        def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = detector.process(rgb).detections or []
            relative = [d.location_data.relative_bounding_box for d in found]
            corners = [[b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height] for b in relative]
            boxes = np.array(corners, dtype=float).reshape(-1, 4) * np.tile(rgb.shape[1::-1], 2)
            return np.array([d.score[0] for d in found]), boxes

        return detect

    return make


def mtcnn(arguments: argparse.Namespace, least: float) -> Peer:
    """Its own thresholds, but for the last, which is what a user sets."""
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    detector = MTCNN(keep_all=True, thresholds=[0.6, 0.7, max(least, LEAST_SCORE)], device="cpu")

    def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = detector.detect(rgb)
        return (np.zeros(0), np.zeros((0, 4))) if boxes is None else (np.asarray(scores, float), np.asarray(boxes, float))

    return detect


def ultralight(arguments: argparse.Namespace, least: float) -> Peer:
    from ultralight import UltraLightDetector

    detector = UltraLightDetector()  # fetches its model

    def detect(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = detector.detect_one(rgb[..., ::-1].copy())
        return np.asarray(scores, float).reshape(-1), np.asarray(boxes, float).reshape(-1, 4)

    return detect


# A name, how to make it, and the score that its users ask for.
PEERS: dict[str, tuple[Callable[[argparse.Namespace, float], Peer], float]] = {
    "retinaface": (ours, 0.5),
    "SCRFD-500M, ONNX Runtime": (scrfd, 0.5),
    "YuNet, OpenCV": (yunet, 0.6),
    "MediaPipe, short range": (mediapipe(0), 0.5),
    "MediaPipe, full range": (mediapipe(1), 0.5),
    "MTCNN, facenet-pytorch": (mtcnn, 0.7),
    "ultralight": (ultralight, 0.7),
}


def pictures(truth: Path, images: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """RGB pictures of a labelled set in stored pixels, and their faces [n, 4]."""
    rows = {row["file"]: row["boxes"] for row in map(json.loads, truth.read_text().splitlines())}
    with tarfile.open(images) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            boxes = rows.get(name, rows.get(Path(name).name))
            file = tar.extractfile(member) if member.isfile() and boxes is not None else None
            if file is not None:
                yield np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")), np.array(boxes, float).reshape(-1, 4)


def average_precision(peer: Peer, data: Iterator[tuple[np.ndarray, np.ndarray]]) -> float:
    """House AP."""
    scores: list[float] = []
    hits: list[bool] = []
    positives = 0
    for rgb, truth in data:
        score, boxes = peer(rgb)
        ignored = np.sqrt(np.prod(truth[:, 2:] - truth[:, :2], axis=1)) < 8
        positives += int((~ignored).sum())
        found = np.zeros(len(truth), bool)
        for i in np.argsort(-np.asarray(score), kind="stable"):
            if score[i] <= LEAST_SCORE:
                continue
            hit = False
            if len(truth):
                side = np.minimum(boxes[i, 2:], truth[:, 2:]) - np.maximum(boxes[i, :2], truth[:, :2])
                common = np.prod(np.maximum(side, 0), axis=1)
                areas = np.prod(truth[:, 2:] - truth[:, :2], axis=1)
                iou = common / (np.prod(boxes[i, 2:] - boxes[i, :2]) + areas - common)
                best = int(np.argmax(iou))
                if iou[best] >= 0.5 and ignored[best]:
                    continue
                if iou[best] >= 0.5 and not found[best]:
                    hit = found[best] = True
            scores.append(float(score[i]))
            hits.append(hit)
    order = np.argsort(-np.array(scores), kind="stable")
    true = np.cumsum(np.array(hits, bool)[order])
    recall, precision = true / positives, true / np.arange(1, len(true) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope))


def vga() -> np.ndarray:
    """The sample photograph in a VGA picture."""
    sample = Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB")
    picture = Image.new("RGB", (640, 480), (90, 110, 130))
    picture.paste(sample.resize((480, 480)), (80, 0))
    return np.array(picture)


def interleaved(calls: dict[str, Callable[[], object]], rounds: int, burst: int = 3) -> dict[str, list[float]]:
    """Milliseconds a call: bursts in turn, so that drift of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # what the others' bursts took from the caches
            started = time.perf_counter()
            for _ in range(burst):
                call()
            times[name].append((time.perf_counter() - started) * 1e3 / burst)
    return times


def compare(arguments: argparse.Namespace) -> None:
    wanted = arguments.only.split(",") if arguments.only else list(PEERS)
    picture, made, calls = vga(), {}, {}
    for name in wanted:
        make, usual = PEERS[name]
        try:
            peer = make(arguments, usual)
            peer(picture)
        except Exception as error:  # noqa: BLE001: whatever keeps a peer from running is its row
            print(f"{name}: not run: {type(error).__name__}: {str(error).splitlines()[0][:150]}", file=sys.stderr)
            continue
        made[name] = make
        calls[name] = lambda peer=peer: peer(picture)
    times = interleaved(calls, arguments.rounds) if arguments.rounds else {name: [float("nan")] for name in calls}
    base = statistics.median(next(iter(times.values())))
    print("| | ms a VGA picture | times the first | House AP |\n|---|---|---|---|")
    for name in calls:
        ap = ""
        if arguments.truth is not None:
            ap = f"{average_precision(made[name](arguments, LEAST_SCORE), pictures(arguments.truth, arguments.images)):.3f}"
        median = statistics.median(times[name])
        print(f"| {name} | {median:.2f} | {median / base:.2f} | {ap} |", flush=True)


class CImage(ctypes.Structure):
    """retinaface_image."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t), ("pixels", ctypes.c_void_p), ("width", ctypes.c_int32), ("height", ctypes.c_int32),
        ("format", ctypes.c_int32), ("full_range", ctypes.c_int32), ("stride", ctypes.c_ssize_t), ("chroma", ctypes.c_void_p),
        ("chroma_stride", ctypes.c_ssize_t),
    ]  # fmt: skip


def overhead(arguments: argparse.Namespace) -> None:
    library, picture = ctypes.CDLL(str(arguments.overhead)), vga()
    detector, count, faces = ctypes.c_void_p(), ctypes.c_size_t(), (ctypes.c_float * 15 * 16)()
    if library.retinaface_detector_create(None, None, ctypes.byref(detector)) != 0:
        sys.exit("retinaface_detector_create failed")
    image = CImage(ctypes.sizeof(CImage), picture.ctypes.data, 640, 480)
    call = (detector, ctypes.byref(image), faces, ctypes.c_size_t(60), ctypes.c_size_t(16), ctypes.byref(count))
    python = retinaface.Detector()
    found = python.detect(picture)
    library.retinaface_detect(*call)
    assert len(found) == count.value and found.scores[0] == faces[0][0], "not the same face"
    times = interleaved({"C library": lambda: library.retinaface_detect(*call), "Python": lambda: python.detect(picture)}, arguments.rounds)
    ratios = [python / c for c, python in zip(times["C library"], times["Python"])]
    c, p = (statistics.median(times[name]) for name in times)
    print(f"VGA, one thread: C++ library through C {c:.3f} ms, Python {p:.3f} ms, ratio of bursts {statistics.median(ratios):.4f}")


def scale(arguments: argparse.Namespace) -> None:
    detector, picture = retinaface.Detector(), vga()
    expected = detector.detect(picture)
    counts = [int(count) for count in arguments.threads.split(",")]
    rates: dict[int, list[float]] = {count: [] for count in counts}
    wrong = 0

    def work(calls: int) -> None:
        nonlocal wrong
        for _ in range(calls):
            faces = detector.detect(picture)
            wrong += not (np.array_equal(faces.boxes, expected.boxes) and np.array_equal(faces.landmarks, expected.landmarks))

    for _ in range(max(arguments.rounds // 8, 3)):
        for count in counts:
            threads = [threading.Thread(target=work, args=(160 // count,)) for _ in range(count)]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates[count].append(160 // count * count / (time.perf_counter() - started))
    print(f"{os.cpu_count()} cores; threads that share one Detector, VGA pictures a second; {wrong} results differed")
    for count in counts:
        rate = statistics.median(rates[count])
        print(f"  {count} threads: {rate:.0f}, {rate / statistics.median(rates[counts[0]]):.2f} times {counts[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, help="faces of a labelled set, a line of JSON a picture")
    parser.add_argument("--images", type=Path, help="its pictures, a tar")
    parser.add_argument("--scrfd", type=Path, help="scrfd_500m_kps.onnx")
    parser.add_argument("--yunet", type=Path, help="face_detection_yunet_*.onnx")
    parser.add_argument("--only", help=f"of: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=40, help="bursts of each (0: no timing)")
    parser.add_argument("--overhead", type=Path, metavar="LIBRARY", help="compare with the C library")
    parser.add_argument("--threads", metavar="N,...", help="scale over Python threads")
    arguments = parser.parse_args()
    if (arguments.truth is None) != (arguments.images is None):
        parser.error("--truth and --images belong together")
    if arguments.threads:
        scale(arguments)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    overhead(arguments) if arguments.overhead else compare(arguments)


if __name__ == "__main__":
    main()
