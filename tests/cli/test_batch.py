"""Many pictures: folders, archives, lists, standard input; several at a time, interrupted, resumed; and nothing skipped in silence."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import random
import signal
import struct
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from conftest import ASTRONAUT, MODEL, TRIMMED, command, detect, is_one_line, run
from PIL import Image

LOW = ("--score", "0.3", "--max-faces", "3")


def noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes, a broken one among them."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(8 if TRIMMED else 24):
        noise(40 + 7 * (i % 5), 30 + 11 * (i % 3), i).save(path / f"{i:03}.png")
    (path / "004.jpg").write_bytes(b"no picture")
    return path


def lines_of(folder: Path, *arguments: Any) -> bytes:
    return run("detect", "--model", MODEL, *LOW, "--json", "-", *arguments, folder).stdout


# Where pictures are


def test_archives_lists_and_standard_input(folder: Path, tmp_path: Path) -> None:
    def faces(*arguments: Any, code: int = 1, **options: Any) -> List[Any]:
        return [line.get("faces") for line in detect(*LOW, *arguments, code=code, **options)]

    expected = faces(folder)
    paths = sorted(folder.iterdir())
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        for path in paths:
            archive.add(path, arcname=f"./sub/{path.name}")
    assert faces(tmp_path / "pictures.tar") == expected
    (first, *_) = detect(*LOW, tmp_path / "pictures.tar", code=1)
    assert first["file"] == f"{tmp_path}/pictures.tar/sub/{paths[0].name}"

    (tmp_path / "list").write_text("\n".join(map(str, paths)) + "\r\n\n")
    assert faces("--files-from", tmp_path / "list") == expected
    assert faces("--files-from", "-", input="\n".join(map(str, paths)).encode()) == expected
    assert faces("--files-from", "-", "-0", input=b"\0".join(bytes(p) for p in paths)) == expected
    assert faces("-", input=paths[0].read_bytes(), code=0) == expected[:1]
    assert run("detect", "--model", MODEL, "-", "--files-from", "-").returncode == 2

    with zipfile.ZipFile(tmp_path / "pictures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, arcname=path.name)
    done = run("detect", "--model", MODEL, *LOW, "--json", "-", "--jobs", "3", tmp_path / "pictures.zip")
    if b"libzip" in done.stderr:
        pytest.skip("the tool was built without libzip")
    assert [json.loads(line).get("faces") for line in done.stdout.splitlines()] == expected


def test_names_come_as_they_are_written(folder: Path) -> None:
    """A line of output for every name, before the next name is known."""
    arguments = command("RETINAFACE_CLI", "bin/retinaface") + ["detect", "--model", str(MODEL), "--json", "-", "--files-from", "-"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tool:
        for path in sorted(folder.iterdir())[:3]:
            tool.stdin.write(bytes(path) + b"\n")
            tool.stdin.flush()
            assert json.loads(tool.stdout.readline())["file"] == str(path)
        tool.stdin.close()
        assert tool.wait(60) == 0


def test_damaged_archives(tmp_path: Path) -> None:
    for name, data, word in (("a.zip", b"PK\3\4 and no more", "zip"), ("b.tar", b"\x1f\x8b\x08" + bytes(600), "gzip"), ("c.tar", bytes(3), "tar"),
                             ("d.zip", b"7z\xbc\xaf" + bytes(600), "7-Zip"), ("e.tar", None, "open")):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        lines = detect(tmp_path / name, ASTRONAUT, code=1)
        assert word in lines[0]["error"] and "faces" in lines[1]


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs and permissions")
def test_nothing_is_skipped_in_silence(tmp_path: Path) -> None:
    """Each good picture found, each other file named once."""
    picture = noise(32, 32, 1)
    good = ["a.jpg", "b.JPEG", "c.jpe", "d.jfif", "d.jif", "d.mpo", "e.png", "f.bmp", "f.dib", "g.pgm", "g.pbm", "h.ppm", "i.pnm",
            "j.pam", "n.gif", "sub/k.png", "sub/deeper/l.png"]
    optional = ["o.webp", "p.tif", "q.tiff"]  # where the build has the library
    for name in good + optional:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        suffix = Path(name).suffix.lower()
        kind = {".bmp": "BMP", ".dib": "BMP", ".png": "PNG", ".pgm": "PPM", ".pbm": "PPM", ".ppm": "PPM", ".pnm": "PPM", ".gif": "GIF",
                ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}.get(suffix, "JPEG")
        if suffix == ".pam":
            header = b"P7\nWIDTH 32\nHEIGHT 32\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
            (tmp_path / name).write_bytes(header + picture.tobytes())
        else:
            (picture.convert({".pgm": "L", ".pbm": "1"}.get(suffix, "RGB"))).save(tmp_path / name, kind)
    (tmp_path / "m.psd").write_bytes(b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 32, 32, 8, 3) + bytes(12) + b"\0\0"
                                     + np.asarray(picture).transpose(2, 0, 1).tobytes())
    good.append("m.psd")
    for name in optional:
        lacks = "built without" in run("detect", "--model", MODEL, tmp_path / name).stderr.decode()
        (tmp_path / name).unlink() if lacks else good.append(name)
    left_out = ["._a.jpg", "sub/._k.png", "Thumbs.db", ".DS_Store", "notes.txt", "noextension", "pictures.tar", "pipe.jpg", "linked"]
    for name in left_out[:7]:
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.symlink(tmp_path / "sub", tmp_path / "linked")
    broken = ["empty.jpg", "foreign.png", "nowhere.jpg"]
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "foreign.png").write_bytes(b"MZ no picture")
    os.symlink(tmp_path / "missing", tmp_path / "nowhere.jpg")
    (tmp_path / "locked").mkdir()
    if os.geteuid() != 0:
        (tmp_path / "locked").chmod(0)
        broken.append("locked")
    try:
        done = run("detect", "--model", MODEL, "--json", "-", tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["file"] for line in lines if "faces" in line) == sorted(str(tmp_path / name) for name in good)
    assert sorted(line["file"] for line in lines if "error" in line) == sorted(str(tmp_path / name) for name in broken)
    messages = done.stderr.decode().splitlines()
    assert len(messages) == 1 + len(broken)
    (summary,) = [line for line in messages if "left out" in line]
    assert f"left out {len(left_out)} files" in summary
    words = summary.replace(",", " ").replace(";", " ").split()
    for name in left_out:
        assert words.count(name) == 1, name
    for name in broken:
        assert sum(f"{tmp_path / name}:" in line for line in messages) == 1, name


@pytest.mark.parametrize("flavour", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_links_in_a_tar_archive(tmp_path: Path, flavour: int) -> None:
    """A hard link is the file that it leads to, however long its name; what is neither file nor directory is named."""
    noise(32, 32, 1).save(tmp_path / "a.png")
    long = "a" * 90 + "/" + "b" * 60
    members = [(tarfile.LNKTYPE, f"{long}2.png", f"{long}.png"), (tarfile.SYMTYPE, "soft.png", "first.png"),
               (tarfile.LNKTYPE, "second.png", "first.png"), (tarfile.LNKTYPE, "lost.png", "missing.png"), (tarfile.FIFOTYPE, "pipe.png", "")]
    if flavour == tarfile.USTAR_FORMAT:
        members = members[1:]  # its link names have at most 100 bytes
    with tarfile.open(tmp_path / "links.tar", "w", format=flavour) as archive:
        for name in ("first.png", f"{long}.png"):
            archive.add(tmp_path / "a.png", name)
        for kind, name, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    done = run("detect", "--model", MODEL, "--json", "-", tmp_path / "links.tar")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["width"] == 32 for line in lines)
    expected = {"first.png", f"{long}.png", "second.png"} | ({f"{long}2.png"} if flavour != tarfile.USTAR_FORMAT else set())
    assert {line["file"].removeprefix(f"{tmp_path}/links.tar/") for line in lines} == expected
    assert "left out 3 files: 3 neither file nor directory: soft.png, lost.png, pipe.png" in done.stderr.decode()


# Several at a time


@pytest.mark.parametrize("jobs", [2, 5])
def test_jobs_change_nothing(folder: Path, tmp_path: Path, jobs: int) -> None:
    assert lines_of(folder, "--jobs", jobs) == lines_of(folder)
    for k, extra in enumerate(([], ["--jobs", jobs])):
        run("detect", "--model", MODEL, *LOW, "--draw", tmp_path / f"drawn{k}", *extra, folder)
        run("align", "--model", MODEL, *LOW, "--out", tmp_path / f"crops{k}", *extra, folder)
    for kind in ("drawn", "crops"):
        first, second = ({p.name: p.read_bytes() for p in (tmp_path / f"{kind}{k}").iterdir()} for k in (0, 1))
        assert first and first == second


def test_csv(folder: Path) -> None:
    text = run("detect", "--model", MODEL, *LOW, "--csv", "-", folder).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = [json.loads(line) for line in lines_of(folder).splitlines()]
    for line in lines:
        own = [row for row in rows if row["file"] == line["file"]]
        if "error" in line:
            assert len(own) == 1 and own[0]["error"] == line["error"] and own[0]["faces"] == ""
            continue
        assert len(own) == max(1, len(line["faces"]))
        for row, face in zip(own, line["faces"]):
            assert (int(row["width"]), int(row["height"]), int(row["faces"])) == (line["width"], line["height"], len(line["faces"]))
            assert [np.float32(row[key]) for key in ("score", "x1", "y2", "nose_x", "right_mouth_y")] == [
                np.float32(v) for v in (face["score"], face["box"][0], face["box"][3], face["landmarks"][2][0], face["landmarks"][4][1])]


# Interrupted and resumed


@pytest.mark.parametrize("form", ["--json", "--csv"])
@pytest.mark.parametrize("cut", [0.0, 0.3, 0.301, 0.7, 1.0])
def test_resume_mends_a_torn_end(folder: Path, tmp_path: Path, form: str, cut: float) -> None:
    whole = run("detect", "--model", MODEL, *LOW, form, "-", folder).stdout
    out = tmp_path / "out"
    out.write_bytes(whole[: int(cut * len(whole))])
    done = run("detect", "--model", MODEL, *LOW, form, out, "--resume", "--jobs", "2", folder)
    assert done.returncode == 1  # the broken picture, whether its record was there or not
    assert out.read_bytes() == whole


def test_resumed_names_of_files(folder: Path, tmp_path: Path) -> None:
    """Drawings and crops of pictures that share a stem have the names that they have without the interruption."""
    for k in range(2):
        (tmp_path / f"in{k}").mkdir()
        for i in range(3):
            noise(40, 40, 3 * k + i).save(tmp_path / f"in{k}" / f"{i}.png")
    inputs = [tmp_path / "in0", tmp_path / "in1"]
    for command_, out in (("detect", "--draw"), ("align", "--out")):
        whole = tmp_path / f"{command_}.jsonl"
        run(command_, "--model", MODEL, *LOW, "--json", whole, out, tmp_path / command_, *inputs)
        text = whole.read_bytes()
        files = {p.name: p.read_bytes() for p in (tmp_path / command_).iterdir()}
        whole.write_bytes(b"".join(text.splitlines(True)[:4]))
        run(command_, "--model", MODEL, *LOW, "--json", whole, out, tmp_path / command_, "--resume", *inputs)
        assert whole.read_bytes() == text
        assert {p.name: p.read_bytes() for p in (tmp_path / command_).iterdir()} == files


@pytest.mark.skipif(TRIMMED, reason="real faces take too long here")
def test_resumed_names_of_meshes(tmp_path: Path) -> None:
    face = Image.open(ASTRONAUT).convert("RGB").crop((150, 30, 300, 200))
    inputs = []
    for k in range(2):
        (tmp_path / f"in{k}").mkdir()
        inputs.append(tmp_path / f"in{k}" / "a.png")
        face.resize((150 + 30 * k, 170 + 34 * k)).save(inputs[-1])
    whole, out = tmp_path / "mesh.jsonl", tmp_path / "out"
    arguments = ["mesh", "--json", whole, "--obj", out, "--ply", out, "--draw", out, *inputs]
    run(*arguments)
    text = whole.read_bytes()
    files = {p.name: p.read_bytes() for p in out.iterdir()}
    assert sorted(files) == ["a.png", "a_0.obj", "a_0.ply", "a_0_2.obj", "a_0_2.ply", "a_2.png"]
    whole.write_bytes(text.splitlines(True)[0])
    run(*arguments, "--resume")
    assert whole.read_bytes() == text
    assert {p.name: p.read_bytes() for p in out.iterdir()} == files


@pytest.mark.skipif("RETINAFACE_EMULATED" in os.environ, reason="too slow under emulation")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_and_resumed(folder: Path, tmp_path: Path, how: signal.Signals) -> None:
    many = [folder] * (3 if TRIMMED else 10)
    arguments = ["detect", "--model", str(MODEL), *LOW, "--jobs", "2", "--json"]
    whole = run(*arguments, "-", *many).stdout
    out, dice = tmp_path / "out.jsonl", random.Random(1)
    stopped = 0
    for turn in range(100):
        before = out.stat().st_size if out.exists() else 0
        with subprocess.Popen(command("RETINAFACE_CLI", "bin/retinaface") + [*arguments, str(out), "--resume", *map(str, many)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
            # Anywhere, or just after its first record: the first turn is in the middle of the work on a machine of any speed.
            if turn > 0:
                time.sleep(dice.uniform(0.01, 0.15))
            while turn == 0 and tool.poll() is None and not (out.exists() and out.stat().st_size > before):
                time.sleep(0.0002)
            tool.send_signal(how)
            messages = tool.communicate()[1].decode()
        text = out.read_bytes() if out.exists() else b""
        assert whole.startswith(text[: text.rfind(b"\n") + 1])
        if how == signal.SIGINT and tool.returncode == 130:
            stopped += 1
            assert text == b"" or text.endswith(b"\n")
            assert "--resume goes on" in messages.splitlines()[-1]
        if text == whole:
            break
    else:
        run(*arguments, out, "--resume", *many)
    assert out.read_bytes() == whole
    assert stopped or how != signal.SIGINT or len(whole) < 1000


@pytest.mark.skipif("RETINAFACE_EMULATED" in os.environ, reason="emulators have handlers of their own")
@pytest.mark.parametrize("first,second", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_of_either_kind_ends_the_tool(tmp_path: Path, first: signal.Signals, second: signal.Signals) -> None:
    """While it waits for a picture that does not come."""
    pipe = tmp_path / "picture.png"
    os.mkfifo(pipe)
    with subprocess.Popen(command("RETINAFACE_CLI", "bin/retinaface") + ["detect", "--model", str(MODEL), str(pipe)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
        with open(pipe, "wb"):  # opens when the tool has, its handlers in place
            tool.send_signal(first)
            time.sleep(0.3)
            if tool.poll() is None:
                tool.send_signal(second)
            assert tool.wait(timeout=20) in (130, -second)


def test_resume_refuses_what_it_did_not_write(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("something\nelse\n")
    done = run("detect", "--model", MODEL, "--json", tmp_path / "out", "--resume", folder)
    assert done.returncode == 1 and is_one_line(done.stderr.decode().splitlines()[-1])
    assert (tmp_path / "out").read_text() == "something\nelse\n"
    assert run("detect", "--model", MODEL, "--resume", folder).returncode == 2
    assert run("detect", "--model", MODEL, "--resume", "--json", "-", folder).returncode == 2


# Files that are whole or not there


def test_an_input_is_not_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise(16, 16, 1).save(path)
    before = path.read_bytes()
    for form in ("--json", "--csv"):
        done = run("detect", "--model", MODEL, form, path, path)
        assert done.returncode == 1
        assert is_one_line(done.stderr.decode())
        assert path.read_bytes() == before


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    noise(64, 64, 1).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()

    def small_files() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = run("detect", "--model", MODEL, "--draw", tmp_path / "out", tmp_path / "a.png", preexec_fn=small_files)
    assert done.returncode == 1
    assert is_one_line(done.stderr.decode())
    assert list((tmp_path / "out").iterdir()) == []


# Names and messages


def test_names_come_back_exactly(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"line\nbreak\x1b[31m.png", "naïve \u202e.png".encode()):
        path = bytes(tmp_path) + b"/" + name
        noise(16, 16, 1).save(os.fsdecode(path), "PNG")
        (line,) = detect(os.fsdecode(path))
        if "file_bytes" in line:
            assert base64.b64decode(line["file_bytes"]) == path
        else:
            assert line["file"].encode() == path
        text = run("detect", "--model", MODEL, os.fsdecode(path)).stdout
        assert len(text.splitlines()) == 1 and b"\x1b" not in text
        text.decode()
        os.remove(path)
        done = run("detect", "--model", MODEL, "--json", tmp_path / "out.jsonl", os.fsdecode(path))
        assert is_one_line(done.stderr.decode()) and "\x1b" not in done.stderr.decode()
        assert run("detect", "--model", MODEL, "--json", tmp_path / "out.jsonl", "--resume", os.fsdecode(path)).stderr == b""
