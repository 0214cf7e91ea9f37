#!/usr/bin/env python3
"""Runs the cluster examples on this machine and kills a worker in the middle: every picture must have exactly one row.

    check.py [--pictures 5000] [--workers 2] [--tool build/release/bin/retinaface] [--folder DIR] [tool] [ray] [spark]

Pictures are made from examples/images/astronaut.png (640 x 480, moved, scaled, mirrored, brighter, darker), seven of them broken; with
--folder they are kept there for another run.  Prints pictures a second of each engine, and of one process of the command-line tool.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, ImageEnhance, ImageOps

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BROKEN = 7


def make_pictures(folder: Path, count: int) -> None:
    rng = random.Random(22)
    face = Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB")
    for i in range(count):
        path = folder / f"{i % 100:02d}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % (count // BROKEN) == 3 and i // (count // BROKEN) < BROKEN:
            path.write_bytes(b"\xff\xd8\xff\xe0 this is no JPEG")
            continue
        side = rng.randint(360, 480)
        moved = face.resize((side, side))
        moved = ImageOps.mirror(moved) if rng.random() < 0.5 else moved
        picture = Image.new("RGB", (640, 480), tuple(rng.randint(0, 255) for _ in range(3)))
        picture.paste(moved, (rng.randint(0, 640 - side), rng.randint(0, 480 - side)))
        ImageEnhance.Brightness(picture).enhance(rng.uniform(0.6, 1.3)).save(path, quality=88)


def workers(marker: str, engine: str) -> list[int]:
    """Process ids of an engine's workers that carry our marker in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            if marker.encode() not in (process / "environ").read_bytes():
                continue
            if engine == "ray" and b"ray::" in command and b"FaceFinder" in command:
                found.append(int(process.name))
            if engine == "spark" and b"pyspark.daemon" in command:
                parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
                if b"pyspark.daemon" in Path("/proc", parent, "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(process.name))
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return found


def rows_of(output: Path) -> list[dict]:
    files = [f for f in output.rglob("*.parquet") if not any(p.startswith(("_", ".")) for p in f.relative_to(output).parts)]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def run_tool(tool: Path, pictures: Path, output: Path, count: int) -> float:
    """Runs the command-line tool; seconds."""
    started = time.monotonic()
    with output.open("w") as out:
        done = subprocess.run([tool, "detect", "--threads", "1", "--json", "-", pictures], stdout=out, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    lines = output.read_text().splitlines()
    assert done.returncode == 1, f"tool: exit code {done.returncode}, expected 1: some pictures are broken"
    assert len(lines) == count and sum('"error"' in line for line in lines) == BROKEN, f"tool: {len(lines)} lines"
    return seconds


def run(engine: str, pictures: Path, output: Path, workers_wanted: int, kill: bool) -> float:
    """Runs an engine's example; seconds."""
    marker = uuid.uuid4().hex
    command = [sys.executable, str(HERE / f"{engine}_faces.py"), str(pictures), str(output)]
    command += ["--workers", str(workers_wanted)] if engine == "ray" else ["--master", f"local[{workers_wanted},4]"]
    environment = {**os.environ, "RETINAFACE_CHECK": marker, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=subprocess.STDOUT)
        killed = None
        while process.poll() is None:
            time.sleep(0.05)
            # In the middle: some rows are written, many are not.
            if kill and killed is None and output.is_dir() and any(f.stat().st_size > 0 for f in output.rglob("*.parquet")):
                alive = workers(marker, engine)
                if alive:
                    killed = alive[-1]
                    os.kill(killed, signal.SIGKILL)
                    print(f"{engine}: killed worker {killed} of {len(alive)} after {time.monotonic() - started:.1f} s", flush=True)
        log.seek(0)
        text = log.read()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        sys.exit(f"{engine}: exit code {process.returncode}\n{text[-6000:]}")
    if kill and killed is None:
        sys.exit(f"{engine}: no worker was found to kill\n{text[-3000:]}")
    return seconds


def check(engine: str, pictures: Path, output: Path, count: int) -> int:
    """Every picture exactly once; faces in the good ones, errors in the broken ones. Gives the number of faces."""
    rows = rows_of(output)
    paths = [row["path"].removeprefix("file:") for row in rows]
    assert len(rows) == count, f"{engine}: {count} pictures, {len(rows)} rows"
    assert set(paths) == {str(path) for path in pictures.rglob("*.jpg")}, f"{engine}: other paths than pictures"
    assert len(set(paths)) == count, f"{engine}: duplicates"
    errors = [row for row in rows if row["error"] is not None]
    assert len(errors) == BROKEN and all(row["faces"] == [] and row["width"] is None for row in errors), f"{engine}: {len(errors)} errors"
    empty = sum(not row["faces"] for row in rows if row["error"] is None)
    assert empty <= count // 100, f"{engine}: no face in {empty} pictures"
    return sum(len(row["faces"]) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", default=["tool", "ray", "spark"], metavar="ENGINE")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="of the pictures; made if it is not there")
    parser.add_argument("--tool", type=Path, default=ROOT / "build" / "release" / "bin" / "retinaface")
    arguments = parser.parse_args()
    count = arguments.pictures
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        pictures = (arguments.folder or work / "pictures").resolve()
        if not pictures.is_dir():
            make_pictures(pictures, count)
        for engine in arguments.engines:
            if engine == "tool":
                seconds = run_tool(arguments.tool, pictures, work / "tool.jsonl", count)
                print(f"tool, one process: {count} pictures in {seconds:.1f} s, {count / seconds:.0f} a second", flush=True)
                continue
            output = work / engine
            seconds = run(engine, pictures, output, arguments.workers, kill=True)
            faces = check(engine, pictures, output, count)
            print(
                f"{engine}, {arguments.workers} workers, one killed: {count} pictures, {count} rows, no duplicates, {BROKEN} errors, "
                f"{faces} faces in {seconds:.1f} s with start and end, {count / seconds:.0f} a second",
                flush=True,
            )
            # Once more with a file of the output lost, as after a run that was cut short.
            lost = min(output.rglob("*.parquet"), key=lambda file: file.stat().st_size)
            lost.unlink()
            missing = count - len(rows_of(output))
            seconds = run(engine, pictures, output, arguments.workers, kill=False)
            check(engine, pictures, output, count)
            print(f"{engine}: run again for the {missing} pictures of a lost file, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
