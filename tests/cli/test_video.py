"""`retinaface video`: every kind of stream gives the faces of its frames; identities across frames; steadier points."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from conftest import ASTRONAUT, MODEL, TRIMMED, is_one_line, run
from PIL import Image

LOW = ("--score", "0.3", "--max-faces", "10")
WIDTH, HEIGHT = 160, 144


def video(stream: bytes, *arguments: Any, code: int = 0, model: Any = None) -> List[Dict[str, Any]]:
    """The lines about a stream; by the embedded weights unless told otherwise."""
    options = ["--model", model] if model else []
    done = run("video", *options, *arguments, input=stream)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def frames(count: int = 3) -> List[np.ndarray]:
    """RGB: a face that moves."""
    photograph = Image.open(ASTRONAUT).convert("RGB").resize((256, 256), Image.BICUBIC)
    return [np.asarray(photograph.crop((30 + 4 * i, 0, 30 + 4 * i + WIDTH, HEIGHT))) for i in range(count)]


def close(found: List[Dict[str, Any]], expected: List[Dict[str, Any]]) -> bool:
    return len(found) == len(expected) and all(
        abs(a["score"] - b["score"]) < 0.03 and np.allclose(a["box"], b["box"], atol=2) for a, b in zip(found, expected))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> List[Any]:
    folder = tmp_path_factory.mktemp("frames")
    for i, frame in enumerate(frames()):
        Image.fromarray(frame).save(folder / f"{i}.png")
    lines = [json.loads(line) for line in run("detect", "--json", "-", folder).stdout.splitlines()]
    assert [len(line["faces"]) for line in lines] == [1, 1, 1]
    return [line["faces"] for line in lines]


def bt601(rgb: np.ndarray) -> np.ndarray:
    """Y, U, V of video range, as float."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
    return rgb @ matrix.T + [16, 128, 128]


def halved(plane: np.ndarray, rows: bool) -> np.ndarray:
    plane = (plane[:, ::2] + plane[:, 1::2]) / 2
    return (plane[::2] + plane[1::2]) / 2 if rows else plane


def raw(kind: str, rgb: np.ndarray) -> bytes:
    def as_bytes(values: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    if kind in ("rgb24", "bgr24", "rgba", "bgra"):
        order = [2, 1, 0] if kind.startswith("bgr") else [0, 1, 2]
        pixels = rgb[:, :, order]
        return (np.concatenate([pixels, np.full_like(pixels[:, :, :1], 7)], 2) if kind.endswith("a") else pixels).tobytes()
    y, u, v = (plane for plane in np.moveaxis(bt601(rgb), 2, 0))
    if kind in ("yuyv", "422"):
        u, v = halved(u, False), halved(v, False)
        if kind == "422":
            return b"".join(as_bytes(p).tobytes() for p in (y, u, v))
        return as_bytes(np.stack([y[:, ::2], u, y[:, 1::2], v], 2)).tobytes()
    if kind == "444":
        return b"".join(as_bytes(p).tobytes() for p in (y, u, v))
    u, v = halved(u, True), halved(v, True)
    if kind == "yuv420p":
        return b"".join(as_bytes(p).tobytes() for p in (y, u, v))
    return as_bytes(y).tobytes() + as_bytes(np.stack([u, v] if kind == "nv12" else [v, u], 2)).tobytes()


@pytest.mark.parametrize("kind", ["rgb24", "bgr24", "rgba", "bgra", "nv12", "nv21", "yuyv", "yuv420p"])
def test_raw_frames(kind: str, expected: List[Any]) -> None:
    lines = video(b"".join(raw(kind, frame) for frame in frames()), "--raw", kind, "--size", f"{WIDTH}x{HEIGHT}", "--fps", "25")
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert [line["time"] for line in lines] == pytest.approx([0, 0.04, 0.08])
    for line, faces in zip(lines, expected):
        assert (line["width"], line["height"]) == (WIDTH, HEIGHT)
        if kind == "rgb24":
            assert line["faces"] == faces
        assert close(line["faces"], faces)


def test_rotation(expected: List[Any]) -> None:
    turned = b"".join(np.rot90(frame).tobytes() for frame in frames())  # counterclockwise, as a camera on its left side shows them
    lines = video(turned, "--raw", "rgb24", "--size", f"{HEIGHT}x{WIDTH}", "--rotation", "90")
    assert [(line["width"], line["height"]) for line in lines] == [(WIDTH, HEIGHT)] * 3
    assert [line["faces"] for line in lines] == expected


@pytest.mark.parametrize("colours", ["420jpeg", "422", "444"])
def test_y4m(colours: str, expected: List[Any]) -> None:
    kind = "yuv420p" if colours == "420jpeg" else colours
    stream = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C{colours}\n".encode()
    stream += b"".join(b"FRAME\n" + raw(kind, frame) for frame in frames())
    lines = video(stream)
    assert [line["time"] for line in lines] == pytest.approx([0, 0.04, 0.08])
    assert all(close(line["faces"], faces) for line, faces in zip(lines, expected))


def jpeg(frame: np.ndarray, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=98, subsampling=0, **options)
    return data.getvalue()


def test_mjpeg(expected: List[Any]) -> None:
    pictures = [jpeg(f, progressive=i == 1) for i, f in enumerate(frames())]
    parts = [b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + p + b"\r\n" for p in pictures]
    for stream in (b"".join(pictures), b"".join(parts)):
        lines = video(stream)
        assert len(lines) == 3
        assert all(close(line["faces"], faces) for line, faces in zip(lines, expected))
    lines = video(pictures[0] + b"\xff\xd8\xff\xd9" + pictures[2], code=1)
    assert ["faces" in line for line in lines] == [True, False, True]


def test_streams_that_are_cut_or_none() -> None:
    whole = raw("rgb24", frames(1)[0])
    arguments = ["--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}"]
    for stream, options, word in ((whole + whole[:100], arguments, "within frame 1"), (b"", [], "empty"), (b"RIFF....", [], "--raw"),
                                  (b"YUV4MPEG2 W16 H16 C420p10\nFRAME\n", [], "420p10"), (b"YUV4MPEG2 W16\n", [], "width and height"),
                                  (b"YUV4MPEG2 W99999999999999999999 H2\n", [], "number"), (b"YUV4MPEG2 W60000 H60000\n", [], "pixels"),
                                  (b"YUV4MPEG2 W2 H2\nFRAMES", [], "frame"), (jpeg(frames(1)[0])[:-2], [], "within frame 0")):
        done = run("video", "--model", MODEL, *options, input=stream)
        assert done.returncode == 1, (word, done.stdout)
        assert is_one_line(done.stderr.decode()) and word in done.stderr.decode(), done.stderr.decode()


@pytest.mark.parametrize("arguments", [["--raw", "rgb24"], ["--size", "4x4"], ["--raw", "i420", "--size", "4x4"], ["--fps", "0"], ["--draw", "-", "--json", "-"]], ids=" ".join)
def test_usage(arguments: List[str]) -> None:
    assert run("video", *arguments, input=b"").returncode == 2


def test_what_is_there_stays(tmp_path: Path) -> None:
    """The stream itself, somebody's file and the lines are not written over by frames; an earlier Y4M is."""
    stream, notes, drawn = tmp_path / "cam.mjpg", tmp_path / "notes.txt", tmp_path / "drawn.y4m"
    stream.write_bytes(jpeg(frames(1)[0]))
    notes.write_text("mine\n")
    before = stream.read_bytes()
    for output, word in ((["--draw", stream], "is read"), (["--json", stream], "is read"), (["--draw", notes], "holds something else")):
        done = run("video", "--model", MODEL, *output, stream)
        assert done.returncode == 1 and word in done.stderr.decode(), done.stderr
        assert stream.read_bytes() == before and notes.read_text() == "mine\n"
    done = run("video", "--model", MODEL, "--draw", drawn, "--json", drawn, stream)
    assert done.returncode == 2 and not drawn.exists()
    for _ in range(2):
        assert run("video", "--model", MODEL, "--draw", drawn, stream).returncode == 0
        assert drawn.read_bytes().startswith(b"YUV4MPEG2 ")


# The embedded weights: real faces.


def face_picture(side: int) -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB").crop((150, 30, 300, 200)).resize((side, side * 17 // 15))


@pytest.mark.skipif(TRIMMED, reason="real faces take too long here")
def test_identities_over_a_pan(tmp_path: Path) -> None:
    """A camera that pans over a photograph of several faces, of which one leaves and all are lost for a while."""
    wide = Image.new("RGB", (900, 240), (90, 110, 90))
    for k in range(4):
        wide.paste(face_picture(90 + 10 * k), (60 + 210 * k, 60))
    stream, black = b"", np.zeros((240, 480, 3), np.uint8).tobytes()
    for i in range(60):
        x = 7 * i
        stream += black if 20 <= i < 28 else wide.crop((x, 0, x + 480, 240)).tobytes()
    lines = video(stream, "--raw", "rgb24", "--size", "480x240", "--track")
    seen: Dict[int, set] = {}
    for i, line in enumerate(lines):
        for face in line["faces"]:
            person = round((7 * i + (face["box"][0] + face["box"][2]) / 2 - 110) / 210)
            seen.setdefault(person, set()).add(face["id"])
    assert sorted(seen) == [0, 1, 2, 3]
    assert all(len(ids) == 1 for ids in seen.values()), seen
    assert len(set.union(*seen.values())) == 4


@pytest.mark.skipif(TRIMMED, reason="real faces take too long here")
def test_smoothing_steadies_a_face_at_rest() -> None:
    """Noise on the pixels makes points tremble; filtered they tremble less, and stay where they are."""
    dice = np.random.default_rng(1)
    still = np.zeros((160, 160, 3), np.float64) + 100
    still[10:146, 20:140] = np.asarray(face_picture(120), np.float64)
    stream = b"".join(np.clip(still + dice.normal(0, 25, still.shape), 0, 255).astype(np.uint8).tobytes() for _ in range(40))
    arguments = ["--raw", "rgb24", "--size", "160x160", "--track"]
    points = [np.array([line["faces"][0]["landmarks"] for line in video(stream, *arguments, *extra)]) for extra in ([], ["--smooth"])]
    step = [np.abs(np.diff(p[10:], axis=0)).mean() for p in points]
    assert step[1] < 0.5 * step[0]
    assert np.abs(points[0][10:].mean(0) - points[1][10:].mean(0)).max() < 0.5


def test_drawn_frames(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    pictures = [np.asarray(Image.fromarray(dice.integers(0, 256, (54, 56, 3), dtype=np.uint8)).resize((448, 432), Image.BICUBIC)) for _ in range(2)]
    stream = b"".join(raw("rgb24", picture) for picture in pictures)
    done = run("video", "--model", MODEL, *LOW, "--raw", "rgb24", "--size", "448x432", "--draw", "-", "--json", tmp_path / "out.jsonl", input=stream)
    assert done.returncode == 0, done.stderr.decode()
    header, rest = done.stdout.split(b"\n", 1)
    assert header == b"YUV4MPEG2 W448 H432 F30000:1000 Ip A1:1 C444"
    assert len(rest) == 2 * (6 + 3 * 448 * 432)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    y, u, v = np.frombuffer(rest[6 : 6 + 3 * 448 * 432], np.uint8).reshape(3, 432, 448).astype(float)
    assert np.median(np.abs(np.stack([y, u, v], 2) - bt601(pictures[0]))) < 1
