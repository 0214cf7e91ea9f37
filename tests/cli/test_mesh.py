"""retinaface mesh, and detect --pose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, run

ASTRONAUT = ROOT / "examples" / "images" / "astronaut.png"


def mesh(*arguments: object, code: int = 0):
    done = run("mesh", *arguments)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_json(tmp_path: Path) -> None:
    line = json.loads(mesh("--json", "-", ASTRONAUT).stdout)
    face = line["faces"][0]
    assert set(face["pose"]) == {"yaw", "pitch", "roll"}
    assert len(face["landmarks68"]) == 68 and all(len(p) == 3 for p in face["landmarks68"])
    # She looks at the camera, her head a little to the image's left; nose, eyes and mouth lie where the detector says.
    assert abs(face["pose"]["yaw"]) < 25 and abs(face["pose"]["roll"]) < 20
    points, five = face["landmarks68"], face["landmarks"]
    x1, y1, x2, y2 = face["box"]
    close = 0.06 * (x2 - x1)
    for landmark, point in ((30, five[2]), (48, five[3]), (54, five[4])):
        assert abs(points[landmark][0] - point[0]) < close and abs(points[landmark][1] - point[1]) < close
    assert points[30][2] < points[0][2] and points[30][2] < points[16][2]  # the nose is nearer than the ears
    assert json.loads(run("detect", "--json", "-", "--pose", ASTRONAUT).stdout)["faces"][0]["pose"] == face["pose"]
    assert "pose" not in json.loads(run("detect", "--json", "-", ASTRONAUT).stdout)["faces"][0]


def test_refined() -> None:
    plain, refined = (json.loads(mesh(*options, "--json", "-", ASTRONAUT).stdout)["faces"][0] for options in ((), ("--refine",)))
    assert plain["box"] == refined["box"] and plain["landmarks68"] != refined["landmarks68"]
    for a, b in zip(plain["landmarks68"][17:], refined["landmarks68"][17:]):
        assert abs(a[0] - b[0]) < 25 and abs(a[1] - b[1]) < 25
    # Five points take a smile for a face that looks down.
    assert all(abs(plain["pose"][angle] - refined["pose"][angle]) < 20 for angle in plain["pose"]) and abs(refined["pose"]["pitch"]) < 12
    # Where the corners of eyes and mouth are in this picture.
    places = {36: (194, 101), 39: (214, 104), 42: (237, 105), 45: (257, 104), 48: (201, 139), 54: (246, 141)}
    for landmark, (x, y) in places.items():
        assert abs(refined["landmarks68"][landmark][0] - x) < 6 and abs(refined["landmarks68"][landmark][1] - y) < 6


def test_files(tmp_path: Path) -> None:
    done = mesh("--obj", tmp_path / "o", "--ply", tmp_path / "p", "--draw", tmp_path / "d", "--json", "-", ASTRONAUT)
    (face,) = json.loads(done.stdout)["faces"]
    assert [face["obj"], face["ply"]] == [str(tmp_path / "o" / "astronaut_0.obj"), str(tmp_path / "p" / "astronaut_0.ply")]
    obj = (tmp_path / "o" / "astronaut_0.obj").read_text().splitlines()
    assert sum(line.startswith("v ") for line in obj) == 9409 and sum(line.startswith("f ") for line in obj) == 18461
    ply = (tmp_path / "p" / "astronaut_0.ply").read_text()
    assert "element vertex 9409\n" in ply and "element face 18461\n" in ply
    assert (tmp_path / "d" / "astronaut.png").stat().st_size > 10000


@pytest.mark.parametrize("style", ["wireframe", "coordinates"])
def test_styles(tmp_path: Path, style: str) -> None:
    mesh("--draw", tmp_path, "--style", style, ASTRONAUT)
    assert (tmp_path / "astronaut.png").exists()


def test_errors(tmp_path: Path) -> None:
    assert run("mesh", "--style", "oil", ASTRONAUT).returncode == 2
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    done = mesh("--json", "-", bad, ASTRONAUT, code=1)
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert "error" in lines[0] and len(lines[1]["faces"]) >= 1
