"""retinaface info, and README's program."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest
from conftest import ASTRONAUT, MODEL, ROOT, TRIMMED, command, run
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
    assert found["hash"] == "fits"
    assert found["self-test"].startswith("passed")
    assert {"source", "licence", "version", "tensors", "runs on"} <= set(found)


def without_hash(data: bytes) -> bytearray:
    """The file in the format before hashes."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]["hash"]
    header["__metadata__"]["format"] = "retinaface-weights-1"
    text = json.dumps(header).encode()
    return bytearray(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_other_files_of_the_library(tmp_path: Path) -> None:
    for header, parameters in (("default_mesh.hpp", "mesh_decoder"), ("default_refiner.hpp", "landmarks68")):
        file = tmp_path / "other.safetensors"
        reader = ROOT / "bindings" / "python" / "embedded_file.py"
        subprocess.run([sys.executable, reader, ROOT / "include" / "retinaface" / "weights" / header, file], check=True)
        found = info(file)
        assert found["architecture"] == parameters and found["hash"] == "fits" and "self-test" not in found
        done = run("detect", "--model", file, ASTRONAUT)
        assert done.returncode == 1 and f"format must be retinaface-weights-1 or -2, found '{found['format']}'" in done.stderr.decode()


def test_damaged_weights(tmp_path: Path) -> None:
    data = bytearray(MODEL.read_bytes())
    data[784373] ^= 0x20
    changed = tmp_path / "damaged.safetensors"
    changed.write_bytes(data)
    for subcommand in (["info", changed], ["detect", "--model", changed, ASTRONAUT]):
        done = run(*subcommand)
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert "damaged" in line and str(changed) in line


def test_weights_without_a_hash(tmp_path: Path) -> None:
    old = tmp_path / "old.safetensors"
    old.write_bytes(without_hash(MODEL.read_bytes()))
    found = info(old)
    assert found["hash"].startswith("none in the file")
    assert found["self-test"].startswith("passed")


def test_changed_weights_fail_the_self_test(tmp_path: Path) -> None:
    """Half-precision values whose exponents were touched are still numbers, but not the right ones."""
    data = without_hash(MODEL.read_bytes())
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
def test_quickstart(tmp_path: Path) -> None:
    """README's program, with the weights that come with the library, finds the astronaut."""
    picture = tmp_path / "astronaut.ppm"
    Image.open(ASTRONAUT).convert("RGB").save(picture)
    with picture.open("rb") as stdin:
        done = subprocess.run(command("RETINAFACE_QUICKSTART", ""), stdin=stdin, stdout=subprocess.PIPE, timeout=300)
    assert done.returncode == 0
    (line,) = done.stdout.decode().splitlines()
    score, *box = map(float, line.split())
    assert score > 0.9
    assert max(abs(found - wanted) for found, wanted in zip(box, [177, 56, 270, 176])) < 20


def test_embedded_weights() -> None:
    assert run("info").returncode == 0
    done = run("detect", "--json", "-", ASTRONAUT)
    assert (done.returncode, len(json.loads(done.stdout)["faces"])) == (0, 1)


def test_weights_of_other_programs_point_to_the_converter(tmp_path: Path) -> None:
    other = tmp_path / "mobilenet0.25_Final.pth"
    other.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100))
    for arguments in (("info", other), ("detect", "--model", other, ASTRONAUT)):
        done = run(*arguments)
        assert done.returncode == 1
        assert f"tools/convert_weights.py {other}" in done.stderr.decode()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(MODEL.read_bytes()[:5000])
    assert "convert_weights" not in run("detect", "--model", cut, ASTRONAUT).stderr.decode()


@pytest.mark.skipif(TRIMMED, reason="the embedded weights take too long here")
def test_the_output_that_readme_shows() -> None:
    shown = re.search(r"(?m)^(examples/images/astronaut.png: .*\n.*)$", (ROOT / "README.md").read_text()).group(1)
    found = run("detect", ASTRONAUT).stdout.decode().replace(str(ASTRONAUT), "examples/images/astronaut.png")
    words = [text.split() for text in (shown, found)]
    assert len(words[0]) == len(words[1])
    for expected, word in zip(*words):
        if re.fullmatch(r"[\d.]+", expected):
            assert abs(float(word) - float(expected)) < 0.15, found
        else:
            assert word == expected, found
