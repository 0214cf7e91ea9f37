#!/usr/bin/env python3
"""Compares this library's detector with other engines on the same network, on this machine.

    compare.py [--sizes qvga,vga,hd] [--threads 1,2] [--isa auto,avx2] [--scrfd FILE.onnx] [--json FILE]
    compare.py --python ...      what Python users have instead: python_peers.py, which takes the rest of the line

The network is exported from our weights file for ncnn, ONNX Runtime, OpenVINO and MNN (pip install -r bench/requirements.txt).
Every engine runs in a process of its own with its best fp32 options, pinned (core 0 for one thread, 0 and 1 for two); a round gives
each engine a burst of runs in turn, everyone else stopped, so that drift of the machine hits all alike.  Rows say "network" (for
us: 8-bit pixels in, every raw output out) or "detector" (8-bit pixels in, faces out).  Outputs on the same input are compared with
our reference kernels (double accumulators).

--sizes also takes 4k (3840x2160), dci4k (4096x2160, the paper's) and WIDTHxHEIGHT.
"""

import argparse
import atexit
import datetime
import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "bench"  # update.py's
SIZES = {"qvga": (320, 240), "vga": (640, 480), "hd": (1920, 1080), "4k": (3840, 2160), "dci4k": (4096, 2160)}
MEMORY_SIZE = (3840, 2160)
PEERS = ("ncnn", "onnxruntime", "openvino", "mnn")
PACKAGES = {"ncnn": ("ncnn",), "onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino", "onnx"), "mnn": ("MNN", "onnx"), "scrfd": ("onnxruntime",)}

# malloc keeps what engines free: maps that go back to the system come again as page faults, in everyone's time.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # huge pages for everyone: 3 % of ncnn's time
}


class Failure(Exception):
    pass


class Worker:
    """A process that answers each command with a line of JSON. It is stopped while it has nothing to do: no engine's threads
    spin in another's time."""

    def __init__(self, command, cpus, threads, environment=ENVIRONMENT, priority=False):
        env = {**os.environ, **environment, "OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=env,
            preexec_fn=lambda: self._begin(cpus, priority),
        )
        self.stopped = False
        atexit.register(self.close)
        self.hello = self._answer()

    @staticmethod
    def _begin(cpus, priority):
        os.sched_setaffinity(0, cpus)
        if priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            words = self.log.read().decode(errors="replace").strip().splitlines()
            raise Failure(f"ended ({self.process.wait()}): {words[-1] if words else 'no message'}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def ask(self, command):
        self.resume()
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.stop()
        return answer

    def stop(self):
        if not self.stopped and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGSTOP)
            self.stopped = True

    def resume(self):
        if self.stopped:
            os.kill(self.process.pid, signal.SIGCONT)
            self.stopped = False

    def close(self):
        if self.process.poll() is None:
            self.resume()
            try:
                self.process.stdin.close()
                self.process.wait(timeout=5)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        atexit.unregister(self.close)


def sources():
    for folder in ("include", "kernels"):
        yield from sorted(p for p in (ROOT / folder).rglob("*") if p.is_file())
    yield HERE / "bench_worker.cpp"


@functools.lru_cache(maxsize=None)
def find_worker():
    """The build's worker if it is newer than every source, else one compiled as a user would: g++ -O2, plain x86-64."""
    for build in (BUILD, ROOT / "build" / "release"):
        built = build / "bin" / "bench_worker"
        if built.exists() and built.stat().st_mtime > max(p.stat().st_mtime for p in sources()):
            return built
    digest = hashlib.sha256()
    for path in sources():
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    compiled = pathlib.Path(tempfile.gettempdir()) / f"retinaface_bench_worker_{digest.hexdigest()[:16]}"
    if not compiled.exists():
        compiler = os.environ.get("CXX", "g++")
        print(f"compiling bench_worker.cpp with {compiler} -O2 ...", file=sys.stderr, flush=True)
        partial = f"{compiled}.{os.getpid()}"
        command = [compiler, "-std=c++17", "-O2", "-pthread", f"-I{ROOT / 'include'}", str(HERE / "bench_worker.cpp"), "-o", partial]
        subprocess.run(command, check=True)
        os.replace(partial, compiled)
    return compiled


def default_model():
    found = [p for p in sorted((ROOT / "weights").glob("*.safetensors")) if metadata(p).get("architecture") == "mobilenet025"]
    return found[0] if found else ROOT / "tests" / "data" / "seeded_mobilenet025.safetensors"


def default_picture():
    pictures = sorted(p for p in (ROOT / "examples" / "images").glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return pictures[0] if pictures else None


def metadata(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)).get("__metadata__", {})


def load_pixels(path, width, height):
    """[H, W, 3] RGB: the picture repeated at its own scale (faces stay faces at any size), or a synthetic one."""
    import numpy as np

    if path:
        from PIL import Image

        picture = Image.open(path).convert("RGB")
        scale = min(1.0, 640 / picture.width, 480 / picture.height)
        if min(width / 640, height / 480) < 1:
            scale *= min(width / 640, height / 480)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        tile = np.asarray(picture)
        times = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
        return np.ascontiguousarray(np.tile(tile, times)[:height, :width])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [127 + 60 * np.sin(x / (17 + 6 * c) + c) + 60 * np.cos(y / (23 - 5 * c)) for c in range(3)]
    noise = np.random.default_rng(1).integers(-8, 9, (height, width, 3))
    return np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8)


def network_input(pixels, profile):
    """What weights/README.md says the exported networks take: [3, H, W]."""
    import numpy as np

    if profile == "insightface":
        height, width, _ = pixels.shape
        padded = np.pad(pixels, ((0, -height % 32), (0, -width % 32), (0, 0)))
        return np.ascontiguousarray(padded.transpose(2, 0, 1).astype(np.float32))
    values = pixels[:, :, ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def export(model, folder):
    """The network for the other engines; returns the job's files and what went wrong, by engine."""
    job, missing = {}, {}
    converter = [sys.executable, str(ROOT / "tools" / "convert_weights.py"), str(model), "--quiet", "-o", str(folder / "model.safetensors")]

    def run(name, command):
        done = subprocess.run(command, capture_output=True, text=True)
        return None if done.returncode == 0 else f"{name}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"

    error = run("convert_weights.py --ncnn", [*converter, "--ncnn", str(folder / "net")])
    job["ncnn"] = str(folder / "net")
    if error:
        missing["ncnn"] = error
    error = run("convert_weights.py --onnx", [*converter, "--onnx", str(folder / "net.onnx"), "--onnx-maps"])
    job["onnx"] = str(folder / "net.onnx")
    if error:
        missing.update(dict.fromkeys(("onnxruntime", "openvino", "mnn"), error))
        return job, missing
    job["mnn"] = str(folder / "net.mnn")
    beside = pathlib.Path(sys.executable).parent / "mnnconvert"
    convert = str(beside) if beside.exists() else shutil.which("mnnconvert")
    if convert is None:
        missing["mnn"] = "mnnconvert is not installed"
    else:
        files = ["--modelFile", job["onnx"], "--MNNModel", job["mnn"]]
        error = run("mnnconvert", [convert, "-f", "ONNX", *files, "--bizCode", "retinaface"])
        if error or not pathlib.Path(job["mnn"]).exists():
            missing["mnn"] = error or "mnnconvert wrote nothing"
    return job, missing


def machine():
    name, cores = platform.processor(), os.cpu_count()
    fields = {}
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = fields.get("model name") or name or platform.machine()
    detail = ""
    if "cpu family" in fields:
        detail = f" (family {fields['cpu family']} model {fields['model']} stepping {fields['stepping']})"
    return f"{name}{detail}, {cores} cores, {platform.system()} {platform.release()}"


def steal():
    """Jiffies that the hypervisor took, of all: (stolen, total)."""
    try:
        values = [int(v) for v in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return values[7], sum(values)
    except (OSError, IndexError, ValueError):
        return 0, 1


class Comparison:
    """Runs everything. `rows` is the JSON's list; `notes` is what else there is to say."""

    def __init__(self, model, picture=None, rounds=14, burst=8, peers=PEERS, priority=False, threshold=0.5, log=None, scrfd=None):
        self.model, self.picture, self.rounds, self.burst = pathlib.Path(model), picture, rounds, burst
        self.priority, self.threshold = priority, threshold
        self.log = log or (lambda text: print(text, file=sys.stderr, flush=True))
        self.profile = metadata(model).get("profile", "biubug6")
        self.worker = find_worker()
        self.folder = tempfile.TemporaryDirectory(prefix="retinaface_compare_")
        self.path = pathlib.Path(self.folder.name)
        self.rows, self.notes, self.paired = [], [], {}
        self.compiler = "unknown"
        self.missing = {}
        for peer in peers:
            lacking = [p for p in PACKAGES[peer] if importlib.util.find_spec(p) is None]
            if lacking:
                self.missing[peer] = f"could not be compared: the package {', '.join(lacking)} is not installed"
        self.job, failed = export(self.model, self.path) if peers else ({}, {})
        for peer, error in failed.items():
            if peer in peers:
                self.missing.setdefault(peer, error)
        self.peers = [p for p in peers if p not in self.missing]
        if scrfd is not None:  # another network, for its speed
            self.job["scrfd"] = str(scrfd)
            self.peers.append("scrfd")
        for peer, why in self.missing.items():
            self.log(f"{peer}: {why}")

    def ours(self, size, threads, isa, cpus, environment=ENVIRONMENT):
        files = self.files(size)
        command = [str(self.worker), "--model", str(self.model), "--image", files["pixels"], "--width", str(size[0])]
        worker = Worker([*command, "--height", str(size[1]), "--threads", str(threads), "--isa", isa, "--threshold", str(self.threshold)], cpus, threads, environment, self.priority)
        self.compiler = worker.hello["compiler"]
        return worker

    def files(self, size):
        import numpy as np

        stem = self.path / f"{size[0]}x{size[1]}"
        pixels, array = stem.with_suffix(".rgb"), stem.with_suffix(".npy")
        if not pixels.exists():
            values = load_pixels(self.picture, *size)
            pixels.write_bytes(values.tobytes())
            np.save(array, network_input(values, self.profile))
        return {"pixels": str(pixels), "input": str(array)}

    def reference(self, size):
        """Outputs of our reference kernels: naive loops with double accumulators."""
        import numpy as np

        path = self.path / f"{size[0]}x{size[1]}.reference"
        if not path.exists():
            worker = self.ours(size, 1, "reference", {0})
            worker.ask(f"outputs {path}")
            worker.close()
        return np.fromfile(path, np.float32)

    def run(self, size_name, size, threads, isas, check=True):
        """Adds a size's and number of threads' rows. `check`: compare outputs (the reference kernels take seconds a megapixel)."""
        import numpy as np

        cpus = set(range(threads))
        if not cpus <= os.sched_getaffinity(0):
            self.note(f"{size_name}, {threads} thread(s): this process may not use cores 0..{threads - 1}")
            return
        workers = []  # (worker, label, what)
        started = []
        for isa in isas:
            try:
                worker = self.ours(size, threads, isa, cpus)
            except Failure as failure:
                self.note(f"retinaface, isa {isa}: {failure}")
                continue
            started.append(worker)
            worker.stop()
            if isa == isas[0]:
                self.note(f"{size_name}: {worker.hello['faces']} faces in the image")
            workers += [(worker, worker.hello["isa"], "network"), (worker, worker.hello["isa"], "detector")]
        for peer in self.peers:
            job = {**self.job, "input": self.files(size)["input"], "threads": threads}
            try:
                worker = Worker([sys.executable, str(HERE / "engines.py"), peer, json.dumps(job)], cpus, threads, priority=self.priority)
            except Failure as failure:
                self.note(f"{peer}, {size_name}, {threads} thread(s): {failure}")
                self.missing.setdefault(peer, str(failure))
                continue
            started.append(worker)
            worker.stop()
            self.note(f"{peer} {worker.hello['version']}, {size_name}, {threads} thread(s): fastest options: {worker.hello['options']}")
            workers.append((worker, worker.hello["isa"], "network"))

        times = [[] for _ in workers]
        stolen, total = steal()
        for r in range(self.rounds):
            # Another one starts each round.
            for i in range(len(workers)):
                k = (i + r) % len(workers)
                worker, _, what = workers[k]
                times[k].append(worker.ask(f"run {what} {self.burst}")["times"])
        stolen_now, total_now = steal()
        self.note(
            f"{size_name}, {threads} thread(s): load average {os.getloadavg()[0]:.1f}, "
            f"{100 * (stolen_now - stolen) / max(1, total_now - total):.1f} % stolen by the hypervisor"
        )

        reference = self.reference(size) if check else None
        differences = dict.fromkeys(started, float("nan"))
        for worker in started if check else ():
            if worker.hello["engine"] == "scrfd":
                continue  # not our network's outputs
            path = self.path / "outputs"
            worker.ask(f"outputs {path}")
            found = np.fromfile(path, np.float32)
            if found.size != reference.size:
                raise Failure(f"{worker.hello['engine']}: {found.size} outputs, expected {reference.size}")
            differences[worker] = float(np.max(np.abs(found - reference)))
        base = next((t for (w, _, _), t in zip(workers, times) if w.hello["engine"] == "ncnn"), None)
        for (worker, isa, what), bursts in zip(workers, times):
            every = [t for burst in bursts for t in burst]
            row = {
                "engine": worker.hello["engine"],
                "version": worker.hello["version"],
                "size": size_name,
                "threads": threads,
                "isa": isa,
                "what": what,
                "median_ms": round(statistics.median(every), 4),
                "min_ms": round(min(every), 4),
                "max_abs_diff": float(f"{differences[worker]:.3g}"),
            }
            self.rows.append(row)
            if base is not None:
                ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(bursts, base)]
                self.paired[id(row)] = statistics.median(ratios)
        for worker in started:
            worker.close()

    def note(self, text):
        self.notes.append(text)
        self.log(text)

    def memory(self):
        """MB that a detector takes at its peak for 3840 x 2160, less image and weights."""
        worker = self.ours(MEMORY_SIZE, 1, "auto", {0}, environment={})
        found = worker.ask("memory")
        worker.close()
        return (found["peak_kib"] - found["base_kib"] - found["weights_kib"]) * 1024 / 1e6

    def result(self):
        return {
            "machine": machine(),
            "compiler": self.compiler,
            "date": datetime.date.today().isoformat(),
            "rows": self.rows,
        }

    def table(self):
        """Markdown; the ratios' base is ncnn's network at the same size and number of threads."""
        lines = [
            "| size | threads | engine | isa | what | median ms | min ms | x ncnn | x ncnn, by rounds | max abs diff |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in self.rows:
            base = find(self.rows, "ncnn", r["size"], r["threads"])
            ratio = f"{r['median_ms'] / base['median_ms']:.3f}" if base else ""
            paired = f"{self.paired[id(r)]:.3f}" if id(r) in self.paired else ""
            cells = (r["size"], r["threads"], f"{r['engine']} {r['version']}", r["isa"], r["what"], f"{r['median_ms']:.2f}")
            cells += (f"{r['min_ms']:.2f}", ratio, paired, f"{r['max_abs_diff']:.1e}")
            lines.append("| " + " | ".join(str(c) for c in cells) + " |")
        return "\n".join(lines)


def find(rows, engine, size, threads, isa=None, what="network"):
    for r in rows:
        if (r["engine"], r["size"], r["threads"], r["what"]) == (engine, size, threads, what) and isa in (None, r["isa"]):
            return r
    return None


def targets(rows, memory_mb=None, architecture="mobilenet025"):
    """The table of what must show: (what, found, must, goal), for everything that was measured."""
    light = architecture == "mobilenet025"
    best = next((r["isa"] for r in rows if r["engine"] == "retinaface"), None)
    lines = []

    def ms(*key, **more):
        row = find(rows, *key, **more)
        return row["median_ms"] if row else None

    def ours(size, threads=1, isa=best):
        return ms("retinaface", size, threads, isa=isa, what="detector")

    def add(what, value, base, must, goal, at_least=False):
        """`must` and `goal` may be None."""
        if value is None or base is None:
            return
        found = value / base
        sign = ">=" if at_least else "<="
        shown = [f"{sign} {limit:g}" if limit is not None else "" for limit in (must, goal)]
        fits = [limit is None or (found >= limit if at_least else found <= limit) for limit in (must, goal)]
        verdict = "" if goal is None else "goal" if fits[1] else "MISSED" if not fits[0] else "must" if must is not None else "not the goal"
        lines.append(f"| {what} | {found:.2f} | {shown[0]} | {shown[1]} | {verdict} |")

    for size, must, goal in (("vga", 0.60, 0.50), ("hd", 0.50, 0.40), ("qvga", 0.65, 0.55)) if light else ():
        add(f"{size}, 1 thread, {best}: whole detector / ncnn's network", ours(size), ms("ncnn", size, 1), must, goal)
    if best != "avx2" and light:
        add("vga, 1 thread, avx2 forced: whole detector / ncnn's network", ours("vga", isa="avx2"), ms("ncnn", "vga", 1), 1.3, 1.1)
    add("hd / vga, 1 thread: our own", ours("hd"), ours("vga"), None, 7.2)
    add("vga, 2 threads: speed over one thread", ours("vga"), ours("vga", 2), 1.7 if light else 1.85, 1.85, at_least=True)
    for size in ("qvga", "vga", "hd"):
        others = [r for r in rows if r["engine"] not in ("retinaface", "scrfd") and r["size"] == size and r["threads"] == 1]
        if others:
            fastest = min(others, key=lambda r: r["median_ms"])
            what = f"{size}, 1 thread, {best}: whole detector / the fastest other here ({fastest['engine']})"
            add(what, ours(size), fastest["median_ms"], *((None, None) if light else (1.0, 0.75)))
    add("3840 x 2160: peak MB less image and weights", memory_mb, 1, 300, 150)
    header = ["| | found | must | goal | reached |", "|---|---|---|---|---|"]
    return "\n".join(header + lines) if lines else ""


def parse_size(text):
    if text in SIZES:
        return SIZES[text]
    try:
        width, height = (int(v) for v in text.split("x"))
    except ValueError:
        raise SystemExit(f"compare.py: unknown size '{text}': one of {', '.join(SIZES)} or WIDTHxHEIGHT") from None
    return width, height


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="qvga,vga,hd")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--isa", default="auto", help="of ours: auto, avx512, avx2, portable (default: auto)")
    parser.add_argument("--model", type=pathlib.Path, help="weights file (default: the shipped one, else the tests' seeded one)")
    parser.add_argument("--image", help="picture to run on (default: the first of examples/images, else a synthetic one)")
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--burst", type=int, default=8, help="timed runs of an engine in a round (default: 8)")
    parser.add_argument("--engines", default=",".join(PEERS), help=f"others to compare with (default: {','.join(PEERS)})")
    parser.add_argument("--scrfd", type=pathlib.Path, metavar="FILE", help="scrfd_500m_kps.onnx: a row for that network on ONNX Runtime")
    parser.add_argument("--python", nargs=argparse.REMAINDER, metavar="...", help="run python_peers.py with the rest of the line")
    parser.add_argument("--priority", action="store_true", help="real-time scheduling, on a machine that others use (needs root)")
    parser.add_argument("--no-check", action="store_true", help="leave out the outputs of the reference kernels, which take minutes for a wide network")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory at 3840 x 2160")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.python is not None:
        os.execv(sys.executable, [sys.executable, str(HERE / "python_peers.py"), *arguments.python])
    words = lambda text: [w for w in text.split(",") if w]  # noqa: E731
    unknown = [e for e in words(arguments.engines) if e not in PEERS]
    if unknown:
        parser.error(f"unknown engine {unknown[0]}: one of {', '.join(PEERS)}")
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise SystemExit("compare.py: numpy is not installed: pip install -r bench/requirements.txt") from None
    picture = arguments.image or default_picture()
    if arguments.rounds * arguments.burst < 100:
        print(f"compare.py: {arguments.rounds * arguments.burst} runs: figures to quote need 100", file=sys.stderr)

    model = arguments.model or default_model()
    try:
        comparison = Comparison(model, picture, arguments.rounds, arguments.burst, words(arguments.engines), arguments.priority, scrfd=arguments.scrfd)
        for size in words(arguments.sizes):
            for threads in words(arguments.threads):
                comparison.run(size, parse_size(size), int(threads), words(arguments.isa), check=not arguments.no_check)
        memory = None if arguments.no_memory else comparison.memory()
    except Failure as failure:
        raise SystemExit(f"compare.py: {failure}") from None

    result = comparison.result()
    print(f"{result['machine']}\n{result['compiler']}, {result['date']}, {model}, {picture or 'synthetic image'}")
    print(f"{arguments.rounds} rounds of {arguments.burst} runs\n")
    print(comparison.table())
    if memory is not None:
        print(f"\n3840 x 2160, 1 thread: peak memory less image and weights {memory:.0f} MB")
    checks = targets(comparison.rows, memory, metadata(model).get("architecture"))
    if checks:
        print("\n" + checks)
    for peer, why in comparison.missing.items():
        print(f"\nnot compared: {peer}: {why}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
