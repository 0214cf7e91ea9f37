"""retinaface detect: files of every kind in, JSON lines, exit codes and pictures out."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest
from conftest import ASTRONAUT, MODEL, SHARED, TRIMMED, command, detect, is_one_line, run
from PIL import Image

# The seeded network is random: at this threshold it finds "faces" in any noise, which is enough to compare results.
LOW = ("--score", "0.02", "--max-faces", "20")


def noise(width: int, height: int, mode: str = "RGB", seed: int = 1) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze(2) if channels == 1 else values, mode)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def faces(path: Path, *arguments: Any) -> Any:
    return detect(*LOW, *arguments, path)[0]["faces"]


def agree(found: Any, expected: Any) -> bool:
    """Equal but for rounding (each pixel format has its own first convolution)."""
    return len(found) == len(expected) and all(
        abs(one["score"] - other["score"]) < 1e-4 and np.allclose(one["box"], other["box"], atol=1e-2)
        for one, other in zip(found, expected)
    )


# What a line holds


def test_line_of_json(tmp_path: Path) -> None:
    path = save(noise(96, 64), tmp_path / "noise.png")
    (line,) = detect(*LOW, path)
    assert list(line) == ["file", "width", "height", "faces"]
    assert (line["file"], line["width"], line["height"]) == (str(path), 96, 64)
    assert 0 < len(line["faces"]) <= 20
    for face in line["faces"]:
        assert list(face) == ["score", "box", "landmarks"]
        assert 0 <= face["score"] <= 1
        assert len(face["box"]) == 4
        assert [len(point) for point in face["landmarks"]] == [2] * 5
    scores = [face["score"] for face in line["faces"]]
    assert scores == sorted(scores, reverse=True)


def test_numbers_are_shortest_float32(tmp_path: Path) -> None:
    path = save(noise(96, 64), tmp_path / "noise.png")
    text = run("detect", "--model", MODEL, "--json", "-", *LOW, path).stdout.decode()
    for number in json.loads(text, parse_float=str)["faces"][0]["box"]:
        assert len(str(number).lstrip("-").replace(".", "").lstrip("0")) <= 9
        assert float(np.float32(number)) == pytest.approx(float(number), rel=1e-7)


# Kinds of files


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_formats_agree(tmp_path: Path, suffix: str) -> None:
    image = noise(80, 60)
    expected = faces(save(image, tmp_path / "reference.png"))
    assert expected
    assert faces(save(image, tmp_path / f"image.{suffix}")) == expected


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}], ids=str)
def test_jpeg(tmp_path: Path, options: Dict[str, Any]) -> None:
    image = Image.open(ASTRONAUT).convert("RGB").resize((128, 128))
    (line,) = detect(*LOW, save(image, tmp_path / "image.jpg", quality=95, **options))
    assert (line["width"], line["height"]) == (128, 128)


def test_gray_is_gray_rgb(tmp_path: Path) -> None:
    gray = noise(80, 60, "L")
    expected = faces(save(gray.convert("RGB"), tmp_path / "rgb.png"))
    assert agree(faces(save(gray, tmp_path / "gray.png")), expected)
    assert agree(faces(save(gray.convert("LA"), tmp_path / "gray_alpha.png")), expected)
    assert len(detect(save(gray, tmp_path / "gray.jpg"))) == 1


def test_alpha_is_ignored(tmp_path: Path) -> None:
    rgba = noise(80, 60, "RGBA")
    opaque = Image.fromarray(np.asarray(rgba)[:, :, :3])
    assert agree(faces(save(rgba, tmp_path / "rgba.png")), faces(save(opaque, tmp_path / "rgb.png")))


def test_palette(tmp_path: Path) -> None:
    palette = noise(80, 60).quantize(32)
    assert agree(faces(save(palette, tmp_path / "palette.png")), faces(save(palette.convert("RGB"), tmp_path / "rgb.png")))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 3), (2, 2), (17, 1)], ids=str)
def test_extreme_sizes(tmp_path: Path, size: Any) -> None:
    path = save(noise(*size), tmp_path / "image.png")
    drawn = tmp_path / "drawn"
    (line,) = detect(*LOW, "--draw", drawn, path)
    assert (line["width"], line["height"]) == size
    assert (drawn / "image.png").exists()


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    """A stored picture that EXIF turns upright gives the faces of the upright one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Blocks of 16 x 16: JPEG stores them alike whichever way they are turned.
    upright = Image.fromarray(np.kron(np.asarray(noise(5, 3, "L")), np.ones((16, 16), np.uint8)))
    undo = {
        1: [], 2: [Image.FLIP_LEFT_RIGHT], 3: [Image.ROTATE_180], 4: [Image.FLIP_TOP_BOTTOM], 5: [Image.TRANSPOSE],
        6: [Image.ROTATE_90], 7: [Image.TRANSVERSE], 8: [Image.ROTATE_270],
    }  # fmt: skip
    stored = upright
    for operation in undo[orientation]:
        stored = stored.transpose(operation)
    options = {"quality": 100} if suffix == "jpg" else {}
    path = save(stored, tmp_path / f"stored.{suffix}", exif=exif, **options)
    (expected,) = detect(*LOW, save(upright, tmp_path / "upright.png"))
    (line,) = detect(*LOW, path)
    assert (line["width"], line["height"]) == (80, 48)
    assert len(line["faces"]) == len(expected["faces"]) > 0
    for found, wanted in zip(line["faces"], expected["faces"]):
        assert np.allclose(found["box"], wanted["box"], atol=1.0 if suffix == "jpg" else 0)


# Files that are no pictures


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


HUGE = {
    "png": png_header(60000, 60000),
    "jpg": jpeg_header(60000, 60000),
    "bmp": bmp_header(60000, 60000),
    "ppm": b"P6 60000 60000 255\n",
    "wide.png": png_header(65537, 1),
    "wider.png": png_header(0x7FFFFFFF, 0x7FFFFFFF),
    "square.png": png_header(8193, 8192),
}


def few_megabytes() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))


@pytest.mark.parametrize("kind", HUGE)
def test_huge_header(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(HUGE[kind])
    limit: Dict[str, Callable[[], None]] = {} if TRIMMED else {"preexec_fn": few_megabytes}
    (line,) = detect(path, code=1, **limit)
    assert list(line) == ["file", "error"]
    assert is_one_line(line["error"])
    assert "large" in line["error"]


def broken_files(directory: Path) -> Dict[str, bytes]:
    image = noise(64, 48)
    files = {"empty.jpg": b"", "text.jpg": b"not a picture\n" * 40, "one_byte.png": b"\x89", "header_only.jpg": b"\xff\xd8"}
    for suffix in ("jpg", "png", "bmp", "ppm"):
        whole = save(image, directory / f"whole.{suffix}").read_bytes()
        for part in (0.1, 0.5, 0.95):
            files[f"truncated_{part}.{suffix}"] = whole[: int(part * len(whole))]
        files[f"last_byte.{suffix}"] = whole[:-16]
    progressive = save(image, directory / "progressive.jpg", progressive=True).read_bytes()
    files["truncated_progressive.jpg"] = progressive[: len(progressive) // 2]
    return files


def test_broken_files_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    broken = broken_files(tmp_path)
    for name, data in broken.items():
        (tmp_path / "in" / name).write_bytes(data)
    paths = [tmp_path / "whole.png", *sorted((tmp_path / "in").iterdir()), tmp_path / "missing.png", tmp_path / "whole.jpg"]
    lines = detect(*paths, code=1)
    assert [line["file"] for line in lines] == [str(path) for path in paths]
    assert "faces" in lines[0] and "faces" in lines[-1]
    for line in lines[1:-1]:
        assert list(line) == ["file", "error"], line
        assert is_one_line(line["error"])


def test_error_is_one_line_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    done = run("detect", "--model", MODEL, tmp_path / "text.jpg")
    assert done.returncode == 1
    assert is_one_line(done.stderr.decode())
    assert done.stdout == b""


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9 \".png"
    noise(16, 16).save(os.fsdecode(path))
    (line,) = detect(os.fsdecode(path))
    assert line["file"].endswith('\ufffd ".png')


# Arguments


def test_directories_are_sorted_and_mixed_with_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.JPG", "b/sub/1.bmp", "a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(noise(16, 16), tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("not a picture, and not named like one")
    lines = detect(tmp_path / "b", tmp_path / "a.png")
    assert [line["file"] for line in lines] == [str(tmp_path / n) for n in ("b/10.JPG", "b/2.png", "b/sub/1.bmp", "a.png")]


def test_empty_directory(tmp_path: Path) -> None:
    (line,) = detect(tmp_path, code=1)
    assert list(line) == ["file", "error"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["detect"],
        ["detect", "--model", MODEL],
        ["detect", "--model", MODEL, "--nonsense", ASTRONAUT],
        ["detect", "--model", MODEL, "--score", "1.5", ASTRONAUT],
        ["detect", "--model", MODEL, "--score", "nan", ASTRONAUT],
        ["detect", "--model", MODEL, "--nms", "-1", ASTRONAUT],
        ["align", "--margin", "nan", "--out", "crops", ASTRONAUT],
        ["video", "--fps", "nan", "-"],
        ["detect", "--model", MODEL, "--threads", "0", ASTRONAUT],
        ["detect", "--model", MODEL, "--isa", "mmx", ASTRONAUT],
        ["detect", "--model", MODEL, "--isa", "7", ASTRONAUT],
        ["detect", "--model", MODEL, "--size", "640", ASTRONAUT],
        ["detect", "--model", MODEL, "--size", "0x10", ASTRONAUT],
        ["detect", "--model", MODEL, "--size", "10x10x", ASTRONAUT],
        ["detect", "--model", MODEL, "--size", "10x-10", ASTRONAUT],
        ["detect", "--model", MODEL, "--max-side", "0", ASTRONAUT],
        ["detect", "--model", MODEL, "--max-side", "64", "--size", "64x64", ASTRONAUT],
        ["detect", "--model", MODEL, "--paper-augmentation", "--voting", "insightface", ASTRONAUT],
        ["detect", "--model", MODEL, "--paper-augmentation", "--min-face", "40", ASTRONAUT],
        ["info", MODEL, MODEL],
    ],
    ids=lambda arguments: " ".join(Path(str(a)).name for a in arguments) or "none",
)
def test_usage(arguments: Any) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert is_one_line(done.stderr.decode())


def test_usage_says_what_was_expected() -> None:
    for arguments, words in (
        (["batch"], "retinaface: expected one of align, detect, evaluate, info, mesh, video, found 'batch' (retinaface --help)"),
        (["evaluate"], "retinaface: expected one of faces, wider, landmarks, dense, verify, found none (retinaface evaluate --help)"),
        (["detect", "--score=\x1b[31m", "x"], "expected a number from 0 to 1, found '\\x1b[31m'"),
        (["detect", "--size", "640", "x"], "--size: expected WIDTHxHEIGHT in pixels, as in 640x480, found '640'"),
        (["align", "--out", "d", "--input-size", "640", "x"], "--input-size: expected WIDTHxHEIGHT in pixels"),
        (["detect", "--min-face", "50", "--max-face", "40", "x"], "--max-face: expected at least --min-face (50), found 40"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and words in done.stderr.decode(), done.stderr
        assert is_one_line(done.stderr.decode())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["detect", "--help"], ["info", "--help"]], ids=" ".join)
def test_help(arguments: Any) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert b"retinaface" in done.stdout


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x08" + bytes(7) + b"{}      "], ids=["missing", "empty", "text", "bare"])
def test_bad_model(tmp_path: Path, content: Any) -> None:
    model = tmp_path / "model.safetensors"
    if content is not None:
        model.write_bytes(content)
    for done in (run("detect", "--model", model, ASTRONAUT), run("info", model)):
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode())
        assert done.stderr.decode().count(str(model)) == 1


def test_size_policies(tmp_path: Path) -> None:
    """Boxes come back in the picture's own pixels whatever the network saw."""
    path = save(noise(90, 60), tmp_path / "image.png")
    original = faces(path)
    assert faces(path, "--max-side", 90) == original
    assert faces(path, "--max-side", 4000) == original
    for arguments in (["--max-side", 64], ["--size", "128x128"], ["--size", "64x480"]):
        (line,) = detect(*LOW, *arguments, path)
        assert (line["width"], line["height"]) == (90, 60)
        assert line["faces"] != original


def test_threads_do_not_matter(tmp_path: Path) -> None:
    path = save(noise(200, 150), tmp_path / "image.png")
    assert faces(path, "--threads", 3) == faces(path)


@pytest.mark.parametrize("isa", ["reference", "portable", "avx2", "avx512", "neon"])
def test_kernel_sets_agree(tmp_path: Path, isa: str) -> None:
    path = save(noise(64, 48), tmp_path / "image.png")
    arguments = ["--model", MODEL, "--json", "-", *LOW, "--isa", isa, path]
    done = run("detect", *arguments)
    if done.returncode != 0:
        assert is_one_line(done.stderr.decode())
        assert isa in done.stderr.decode()
        pytest.skip(f"no {isa} here")
    expected = faces(path)
    found = json.loads(done.stdout)["faces"]
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


# Results elsewhere


def test_json_file_and_text(tmp_path: Path) -> None:
    path = save(noise(64, 48), tmp_path / "image.png")
    done = run("detect", "--model", MODEL, "--json", tmp_path / "out.jsonl", *LOW, path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == detect(*LOW, path)
    text = run("detect", "--model", MODEL, *LOW, path).stdout.decode().splitlines()
    assert text[0].startswith(f"{path}: 64 x 48")
    assert len(text) == 1 + len(faces(path))


def test_unwritable_results(tmp_path: Path) -> None:
    path = save(noise(16, 16), tmp_path / "image.png")
    for arguments in (["--json", tmp_path / "none" / "out.jsonl"], ["--draw", path], ["--json", "/dev/full"]):
        done = run("detect", "--model", MODEL, *arguments, path)
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode())


def test_drawn_pictures(tmp_path: Path) -> None:
    """A picture each, none lost to a name used twice, and no input overwritten."""
    for name in ("a/x.png", "b/x.jpg", "drawn/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(Image.new("RGB", (500, 400), (10, 20, 30)), tmp_path / name)
    before = (tmp_path / "drawn" / "x.png").read_bytes()
    detect("--draw", tmp_path / "drawn", tmp_path / "a", tmp_path / "b", tmp_path / "drawn" / "x.png")
    assert (tmp_path / "drawn" / "x.png").read_bytes() == before
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["x.png", "x_2.png", "x_3.png", "x_4.png"]
    assert Image.open(tmp_path / "drawn" / "x_2.png").size == (500, 400)


def test_drawn_faces(tmp_path: Path) -> None:
    path = save(Image.open(ASTRONAUT).convert("RGB"), tmp_path / "a.png")
    drawn = tmp_path / "drawn"
    found = detect("--score", "0.02", "--max-faces", "3", "--draw", drawn, path)[0]["faces"]
    changed = np.any(np.asarray(Image.open(drawn / "a.png")) != np.asarray(Image.open(path)), axis=2)
    assert found and changed.any() and changed.mean() < 0.2


# Against the original network


@pytest.mark.skipif(not (SHARED / "golden" / "biubug6").is_dir(), reason="the reference goldens are not there")
@pytest.mark.parametrize("name", ["astronaut", "tiny"] if TRIMMED else ["astronaut", "crowd", "five", "group", "single", "street", "tiny", "vga"])
def test_golden(official: Path, name: str) -> None:
    golden = json.loads((SHARED / "golden" / "biubug6" / f"{name}.json").read_text())["detections"]["0.5"]
    (line,) = detect(SHARED / "golden" / "biubug6" / f"{name}.png", model=official)
    assert len(line["faces"]) == len(golden)
    for face, wanted in zip(line["faces"], golden):
        assert face["score"] == pytest.approx(wanted["score"], abs=1e-4)
        assert np.abs(np.array(face["box"]) - wanted["box"]).max() < 0.05
        assert np.abs(np.ravel(face["landmarks"]) - wanted["landmarks"]).max() < 0.05


def test_sample_picture(official: Path) -> None:
    (line,) = detect(ASTRONAUT, model=official)
    (face,) = line["faces"]
    assert face["score"] > 0.99
    assert np.allclose(face["box"], [177.5, 56.4, 270.1, 176.4], atol=0.5)


def test_an_input_is_not_drawn_over_by_another_name(tmp_path: Path) -> None:
    """Neither the picture that a link leads to, nor the one that a link in the output's folder does."""
    for folder in ("pictures", "links", "out"):
        (tmp_path / folder).mkdir()
    picture = tmp_path / "pictures" / "a.png"
    picture.write_bytes(ASTRONAUT.read_bytes())
    for link in (tmp_path / "links" / "a.png", tmp_path / "out" / "a.png"):
        link.symlink_to(picture)
    for out, given in ((tmp_path / "pictures", tmp_path / "links" / "a.png"), (tmp_path / "out", picture)):
        assert run("detect", "--model", MODEL, "--draw", out, given).returncode == 0
        assert picture.read_bytes() == ASTRONAUT.read_bytes() and (out / "a_2.png").is_file()


def test_streams_that_are_closed_or_full(tmp_path: Path) -> None:
    tool = command("RETINAFACE_CLI", "bin/retinaface")
    with open("/dev/full", "wb") as full:
        for arguments in (["info", str(MODEL)], ["--help"], ["--version"]):
            done = subprocess.run([*tool, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=300, check=False)
            assert (done.returncode, done.stderr) == (1, b"retinaface: cannot write standard output\n")
    broken, records = tmp_path / "broken.jpg", tmp_path / "records.jsonl"
    broken.write_bytes(b"nothing")
    line = ["sh", "-c", 'exec "$@" 2>&-', "sh", *tool, "detect", "--model", str(MODEL), "--json", str(records), str(broken)]
    assert subprocess.run(line, timeout=300, check=False).returncode == 1
    assert [json.loads(record)["file"] for record in records.read_text().splitlines()] == [str(broken)]
    done = run("detect", "--model", MODEL, "--resume", "--json", "/dev/stdout", broken)
    assert done.returncode == 1 and b"--resume: expected a file to go on with, found /dev/stdout" in done.stderr
