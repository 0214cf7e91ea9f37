"""`retinaface align`: files and JSON lines; and its crops against OpenCV's on photographs (skipped where OpenCV is not there)."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from conftest import MODEL, SHARED, TRIMMED, is_one_line, run
from PIL import Image

ARCFACE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
PHOTOGRAPHS = 8 if TRIMMED else 40


def align(out: Path, *arguments: Any, model: Path = MODEL, code: int = 0) -> List[Dict[str, Any]]:
    done = run("align", "--model", model, "--out", out, "--json", "-", *arguments)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def umeyama(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """By singular values, as scikit-image and insightface do it."""
    mean, target = points.mean(0), template.mean(0)
    covariance = (template - target).T @ (points - mean) / len(points)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / (points - mean).var(0).sum()
    return np.hstack([scale * rotation, (target - scale * rotation @ mean)[:, None]])


def test_files_and_lines(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (97, 130, 3), dtype=np.uint8)
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "in" / folder / "photo.v2.png")
    lines = align(tmp_path / "out", "--score", "0.3", "--max-faces", "3", tmp_path / "in")
    assert [Path(line["file"]).parent.name for line in lines] == ["a", "b"]
    names = [Path(face["crop"]).name for line in lines for face in line["faces"]]
    assert names == ["photo.v2_0.png", "photo.v2_1.png", "photo.v2_2.png", "photo.v2_0_2.png", "photo.v2_1_2.png", "photo.v2_2_2.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    for line in lines:
        assert (line["width"], line["height"]) == (130, 97)
        for face in line["faces"]:
            with Image.open(face["crop"]) as crop:
                assert (crop.size, crop.mode) == ((112, 112), "RGB")
            expected = umeyama(np.array(face["landmarks"]), ARCFACE)
            np.testing.assert_allclose(np.array(face["to_crop"]), expected, rtol=1e-3, atol=2e-3 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize("size", [112, 128, 224])
def test_sizes(size: int, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (97, 130), dtype=np.uint8)).save(tmp_path / "grey.png")
    (line,) = align(tmp_path / "out", "--score", "0.3", "--max-faces", "1", "--size", size, tmp_path / "grey.png")
    with Image.open(line["faces"][0]["crop"]) as crop:
        assert crop.size == (size, size)


def test_refusals(tmp_path: Path) -> None:
    done = run("align", "--model", MODEL, "--out", tmp_path, "--size", "100", "x.png")
    assert done.returncode == 2
    (tmp_path / "broken.png").write_bytes(b"no picture")
    lines = align(tmp_path / "out", tmp_path / "broken.png", code=1)
    assert list(lines[0]) == ["file", "error"]
    done = run("align", "--model", MODEL, "--out", tmp_path / "out", tmp_path / "broken.png")
    assert done.returncode == 1
    assert is_one_line(done.stderr.decode())


def test_crops_are_those_of_opencv(official: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    if not (SHARED / "data" / "val.tar").exists():
        pytest.skip("no photographs")
    folder = tmp_path / "in"
    folder.mkdir()
    with tarfile.open(SHARED / "data" / "val.tar") as archive:
        for member in archive.getmembers()[:: 559 // PHOTOGRAPHS][:PHOTOGRAPHS]:
            pixels = Image.open(archive.extractfile(member)).convert("RGB")
            pixels.save(folder / (Path(member.name).stem + ".png"))
    compared, means = 0, []
    for line in align(tmp_path / "out", "--score", "0.6", folder, model=official):
        image = np.asarray(Image.open(line["file"]))
        for face in line["faces"]:
            matrix = umeyama(np.array(face["landmarks"]), ARCFACE)
            if np.hypot(*matrix[:, 0]) <= 0.5:
                continue  # averaged: OpenCV's bilinear skips pixels there
            expected = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderValue=0)
            found = np.asarray(Image.open(face["crop"]))
            difference = np.abs(found.astype(int) - expected.astype(int))
            means.append(difference.mean())
            assert difference.mean() < 1.0, face["crop"]
            compared += 1
    assert compared >= (5 if TRIMMED else 50)
    print(f"{compared} crops: mean difference {np.mean(means):.3f}, worst crop {np.max(means):.3f}")


def test_large_faces_are_averaged(official: Path, tmp_path: Path) -> None:
    """An enlarged photograph gives the crop of the photograph: what OpenCV gives after an area-average first."""
    cv2 = pytest.importorskip("cv2")
    name = SHARED / "golden" / "biubug6"
    if not name.exists():
        pytest.skip(f"{name} is not there")
    means = []
    for path in sorted(name.glob("*.png")):
        image = np.asarray(Image.open(path).convert("RGB"))
        if max(image.shape) > 1300:
            continue
        large = cv2.resize(image, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
        Image.fromarray(large).save(tmp_path / "large.png")
        (line,) = align(tmp_path / "out", "--score", "0.6", "--max-side", max(image.shape[:2]), tmp_path / "large.png", model=official)
        for face in line["faces"]:
            matrix = umeyama(np.array(face["landmarks"]), ARCFACE)
            factor = int(1 / np.hypot(*matrix[:, 0]))
            if factor < 2:
                continue
            height, width = (-(-side // factor) * factor for side in large.shape[:2])
            padded = np.zeros((height, width, 3), np.uint8)
            padded[: large.shape[0], : large.shape[1]] = large
            small = cv2.resize(padded, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
            # Squares' centres: x = factor * i + (factor - 1) / 2.
            adjusted = np.hstack([matrix[:, :2] * factor, (matrix[:, :2] @ np.full(2, (factor - 1) / 2) + matrix[:, 2])[:, None]])
            expected = cv2.warpAffine(small, adjusted, (112, 112), flags=cv2.INTER_LINEAR, borderValue=0)
            found = np.asarray(Image.open(face["crop"]))
            means.append(np.abs(found.astype(int) - expected.astype(int)).mean())
    assert means and max(means) < 1.0, means
