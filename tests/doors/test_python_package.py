"""The Python package, built as a wheel and installed into a folder: same numbers as C++, every form of image, errors, threads, pickles.

Needs nanobind, scikit-build-core and Python's headers, and is skipped, visibly, without them.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT, SAMPLE, from_environment, run
from PIL import Image

@pytest.fixture(scope="session")
def retinaface(site: Path) -> ModuleType:
    sys.path.insert(0, str(site))
    return importlib.import_module("retinaface")


@pytest.fixture(scope="session")
def detector(retinaface: ModuleType):
    return retinaface.Detector()


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("boxes", "scores", "landmarks"))


def tool_lines(*arguments: object) -> list[dict]:
    return [json.loads(line) for line in run(*from_environment("RETINAFACE_CLI"), *arguments).stdout.splitlines()]


def test_wheel(wheel: Path) -> None:
    assert wheel.stat().st_size < 4_000_000
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("__init__.py", "_core.pyi", "py.typed", "bin/retinaface", "weights/mobilenet025.safetensors",
                 "weights/mesh_decoder.safetensors", "weights/landmarks68.safetensors", "weights/LICENSE.ICT-FaceKit"):  # fmt: skip
        assert f"retinaface/{name}" in names
    assert not any(name.endswith((".hpp", ".cpp", ".a")) for name in names)
    stub = zipfile.ZipFile(wheel).read("retinaface/_core.pyi").decode()
    assert "class Detector" in stub and "class MeshEstimator" in stub and "def align" in stub
    shipped = (ROOT / "weights" / "retinaface_mobilenet025.safetensors").read_bytes()
    assert zipfile.ZipFile(wheel).read("retinaface/weights/mobilenet025.safetensors") == shipped


def test_five_lines(site: Path) -> None:
    program = f"import retinaface\nfrom PIL import Image\nfor face in retinaface.Detector().detect(Image.open({str(SAMPLE)!r})):\n"
    program += "    print(round(face.score, 3), *face.box.round().astype(int))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    score, *box = map(float, run(sys.executable, "-c", program, env=environment).stdout.split())
    assert score > 0.9 and np.allclose(box, [173, 61, 277, 168], atol=8)
    help_text = run(sys.executable, "-m", "retinaface", "--help", env=environment).stdout
    assert "detect" in help_text and "evaluate" in help_text
    # With the weights of the package: the tool of the build's bytes, and the same words about them.
    about = run(sys.executable, "-m", "retinaface", "info", env=environment).stdout
    assert about == run(*from_environment("RETINAFACE_CLI"), "info").stdout and "passed" in about
    posed = run(sys.executable, "-m", "retinaface", "detect", "--pose", "--json", "-", SAMPLE, env=environment).stdout
    assert json.loads(posed) == tool_lines("detect", "--pose", "--json", "-", SAMPLE)[0]


def test_same_bits_as_the_tool(retinaface: ModuleType, sample: np.ndarray, tmp_path: Path) -> None:
    crowd = np.concatenate([np.concatenate([sample[::2, ::2], sample[::2, ::-2]], axis=1), sample[64:320:, ::1]], axis=0)
    Image.fromarray(crowd).save(tmp_path / "crowd.png")
    for flags, options in [
        ([], {}),
        (["--score", "0.02", "--max-side", "300"], dict(score=0.02, size=300)),
        (["--scales", "1,0.5", "--flip", "--voting", "paper", "--threads", "2"], dict(scales=(1, 0.5), flip=True, voting="paper", threads=2)),
        (["--size", "320x320"], dict(size=(320, 320))),
        (["--min-face", "40", "--max-face", "200"], dict(min_face=40, max_face=200)),
    ]:
        (line,) = tool_lines("detect", *flags, "--json", "-", tmp_path / "crowd.png")
        faces = retinaface.Detector(**options).detect(crowd)
        assert len(faces) == len(line["faces"]) > 0, flags
        assert faces.scores.dtype == faces.boxes.dtype == faces.landmarks.dtype == np.float32
        assert np.array_equal(faces.scores, np.float32([face["score"] for face in line["faces"]])), flags
        assert np.array_equal(faces.boxes, np.float32([face["box"] for face in line["faces"]])), flags
        assert np.array_equal(faces.landmarks, np.float32([face["landmarks"] for face in line["faces"]])), flags


def test_align_as_the_tool(retinaface: ModuleType, detector, sample: np.ndarray, tmp_path: Path) -> None:
    (line,) = tool_lines("align", "--json", "-", "--out", tmp_path, SAMPLE)
    faces = detector.detect(sample)
    crops, to_crop = retinaface.align(sample, faces)
    assert crops.shape == (1, 112, 112, 3) and to_crop.shape == (1, 2, 3)
    assert np.array_equal(crops[0], np.asarray(Image.open(line["faces"][0]["crop"]).convert("RGB")))
    assert np.allclose(to_crop[0], line["faces"][0]["to_crop"], atol=1e-4)
    wide = retinaface.align(sample[..., ::-1], faces[0], size=224, margin=0.25, channels="bgr").crops
    assert wide.shape == (1, 224, 224, 3) and np.array_equal(wide[..., ::-1], retinaface.align(sample, faces[0], 224, 0.25).crops)
    with pytest.raises(ValueError, match="multiples of 112 or 128.*found 100"):
        retinaface.align(sample, faces, size=100)
    with pytest.raises(ValueError, match=r"landmarks \[n, 5, 2\], found \[4\]"):
        retinaface.align(sample, faces.boxes[0])
    with pytest.raises(ValueError, match="coincide"):
        retinaface.align(sample, np.zeros((5, 2)))
    for none in (np.zeros((0, 5, 2)), [], faces[:0]):
        assert retinaface.align(sample, none).crops.shape == (0, 112, 112, 3)
    with pytest.raises(ValueError, match="align: expected Faces, a Face, a sequence of Face, or landmarks, found list"):
        retinaface.align(sample, ["face"])


def test_faces_are_a_sequence_of_which_parts_can_be_taken(retinaface: ModuleType, detector, sample: np.ndarray) -> None:
    faces = detector.detect(np.concatenate([sample, sample[:, ::-1]], axis=1))
    assert len(faces) == 2 and isinstance(faces[1], retinaface.Face)
    for some in (faces[1:], faces[[1]], faces[faces.scores < faces.scores[0]], faces[np.array([False, True])]):
        assert isinstance(some, retinaface.Faces) and len(some) == 1 and np.array_equal(some.landmarks[0], faces.landmarks[1])
    expected = retinaface.align(sample, faces).crops
    for same_faces in ([*faces], tuple(faces), faces[:], [face.landmarks for face in faces]):
        assert np.array_equal(retinaface.align(sample, same_faces).crops, expected)
    assert retinaface.MeshEstimator().poses([*faces]) == retinaface.MeshEstimator().poses(faces)


def test_what_the_mesh_head_says(retinaface: ModuleType, detector, sample: np.ndarray) -> None:
    """It comes with the faces, however many pictures at a time, and takes meshes and poses further; bare landmarks have none."""
    faces = detector.detect(sample)
    assert faces.corrections.shape == (1, 54) and faces.corrections.dtype == np.float32 and np.abs(faces.corrections).max() > 0.01
    assert np.array_equal(faces[0].correction, faces.corrections[0]) and np.array_equal(faces[:].corrections, faces.corrections)
    for found in type(detector)(threads=2).detect_batch([sample] * 3):
        assert np.array_equal(found.corrections, faces.corrections)
    assert type(detector)(flip=True).detect(sample).corrections is None
    estimator = retinaface.MeshEstimator()
    (closer,), (bare,) = estimator.estimate(sample, faces), estimator.estimate(sample, faces.landmarks)
    assert not np.array_equal(closer.projected, bare.projected) and np.abs(closer.projected - bare.projected).max() < 20
    assert np.array_equal(estimator.estimate(sample, faces[0])[0].projected, closer.projected)
    assert np.array_equal(estimator.estimate(sample, pickle.loads(pickle.dumps(faces)))[0].projected, closer.projected)
    assert estimator.poses(faces)[0] == pytest.approx(closer.pose, abs=1e-4) and estimator.poses(faces.landmarks)[0] == pytest.approx(bare.pose, abs=1e-4)
    for wrong in (np.zeros((2, 54), np.float32), np.zeros((1, 53), np.float32)):
        with pytest.raises(ValueError, match=r"expected corrections \[1, 54\]"):
            estimator.estimate(sample, retinaface.Faces(faces.boxes, faces.scores, faces.landmarks, wrong))
    with pytest.raises(ValueError, match="the correction is not finite"):
        estimator.estimate(sample, retinaface.Faces(faces.boxes, faces.scores, faces.landmarks, np.full((1, 54), np.nan, np.float32)))


def test_meshes_of_turned_pictures(retinaface: ModuleType, detector, sample: np.ndarray) -> None:
    """A picture that lies on its side, read by a detector that turns it, gives the mesh of the upright one."""
    estimator = retinaface.MeshEstimator(refine=True)
    upright = detector.detect(sample)
    (expected,) = estimator.estimate(sample, upright)
    for rotation, quarters in ((90, 1), (180, 2), (270, 3)):
        stored = np.ascontiguousarray(np.rot90(sample, quarters))
        faces = retinaface.Detector(rotation=rotation).detect(stored)
        assert same(faces, upright) and faces.rotation == rotation
        (mesh,) = estimator.estimate(stored, faces)
        (told,) = estimator.estimate(stored, faces.landmarks, rotation=rotation)
        assert np.allclose(told.projected, mesh.projected, atol=0.5)
        assert np.allclose(mesh.projected, expected.projected, atol=0.05)
        assert np.mean(np.abs(mesh.colours - expected.colours)) < 0.01
    with pytest.raises(ValueError, match="rotation must be 0, 90, 180 or 270, found 45"):
        estimator.estimate(sample, upright, rotation=45)


def test_rotation_that_nothing_says(retinaface: ModuleType, detector, sample: np.ndarray) -> None:
    """Pictures whose turn is found out: the faces say which it was, and what is made of them follows."""
    upright = detector.detect(sample)
    crops = retinaface.align(sample, upright).crops
    found_out = pickle.loads(pickle.dumps(retinaface.Detector(rotation="auto")))
    stored = {r: np.ascontiguousarray(np.rot90(sample, r // 90)) for r in (0, 90, 180, 270)}
    for rotation, faces in zip(stored, found_out.detect_batch(stored.values())):
        assert same(faces, upright) and faces.rotation == rotation
        assert same(found_out.detect(stored[rotation]), upright)
        assert faces[0].rotation == rotation and faces[:1].rotation == rotation
        assert pickle.loads(pickle.dumps(faces)).rotation == rotation
        for some in (faces, faces[0], list(faces)):
            assert np.array_equal(retinaface.align(stored[rotation], some).crops, crops)
    with pytest.raises(ValueError, match="align: expected faces of one picture, found rotations 0, 270"):
        retinaface.align(sample, [upright[0], faces[0]])


def test_refined_meshes_as_the_tool(retinaface: ModuleType, detector, sample: np.ndarray) -> None:
    (line,) = tool_lines("mesh", "--refine", "--json", "-", SAMPLE)
    faces = detector.detect(sample)
    estimator = pickle.loads(pickle.dumps(retinaface.MeshEstimator(refine=True)))
    (mesh,) = estimator.estimate(sample, faces)
    assert np.array_equal(mesh.landmarks68, np.float32(line["faces"][0]["landmarks68"]))
    (plain,) = retinaface.MeshEstimator().estimate(sample, faces)
    assert not np.array_equal(mesh.projected, plain.projected)
    (unseen,) = estimator.estimate(None, faces)
    assert np.array_equal(unseen.projected, plain.projected)


def test_meshes_as_the_tool(retinaface: ModuleType, detector, sample: np.ndarray, tmp_path: Path) -> None:
    (line,) = tool_lines("mesh", "--ply", tmp_path, "--json", "-", SAMPLE)
    (face,) = line["faces"]
    faces = detector.detect(sample)
    estimator = retinaface.MeshEstimator()
    (mesh,) = estimator.estimate(sample, faces)
    n = len(mesh.vertices)
    for array, shape in [(mesh.vertices, (n, 3)), (mesh.projected, (n, 3)), (mesh.colours, (n, 3)), (mesh.landmarks68, (68, 3)), (mesh.latent, (128,))]:
        assert array.shape == shape and array.dtype == np.float32 and np.isfinite(array).all()
    assert np.array_equal(mesh.landmarks68, np.float32(face["landmarks68"]))
    assert np.allclose(mesh.pose, [face["pose"][name] for name in ("yaw", "pitch", "roll")], atol=1e-4)
    assert estimator.poses(faces) == [mesh.pose] == estimator.poses(faces[0])
    triangles = estimator.triangles
    assert triangles.dtype == np.int32 and triangles.shape[1] == 3 and triangles.min() == 0 and triangles.max() == n - 1
    assert np.shares_memory(triangles, estimator.triangles) and not triangles.flags.writeable
    # The mesh lies on the face, and wears its colours.
    x1, y1, x2, y2 = faces.boxes[0]
    middle = mesh.projected[:, :2].mean(0)
    assert x1 < middle[0] < x2 and y1 < middle[1] < y2 and mesh.residual < 4
    x, y = mesh.projected[n // 2, :2].astype(int)
    assert np.allclose(mesh.colours[n // 2], sample[y, x] / 255, atol=1e-6)
    (reversed_,) = estimator.estimate(sample[..., ::-1], faces, channels="bgr")
    assert np.array_equal(reversed_.colours, mesh.colours)
    # What a mesh holds is the caller's: neither the next mesh nor the estimator's end changes it.
    kept = mesh.projected.copy()
    (other,) = estimator.estimate(None, faces.landmarks[0] + np.float32([50, 20]))
    assert np.array_equal(mesh.projected, kept) and not np.array_equal(other.colours, mesh.colours)
    again = pickle.loads(pickle.dumps(estimator))
    del estimator
    assert np.array_equal(again.estimate(sample, faces)[0].projected, kept) and triangles.max() == n - 1
    assert again.estimate(sample, np.zeros((0, 5, 2))) == [] and again.poses(np.zeros((0, 5, 2))) == []
    with pytest.raises(ValueError, match="coincide"):
        again.estimate(sample, np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"mesh: expected landmarks \[n, 5, 2\], found \[4\]"):
        again.estimate(sample, faces.boxes[0])
    with pytest.raises(retinaface.Error, match="nothing"):
        retinaface.MeshEstimator(tmp_path / "nothing.safetensors")
    with pytest.raises(retinaface.Error):
        retinaface.MeshEstimator(ROOT / "weights" / "retinaface_mobilenet025.safetensors")
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(again.estimate(sample, faces)[0].projected)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(result, kept) for result in results)


class OnlyInterface:
    """An object with __array_interface__ and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.__array_interface__ = array.__array_interface__
        self._array = array


def test_every_form_of_image(detector, sample: np.ndarray) -> None:
    expected = detector.detect(sample)
    assert len(expected) == 1
    h, w, _ = sample.shape
    alpha = np.dstack([sample, np.full((h, w), 7, np.uint8)])
    framed = np.zeros((h + 9, w + 11, 3), np.uint8)
    framed[4 : 4 + h, 5 : 5 + w] = sample
    read_only = sample.copy()
    read_only.flags.writeable = False
    forms = {
        "region": framed[4 : 4 + h, 5 : 5 + w],
        "bottom up": np.ascontiguousarray(sample[::-1])[::-1],
        "planes": np.ascontiguousarray(sample.transpose(2, 0, 1)).transpose(1, 2, 0),
        "columns first": np.asfortranarray(sample),
        "mirrored twice": np.ascontiguousarray(sample[:, ::-1])[:, ::-1],
        "alpha": alpha,
        "read only": read_only,
        "memoryview": memoryview(np.ascontiguousarray(sample)),
        "buffer": (ctypes.c_uint8 * 3 * w * h).from_buffer_copy(np.ascontiguousarray(sample)),
        "interface": OnlyInterface(np.ascontiguousarray(sample)),
        "picture": Image.fromarray(sample),
        "picture with alpha": Image.fromarray(alpha),
    }
    for name, image in forms.items():
        assert same(detector.detect(image), expected), name
    # Four channels of which three are asked for: read as four.
    assert same(detector.detect(alpha[..., :3]), expected)
    swapped = np.ascontiguousarray(sample[..., ::-1])
    assert same(detector.detect(sample[..., ::-1], channels="bgr"), expected)
    assert same(detector.detect(swapped[..., ::-1]), detector.detect(swapped, channels="bgr"))
    assert same(detector.detect(Image.fromarray(sample), channels="bgr"), expected)  # has its own order
    grey = np.asarray(Image.fromarray(sample).convert("L"))
    assert len(detector.detect(grey)) == 1
    assert same(detector.detect(grey), detector.detect(grey[:, :, None]))
    assert same(detector.detect(grey), detector.detect(Image.fromarray(sample).convert("L")))
    assert len(detector.detect(Image.fromarray(sample).convert("P"))) == 1
    assert len(detector.detect(np.zeros((1, 1, 3), np.uint8))) == 0


def test_dlpack(detector, sample: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its tensors are not tested")
    tensor = torch.tensor(np.array(sample))
    assert same(detector.detect(tensor), detector.detect(sample))
    assert same(detector.detect(tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0)), detector.detect(sample))


def test_what_is_refused(retinaface: ModuleType, detector, sample: np.ndarray, tmp_path: Path) -> None:
    for image, message in [
        (sample.astype(np.float32), r"expected uint8 .* found float32 \[\d+, \d+, 3\]"),
        (sample.transpose(2, 0, 1), r"found uint8 \[3, \d+, \d+\]"),
        (sample[..., :2], r"found uint8 \[\d+, \d+, 2\]"),
        (np.zeros((0, 4, 3), np.uint8), "found 4 x 0"),
        (np.zeros((4,), np.uint8), r"found uint8 \[4\]"),
        (np.zeros((2, 70000), np.uint8), "65536"),
        (np.broadcast_to(np.uint8(3), (60000, 60000, 3)), "at most"),
        ("photo.jpg", "found str"),
        (None, "found NoneType"),
    ]:
        with pytest.raises(ValueError, match=message):
            detector.detect(image)
    with pytest.raises(ValueError, match="'rgb' or 'bgr', found 'grb'"):
        detector.detect(sample, channels="grb")
    for options, message in [
        (dict(score=2), "score_threshold must be 0..1"),
        (dict(threads=0), "threads"),
        (dict(isa="avx3"), "found 'avx3'"),
        (dict(voting="all"), "found 'all'"),
        (dict(rotation=45), "rotation must be 0, 90, 180, 270 or 'auto', found 45"),
        (dict(rotation=-1), "found -1"),
        (dict(scales=()), "scales"),
        (dict(size=(1, 2, 3)), r"found \(1, 2, 3\)"),
        (dict(size=300, shortest_side=300), "exclude"),
        (dict(size=0), "size must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            retinaface.Detector(**options)
    for options, message in [
        (dict(model=5), "model must be a path, the bytes of a file or None, found int"),
        (dict(score="a"), "options: score must be a number, found 'a'"),
        (dict(size=1.5), "options: size must be a whole number, found 1.5"),
        (dict(nms=None), "options: nms must be a number, found None"),
        (dict(rotation="left"), "options: rotation must be a whole number or 'auto', found 'left'"),
        (dict(scales=("a",)), "options: scales must be numbers, found 'a'"),
        (dict(flip=1), "options: flip must be True or False, found 1"),
    ]:
        with pytest.raises(TypeError, match=message):
            retinaface.Detector(**options)
    with pytest.raises(TypeError, match="model must be a path"):
        retinaface.MeshEstimator(True)
    with pytest.raises(TypeError, match="refine must be True or False, found 'no'"):
        retinaface.MeshEstimator(refine="no")
    with pytest.raises(ValueError, match="mode I;16, found mode F"):
        detector.detect(Image.fromarray(sample[..., 0].astype(np.float32)))
    with pytest.raises(retinaface.Error, match="nothing.safetensors") as caught:
        retinaface.Detector(tmp_path / "nothing.safetensors")
    assert caught.value.code == "io" and isinstance(caught.value, RuntimeError)
    with pytest.raises(retinaface.Error) as caught:
        retinaface.Detector(b"not a weights file")
    assert caught.value.code == "bad format" and pickle.loads(pickle.dumps(caught.value)).code == "bad format"


def test_models_and_pickles(retinaface: ModuleType, detector, sample: np.ndarray, site: Path, tmp_path: Path) -> None:
    weights = ROOT / "weights" / "retinaface_mobilenet025.safetensors"
    expected = detector.detect(sample)
    copied = tmp_path / "weights.safetensors"
    copied.write_bytes(weights.read_bytes())
    for model in (weights, str(weights), weights.read_bytes()):
        assert same(retinaface.Detector(model).detect(sample), expected)
    pickled = pickle.dumps(retinaface.Detector(copied, score=0.3))
    copied.unlink()
    assert same(pickle.loads(pickled).detect(sample), expected)  # the weights travelled
    assert same(pickle.loads(pickle.dumps(expected)), expected)
    (tmp_path / "detector").write_bytes(pickle.dumps(detector))
    program = f"import pickle; print(pickle.load(open({str(tmp_path / 'detector')!r}, 'rb')))"
    assert "mobilenet025" in run(sys.executable, "-c", program, env={**os.environ, "PYTHONPATH": str(site)}).stdout


def test_threads_and_batches(detector, sample: np.ndarray) -> None:
    pictures = [np.ascontiguousarray(sample[i:, : 300 + 20 * i]) for i in range(8)]
    expected = [detector.detect(picture) for picture in pictures]
    batch = detector.detect_batch(iter(pictures))
    assert len(batch) == 8 and all(same(a, b) for a, b in zip(batch, expected))
    assert detector.detect_batch([]) == []
    side_by_side = type(detector)(threads=3)
    assert all(same(a, b) for a, b in zip(side_by_side.detect_batch(pictures), expected))
    with pytest.raises(ValueError, match="float64"):
        detector.detect_batch([sample, np.zeros((4, 4))])
    wrong: list[int] = []

    def work(i: int) -> None:
        for k in range(6):
            if not same(detector.detect(pictures[(i + k) % 8]), expected[(i + k) % 8]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_faces_are_a_sequence(detector, sample: np.ndarray) -> None:
    faces = detector.detect(sample)
    assert faces.boxes.shape == (1, 4) and faces.scores.shape == (1,) and faces.landmarks.shape == (1, 5, 2)
    (face,) = faces
    assert face.score == faces.scores[0] and np.array_equal(face.box, faces.boxes[0]) and face.landmarks.shape == (5, 2)
    with pytest.raises(IndexError):
        faces[1]
    kept = faces.boxes
    del faces
    assert kept[0, 2] > kept[0, 0]
    assert repr(detector.detect(np.zeros((64, 64), np.uint8))) == "<0 faces: scores []>"


def test_documented(retinaface: ModuleType) -> None:
    for thing in (retinaface, retinaface.Detector, retinaface.Detector.detect, retinaface.Detector.detect_batch, retinaface.align,
                  retinaface.Faces, retinaface.Face, retinaface.Error, retinaface.MeshEstimator, retinaface.MeshEstimator.estimate,
                  retinaface.MeshEstimator.poses, retinaface.Mesh, retinaface.Pose):  # fmt: skip
        assert thing.__doc__ and len(thing.__doc__) > 40, thing
    assert set(retinaface.__all__) <= set(dir(retinaface))
    config = (ROOT / "kernels" / "config.hpp").read_text(encoding="utf-8")
    assert all(f" {part}\n" in config for part in retinaface.__version__.split("."))


def test_source_distribution(wheel: Path, tmp_path: Path) -> None:
    """It has what the build reads, and neither tests nor weights files."""
    program = f"from scikit_build_core.build import build_sdist; build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", program, cwd=ROOT)
    (path,) = tmp_path.glob("retinaface-*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(path).getnames()}
    read = re.findall(r"\$\{PROJECT_SOURCE_DIR\}/(\S+\.(?:py|cmake|in))", (ROOT / "tools" / "cli" / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert {"tools/plot_evaluation.py", "bindings/python/embedded_file.py", "include/retinaface/weights/default_mesh.hpp", *read} <= names
    assert not any(name.startswith(("tests/", "bench/")) or name.endswith(".safetensors") for name in names)


def test_build_from_the_root() -> None:
    """pip in the root and in bindings/python run the same backend; the fixture built from the latter."""
    program = "import from_root, os; print(os.getcwd())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "bindings" / "python", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == ROOT
