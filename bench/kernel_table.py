#!/usr/bin/env python3
"""Makes the table of kernels of bench/README.md: each kernel's time in a frame, share of the measured peak, floor, and the reason
where it runs under 60 % of its floor's rate (bench/kernel_reasons.txt).

    kernel_table.py [--isa avx512] [--json FILE]         runs bench_kernels of build/bench or build/release, on core 0
    bench_kernels --benchmark_format=json > k.json; kernel_table.py k.json
"""

import argparse
import fnmatch
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
ENOUGH = 0.60


def run_bench(binary, isa, priority, size):
    """The JSON of bench_kernels for one instruction set ("auto": the best)."""

    def begin():
        os.sched_setaffinity(0, {0})
        if priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    command = [str(binary), "--benchmark_format=json", "--benchmark_min_time=0.03", "--benchmark_repetitions=5", f"--size={size}"]
    command.append("--benchmark_enable_random_interleaving=true")
    if isa != "auto":
        command.append(f"--benchmark_filter=/{isa}$")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=begin)
    if done.returncode != 0:
        raise SystemExit(f"kernel_table.py: {binary}: {done.stderr.strip()[-300:]}")
    for line in done.stderr.splitlines():
        if line.startswith("bench_kernels:"):
            print(line, file=sys.stderr)
    return json.loads(done.stdout)


def read_reasons(path=HERE / "kernel_reasons.txt"):
    reasons = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.partition("\t")
            reasons.append((pattern, reason))
    return reasons


def measurements(report, isa):
    """[{name, kernel, layer, ms, floor_ms, times, ...}] in the bench's order; the time is the median of the repetitions' CPU time."""
    found = {}
    for run in report["benchmarks"]:
        if run.get("run_type") == "aggregate":
            continue
        name = run.get("run_name", run["name"])
        kernel, layer, run_isa = name.split("/")
        if run_isa != isa:
            continue
        entry = found.setdefault((run.get("family_index", len(found)), name), {"name": name, "kernel": kernel, "layer": layer, "runs": []})
        entry["runs"].append(run["cpu_time"])
        entry.update(times=int(run["times"]), floor_ms=run.get("floor_ms", 0.0), bytes=run["bytes"])
        entry["flop"] = run["FLOP/s"] * run["cpu_time"] / 1e3
    rows = [found[key] for key in sorted(found)]
    for row in rows:
        row["ms"] = statistics.median(row["runs"])
    return rows


def table(report, isa="auto", detector_ms=None):
    """Markdown."""
    if isa == "auto":
        isa = report["context"]["isa"]
    peak = float(report["context"][f"peak_gflops_{isa}"])
    rows, reasons = measurements(report, isa), read_reasons()
    lines = [
        f"{isa}, {report['context']['size'].replace('x', ' x ')}, one thread; measured peak {peak:.0f} GFLOP/s. A row is one layer of a frame"
        " (`n x`: so many layers, times summed).",
        "",
        "| kernel | layer | ms | floor ms | GFLOP/s | share of peak | GB/s | under 60 %: why |",
        "|---|---|---|---|---|---|---|---|",
    ]
    totals, total_ms, total_floor = {}, 0.0, 0.0
    for row in rows:
        times = max(1, row["times"])
        share = row["floor_ms"] / row["ms"] if row["ms"] else 0
        reason = ""
        if share < ENOUGH:
            reason = next((r for pattern, r in reasons if fnmatch.fnmatch(row["name"], pattern)), "to be explained")
        layer = row["layer"] if row["times"] > 0 else f"{row['layer']} (only where the score passes: not in the sum)"
        if times > 1:
            layer += f" ({times} x)"
        lines.append(
            f"| {row['kernel']} | {layer} | {times * row['ms']:.3f} | {times * row['floor_ms']:.3f} | {row['flop'] / row['ms'] / 1e6:.0f} "
            f"| {100 * share:.0f} % | {row['bytes'] / row['ms'] / 1e6:.0f} | {reason} |"
        )
        if row["times"] > 0:
            entry = totals.setdefault(row["kernel"], [0, 0.0, 0.0])
            entry[0] += times
            entry[1] += times * row["ms"]
            entry[2] += times * row["floor_ms"]
            total_ms += times * row["ms"]
            total_floor += times * row["floor_ms"]
    lines += ["", "| kernel | layers | ms a frame | floor ms | share of peak | share of the sum |", "|---|---|---|---|---|---|"]
    for kernel, (count, ms, floor) in totals.items():
        lines.append(f"| {kernel} | {count} | {ms:.2f} | {floor:.2f} | {100 * floor / ms:.0f} % | {100 * ms / total_ms:.0f} % |")
    lines.append(f"| **sum** | | **{total_ms:.2f}** | **{total_floor:.2f}** | {100 * total_floor / total_ms:.0f} % | |")
    if detector_ms is not None:
        lines.append(f"| the whole detector, in the comparison above | | **{detector_ms:.2f}** | | {100 * total_floor / detector_ms:.0f} % | |")
    return "\n".join(lines)


def find_bench(name):
    for build in ("bench", "release"):
        path = ROOT / "build" / build / "bin" / name
        if path.exists():
            return path
    raise SystemExit(f"kernel_table.py: {name} is not built: cmake --preset release && cmake --build --preset release")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?", type=pathlib.Path, help="JSON of bench_kernels (default: run it)")
    parser.add_argument("--bench", type=pathlib.Path, help="the program to run")
    parser.add_argument("--isa", default="auto")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--priority", action="store_true", help="real-time scheduling, on a machine that others use (needs root)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also keep the report")
    arguments = parser.parse_args()
    if arguments.report:
        report = json.loads(arguments.report.read_text())
    else:
        report = run_bench(arguments.bench or find_bench("bench_kernels"), arguments.isa, arguments.priority, arguments.size)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report, arguments.isa))


if __name__ == "__main__":
    main()
