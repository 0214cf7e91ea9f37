"""retinaface info, and README's program."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Dict

import pytest
from conftest import MODEL, command, run
from PIL import Image


def info(model: Path, code: int = 0) -> Dict[str, str]:
    done = run("info", model)
    assert done.returncode == code, done.stderr.decode()
    return dict((line[:14].strip(), line[14:]) for line in done.stdout.decode().splitlines())


def test_info() -> None:
    found = info(MODEL)
    assert found["architecture"] == "mobilenet025"
    assert found["profile"] == "biubug6"
    assert found["parameters"] == "423264"
    assert found["size"] == f"{MODEL.stat().st_size} bytes"
    assert found["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert found["self-test"].startswith("passed")
    assert {"source", "licence", "version", "tensors", "runs on"} <= set(found)


def test_changed_weights_fail_the_self_test(tmp_path: Path) -> None:
    """Half-precision values whose exponents were touched are still numbers, but not the right ones."""
    data = bytearray(MODEL.read_bytes())
    header = int.from_bytes(data[:8], "little")
    start = 8 + header + 200000
    for at in range(start, start + 20000, 2):
        data[at + 1] ^= 0x04
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(data)
    done = run("info", changed)
    if done.returncode == 1 and b"self-test" not in done.stdout:
        pytest.skip("the change made the file unreadable: " + done.stderr.decode())
    assert info(changed, code=1)["self-test"].startswith("FAILED")


def test_truncated_model(tmp_path: Path) -> None:
    data = MODEL.read_bytes()
    for size in (4, 8, 100, len(data) // 2, len(data) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(data[:size])
        done = run("info", cut)
        assert done.returncode == 1
        assert len(done.stderr.decode().splitlines()) == 1


@pytest.mark.skipif("RETINAFACE_QUICKSTART" not in os.environ, reason="RETINAFACE_QUICKSTART is not set")
def test_quickstart(tmp_path: Path, official: Path) -> None:
    """README's program finds the face that the tool finds."""
    picture = tmp_path / "astronaut.ppm"
    Image.open(Path(__file__).resolve().parents[2] / "examples" / "images" / "astronaut.png").convert("RGB").save(picture)
    with picture.open("rb") as stdin:
        line = [*command("RETINAFACE_QUICKSTART", ""), str(official)]
        done = subprocess.run(line, stdin=stdin, stdout=subprocess.PIPE, timeout=300)
    assert done.returncode == 0
    assert done.stdout.decode().split() == ["1.000", "177", "56", "270", "176"]
