#!/usr/bin/env python3
"""Runs every bench again and writes the figures into bench/README.md and bench/results.json: one command, on a quiet machine.

    bench/update.py [--model FILE] [--image FILE] [--priority] [--only compare,table5,kernels,detector] [--quick]

Python and packages as for compare.py.  Builds the benches first, in build/bench (they need Google Benchmark)."""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

import compare
import kernel_table

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SECTIONS = ("compare", "table5", "kernels", "detector")
LIGHT = ROOT / "tests" / "data" / "seeded_mobilenet025_light.safetensors"

# RetinaFace (Deng et al.), table 5, MobileNet-0.25, milliseconds: VGA, 1920 x 1080, 4096 x 2160.
PAPER = [
    ("paper: i7-6700K, one thread", "17.2", "130.4", "-"),
    ("paper: i7-6700K, many threads", "5.5", "50.3", "-"),
    ("paper: RK3399 (two Cortex-A72)", "61.2", "434.3", "-"),
    ("paper: Tesla P40", "1.4", "6.1", "25.6"),
]


def write_section(name, text):
    path = HERE / "README.md"
    whole = path.read_text()
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(whole):
        raise SystemExit(f"update.py: {path} has no section {name}")
    path.write_text(pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", whole))


def signature(compiler, picture, model, rounds, burst):
    name = pathlib.Path(model).name
    where = pathlib.Path(picture).name if picture else "a synthetic image"
    return f"{compare.machine()}; {compiler}; {datetime.date.today().isoformat()}; {name} on {where}; {rounds} rounds of {burst} runs each."


def update_compare(arguments):
    comparison = compare.Comparison(arguments.model, arguments.image, arguments.rounds, arguments.burst, priority=arguments.priority)
    for size in ("qvga", "vga", "hd"):
        for threads in (1, 2):
            comparison.run(size, compare.SIZES[size], threads, ["auto", "avx2"])
    memory = comparison.memory()
    result = comparison.result()
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    options = sorted({n.split(":")[0].split(",")[0] + n[n.index(": fastest") :] for n in comparison.notes if ": fastest" in n})
    remarks = [f"- {text}" for text in options]
    remarks += [f"- {text}" for text in comparison.notes if "load average" in text]
    remarks += [f"- not compared: {peer}: {why}" for peer, why in comparison.missing.items()]
    head = signature(comparison.compiler, arguments.image, arguments.model, arguments.rounds, arguments.burst)
    parts = [head, compare.targets(comparison.rows, memory), comparison.table()]
    parts.append(f"Peak memory at 3840 x 2160, one thread, less image and weights: {memory:.0f} MB.")
    parts.append("\n".join(remarks))
    write_section("compare", "\n\n".join(parts))


def update_table5(arguments):
    lines = ["| | VGA 640 x 480 | HD 1920 x 1080 | 4K 4096 x 2160 |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in PAPER]
    many = os.cpu_count() or 1
    rounds = 3 if arguments.quick else 10
    for name, model, threshold in (("MobileNet-0.25", arguments.model, 0.5), ("MobileNet-0.25, 7 x 7 stem of stride 4", LIGHT, 1.0)):
        comparison = compare.Comparison(model, arguments.image, rounds, 10, (), arguments.priority, threshold)
        for threads in sorted({1, many}):
            cells = []
            for size in ("vga", "hd", "dci4k"):
                comparison.run(size, compare.SIZES[size], threads, ["auto"], check=False)
                row = comparison.rows[-1]
                cells.append(f"{row['median_ms']:.1f}")
            label = "one thread" if threads == 1 else f"{threads} threads"
            lines.append(f"| ours: {name}, {row['isa']}, {label} | " + " | ".join(cells) + " |")
    text = signature(comparison.compiler, arguments.image, arguments.model, rounds, 10)
    text += " Whole detector, 8-bit pixels in, faces out; the light variant on seeded weights, which find nothing."
    write_section("table5", "\n".join(lines) + "\n\n" + text)


def update_kernels(arguments):
    binary = kernel_table.find_bench("bench_kernels")
    parts = []
    for isa in ("auto", "avx2"):
        report = kernel_table.run_bench(binary, isa, arguments.priority, "640x480")
        shown = report["context"]["isa"] if isa == "auto" else isa
        if f"peak_gflops_{shown}" not in report["context"] or (isa != "auto" and shown == report["context"]["isa"]):
            continue
        parts.append(f"### {shown}\n\n" + kernel_table.table(report, shown, detector_ms(shown)))
        compiler = report["context"]["compiler"]
    write_section("kernels", f"{compare.machine()}; {compiler}.\n\n" + "\n\n".join(parts))


def detector_ms(isa):
    """The detector's VGA time of the last comparison."""
    path = HERE / "results.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    row = compare.find(rows, "retinaface", "vga", 1, isa, "detector")
    return row["median_ms"] if row else None


def update_detector(arguments):
    binary = kernel_table.find_bench("bench_detector")

    def begin():
        if arguments.priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    env = {**os.environ, "RETINAFACE_BENCH_MODEL": str(arguments.model)}
    command = [str(binary), "--benchmark_format=json", "--benchmark_min_time=0.5", "--benchmark_filter=^detector/.*/avx"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env, preexec_fn=begin)
    report = json.loads(done.stdout)
    lines = ["| size | threads | isa | whole ms | pre ms | network ms | post ms |", "|---|---|---|---|---|---|---|"]
    for run in report["benchmarks"]:
        _, size, threads, isa = run["name"].replace("/real_time", "").split("/")
        values = (run[key] for key in ("total_ms", "pre_ms", "network_ms", "post_ms"))
        lines.append(f"| {size} | {threads.split(':')[1]} | {isa} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    write_section("detector", f"{compare.machine()}; {report['context']['compiler']}.\n\n" + "\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=compare.default_model())
    parser.add_argument("--image", default=compare.default_picture())
    parser.add_argument("--priority", action="store_true", help="real-time scheduling, on a machine that others use (needs root)")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs: to try it out")
    parser.add_argument("--no-build", action="store_true")
    arguments = parser.parse_args()
    arguments.rounds, arguments.burst = (2, 5) if arguments.quick else (14, 8)
    if not arguments.no_build:
        switches = {"BUILD_BENCH": "ON", "BUILD_TESTS": "OFF", "BUILD_CLI": "OFF", "BUILD_EXAMPLES": "OFF", "INSTALL": "OFF"}
        configure = ["cmake", "-S", str(ROOT), "-B", str(compare.BUILD), "-DCMAKE_BUILD_TYPE=Release"]
        configure += [f"-DRETINAFACE_{name}={value}" for name, value in switches.items()]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", str(compare.BUILD)], check=True, stdout=sys.stderr)
    for section in arguments.only.split(","):
        print(f"== {section}", file=sys.stderr, flush=True)
        {"compare": update_compare, "table5": update_table5, "kernels": update_kernels, "detector": update_detector}[section](arguments)


if __name__ == "__main__":
    main()
