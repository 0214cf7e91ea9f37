"""The examples do what their first lines say.

ctest sets RETINAFACE_EXAMPLES (their folder) and RETINAFACE_EMULATOR (what runs them, may be empty).
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, *arguments: object, cwd: Path, stdin: bytes = b"") -> str:
    command = [*os.environ.get("RETINAFACE_EMULATOR", "").split(), f"{os.environ['RETINAFACE_EXAMPLES']}/{name}", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "astronaut.ppm"
    Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB").save(path)
    return path


def test_camera_loop(picture: Path, tmp_path: Path) -> None:
    ycbcr = np.asarray(Image.open(picture).convert("YCbCr"), np.float32)
    luma = ycbcr[..., 0] * 219 / 255 + 16
    chroma = (ycbcr[::2, ::2, 1:] - 128) * 224 / 255 + 128
    frame = np.rint(luma).astype(np.uint8).tobytes() + np.rint(chroma).astype(np.uint8).tobytes()
    lines = run("camera_loop", 512, 512, cwd=tmp_path, stdin=2 * frame + b"short").splitlines()
    assert len(lines) == 2 and lines[0].replace("frame 0", "frame 1") == lines[1]
    x1, y1, x2, y2 = map(int, lines[0].split(" at ")[1].split())
    assert abs(x1 - 173) < 15 and abs(y1 - 61) < 15 and abs(x2 - 277) < 15 and abs(y2 - 168) < 25


def test_own_executor(picture: Path, tmp_path: Path) -> None:
    assert run("own_executor", picture, cwd=tmp_path) == "1 faces\n"


def test_many_threads(picture: Path, tmp_path: Path) -> None:
    output = run("many_threads", picture, tmp_path / "missing.ppm", picture, cwd=tmp_path)
    assert output.splitlines() == [f"{picture}: 1 faces", f"{tmp_path / 'missing.ppm'}: 0 faces", f"{picture}: 1 faces"]


def test_aligned_crops(picture: Path, tmp_path: Path) -> None:
    assert run("aligned_crops", picture, cwd=tmp_path) == "1 crops\n"
    assert Image.open(tmp_path / "crop_0.ppm").size == (112, 112)


def test_custom_network(tmp_path: Path) -> None:
    lines = run("custom_network", cwd=tmp_path).splitlines()
    assert len(lines) == 7 and lines[0].split() == ["layer0", "stem"]
    assert lines[-1].endswith("planned and traced differ by 0")
