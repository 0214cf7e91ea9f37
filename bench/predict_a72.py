#!/usr/bin/env python3
"""Predicted frame time on Cortex-A72, from the compiled program.

    predict_a72.py [--width 640 --height 480] [--frame PROGRAM] [--weights FILE] [--picture FILE]
    predict_a72.py --check-x86        the same method on this machine's kernels, against the clock
    predict_a72.py --loops FILE.s...  inner loops of the products in the assembler of both compilers

Method. bench/mca/frame.cpp runs whole frames under qemu-user with the plugin bench/mca/count.c, which counts how often every
translation block (a run of instructions up to a branch) is executed; the difference of a run of one frame and of none is one
frame, with everything in it: staging of pixels, all layers, transforms, epilogues, decoding, suppression.  llvm-mca gives each
block's cycles (its cortex-a72 takes LLVM's Cortex-A57 model: three micro-operations a cycle, one 128-bit
multiply-add a cycle).  Cycles times counts is the compute term.  It has no cache misses, no branch misses and no stalls
between blocks.  The plugin also models the caches (L1 32 KB 2 ways, L2 1 MB 16 ways, LRU, write back): misses and write-backs of
the L2 are the memory traffic, divided by the bandwidth (see BANDWIDTH).

    one core   max(compute, memory)
    two cores  max(compute of the kernels / 2, memory) + the serial rest, counted in a run with two threads, so that rows
               computed twice at the seam of the bands count

Needs: qemu-user, llvm-14 (llvm-mca), binutils-aarch64-linux-gnu, g++-aarch64-linux-gnu, a C compiler.
"""

import argparse
import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CLOCK = 1.8e9  # RK3399's A72 cores
# Bytes read and written a second. Copies of the RK3399 boards in sbc-bench's table (github.com/ThomasKaiser/sbc-bench, Results.md,
# tinymembench's memcpy, which counts a copied byte once): 2.2 GB/s (NanoPi NEO4, one memory channel) to 4.1 GB/s (NanoPC T4).
# The slowest, times two.
BANDWIDTH = 2 * 2.23e9

PARTS = [  # part, pattern of the demangled function, may run on every core
    ("Winograd products", r"gemm_\w+<(\(.*Epilogue\)0|true)", True),
    ("pointwise and lateral products", r"\bgemm\b|gemm_\w+<", True),
    ("Winograd transforms", r"\bconv3x3\(|winograd_(in|out)put", True),
    ("depthwise", r"dwconv3x3", True),
    ("first convolution", r"\bstem|stem_row", True),
    ("staging of pixels", r"load_pixels", True),
    ("class logits", r"class_logits", True),
    ("zeroing and copying", r"mem(set|cpy|move)", True),
    ("depth-first passes", r"Fused<|Separable<|Pass|Sequence<|ContextModule|FeaturePyramid|ThreadPool|Parallel|RetinaFace<", True),
]


def run(command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Target:
    """What differs between the board and the machine this runs on."""

    def __init__(self, arch, model="icelake-server"):
        self.arm = arch == "aarch64"
        self.mca = ["-mtriple=aarch64", "-mcpu=cortex-a72"] if self.arm else ["-mtriple=x86_64", f"-mcpu={model}"]
        self.qemu = ["qemu-aarch64", "-cpu", "cortex-a72"] if self.arm else ["qemu-x86_64", "-cpu", "max"]
        self.objdump = "aarch64-linux-gnu-objdump" if self.arm else "objdump"
        self.compiler = "aarch64-linux-gnu-g++" if self.arm else "g++"
        self.flags = ["-mcpu=cortex-a72"] if self.arm else ["-march=haswell"]


class Program:
    """A static program: its instructions by address."""

    def __init__(self, path, target):
        self.path, self.target = path, target
        self.code, self.function = {}, {}
        function = ""
        for line in run([target.objdump, "-d", "-C", "--no-show-raw-insn", path]).splitlines():
            label = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
            if label:
                function = label.group(1)
                continue
            instruction = re.match(r"^\s+([0-9a-f]+):\s+(\S.*)$", line)
            if instruction:
                address = int(instruction.group(1), 16)
                self.code[address] = instruction.group(2)
                self.function[address] = function
        self.addresses = sorted(self.code)
        self.cycles_of = {}

    def block(self, address, size):
        return [self.code[a] for a in range(address, address + size) if a in self.code]

    def cycles(self, address, size):
        """Cycles of one execution in a steady state, or None where llvm-mca knows an instruction not."""
        key = (address, size)
        if key not in self.cycles_of:
            block = self.block(address, size)
            target = re.search(r"\b(?:0x)?([0-9a-f]+) <", block[-1]) if block else None
            self.cycles_of[key] = mca(block, self.target, is_loop=bool(target) and int(target.group(1), 16) == address)
        return self.cycles_of[key]


def clean(instruction):
    """objdump's text as an assembler reads it: no comments, branches to a name."""
    text = re.sub(r"\s*(//|#\s).*$", "", instruction)
    text = re.sub(r"(0x)?[0-9a-f]+ <.*>", "x", text)
    text = re.sub(r"^(notrack|bnd)\s+", "", text)
    return text


def mca(instructions, target, iterations=100, is_loop=True):
    """Cycles of a block: simulated where the block is a loop by itself, else what its operations take of the ports and of the
    dispatch (run behind itself it would wait for results that really come from other blocks)."""
    lines = [clean(i) for i in instructions]
    # What llvm-mca refuses is left out; such instructions (system registers, barriers) are rare.
    for _ in range(len(lines)):
        if not lines:
            return 0.0
        done = subprocess.run(
            ["llvm-mca-14", *target.mca, f"-iterations={iterations}", "-instruction-info=false", "-resource-pressure=false"],
            input="\n".join(lines), capture_output=True, text=True, check=False)
        total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
        if done.returncode == 0 and total and not is_loop:
            width = int(re.search(r"Dispatch Width:\s+(\d+)", done.stdout).group(1))
            operations = int(re.search(r"Total uOps:\s+(\d+)", done.stdout).group(1)) / iterations
            return max(float(re.search(r"Block RThroughput:\s+([\d.]+)", done.stdout).group(1)), operations / width)
        if done.returncode == 0 and total:
            # A single run's latency lies in the total once; over many iterations it vanishes.
            return int(total.group(1)) / iterations
        bad = re.search(r":(\d+):\d+: error", done.stderr)
        if not bad:
            return None
        del lines[int(bad.group(1)) - 1]
    return None


def counts(target, plugin, program, arguments, cache):
    with tempfile.NamedTemporaryFile() as out:
        option = f"{plugin},out={out.name}" + (",cache=on" if cache else "")
        run([*target.qemu, "-plugin", option, program, *arguments])
        blocks, traffic = collections.Counter(), None
        for line in Path(out.name).read_text().splitlines():
            fields = line.split()
            if fields[0] == "tb":
                blocks[int(fields[1], 16), int(fields[3]), int(fields[2])] += int(fields[4])
            else:
                traffic = [int(field) for field in fields[1:]]
        return blocks, traffic


def one_frame(target, plugin, program, arguments, threads, isa, picture, cache=False):
    """Block counts (and cache traffic) of one frame: a run of one frame minus a run of none."""
    def of(frames):
        extra = [picture] if picture else []
        return counts(target, plugin, program, [*arguments, str(frames), str(threads), isa, *extra], cache)
    (two, traffic2), (one, traffic1) = of(1), of(0)
    # Loading and packing of the weights runs in both and cancels out.
    frame = {key: two[key] - one[key] for key in two if two[key] > one[key]}
    traffic = [a - b for a, b in zip(traffic2, traffic1)] if cache else None
    return frame, traffic


def part_of(function):
    for part, pattern, parallel in PARTS:
        if re.search(pattern, function):
            return part, parallel
    return "decoding, suppression, rest", False


def compute(program, frame, covered=0.9995):
    """{part: [cycles, instructions, parallel]} of one frame; the rare rest is charged at the average."""
    parts = collections.defaultdict(lambda: [0.0, 0, True])
    instructions = sum(key[2] * count for key, count in frame.items())
    done = 0
    for (address, size, n), count in sorted(frame.items(), key=lambda item: -item[0][2] * item[1]):
        if done > covered * instructions:
            break
        part, parallel = part_of(program.function.get(address, ""))
        cycles = program.cycles(address, size)
        cycles = n / 1.0 if cycles is None else cycles  # not in the program's file or not known: one a cycle
        parts[part][0] += cycles * count
        parts[part][1] += n * count
        parts[part][2] = parallel
        done += n * count
    if done < instructions:
        parts["rare blocks"] = [(instructions - done) * sum(p[0] for p in parts.values()) / done, instructions - done, False]
    return parts, instructions


def build(target, folder, static=True):
    program = folder / f"frame_{'arm' if target.arm else 'x86'}"
    run([target.compiler, "-std=c++17", "-O2", *target.flags, "-DRETINAFACE_STATIC_DISPATCH", *(["-static"] if static else []),
         f"-I{ROOT / 'include'}", HERE / "mca" / "frame.cpp", "-o", program])
    return program


def build_plugin(folder):
    plugin = folder / "count.so"
    run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "mca" / "count.c"])
    return plugin


def predict(options, folder):
    target = Target("aarch64")
    plugin = build_plugin(folder)
    path = options.frame or build(target, folder)
    program = Program(path, target)
    arguments = [options.weights, str(options.width), str(options.height)]
    frame, (accesses, l1, l2, back) = one_frame(target, plugin, path, arguments, 1, "neon", options.picture, cache=True)
    parts, instructions = compute(program, frame)
    traffic = 64 * (l2 + back)

    total = sum(part[0] for part in parts.values())
    print(f"{options.width} x {options.height}, one frame, {path}")
    print(f"{'part':34}{'Minstr':>9}{'Mcycles':>9}{'ms':>8}{'share':>8}")
    for name, (cycles, n, _) in sorted(parts.items(), key=lambda item: -item[1][0]):
        print(f"{name:34}{n / 1e6:9.2f}{cycles / 1e6:9.2f}{1e3 * cycles / CLOCK:8.2f}{100 * cycles / total:7.1f}%")
    print(f"{'all':34}{instructions / 1e6:9.2f}{total / 1e6:9.2f}{1e3 * total / CLOCK:8.2f}")
    print(f"loads and stores {accesses / 1e6:.1f} M, L1 misses {l1 / 1e6:.2f} M, L2 misses {l2 / 1e6:.3f} M, written back {back / 1e6:.3f} M lines:"
          f" {traffic / 1e6:.1f} MB")
    memory = traffic / BANDWIDTH
    one = max(total / CLOCK, memory)

    frame2, _ = one_frame(target, plugin, path, arguments, 2, "neon", options.picture)
    parts2, instructions2 = compute(program, frame2)
    parallel = sum(p[0] for p in parts2.values() if p[2])
    serial = sum(p[0] for p in parts.values() if not p[2])
    two = max(parallel / 2 / CLOCK, memory) + serial / CLOCK
    print(f"instructions with two threads {instructions2 / 1e6:.1f} M; kernels {1e3 * parallel / 2 / CLOCK:.2f} ms a core, serial "
          f"{1e3 * serial / CLOCK:.2f} ms, memory {1e3 * memory:.2f} ms at {BANDWIDTH / 1e9:.1f} GB/s")
    print(f"predicted: one A72 {1e3 * one:.1f} ms, two A72 {1e3 * two:.1f} ms")
    if options.error:
        print(f"with the method's error of {100 * options.error:.0f} % added: one {1e3 * one * (1 + options.error):.1f} ms, "
              f"two {1e3 * two * (1 + options.error):.1f} ms")


def loops(paths):
    """Inner loops with 32 multiply-adds or more: share of the multiply-add pipe, spills. Exit code 1 under 85 % or with spills."""
    target, bad, found = Target("aarch64"), 0, 0
    for path in paths:
        lines = Path(path).read_text().splitlines()
        labels, function = {}, ""
        for i, line in enumerate(lines):
            label = re.match(r"^([A-Za-z_.$][\w.$]*):", line)
            if label:
                labels[label.group(1)] = i
                if not label.group(1).startswith(".L"):
                    function = label.group(1)
            jump = re.match(r"^\s+(?:b\.?\w+|cbn?z)\s+(?:\w+,\s*)?(\.L\w+)", line)
            if not jump or jump.group(1) not in labels:
                continue
            body = [b for b in lines[labels[jump.group(1)] + 1 : i + 1] if re.match(r"^\s+[a-z]", b)]
            adds = sum(bool(re.match(r"\s+fmla\s.*\[[0-3]\]", b)) for b in body)
            if adds < 32 or any(re.match(r"^\s+(b|bl|b\.\w+|cbn?z)\s", b) for b in body[:-1]) or "gemm" not in function:
                continue
            spills = sum(bool(re.search(r"\b(st|ld)[rp]\s+[qdsv].*\[sp", b)) for b in body)
            body = [re.sub(r"\s*//.*", "", b).replace(jump.group(1), "x") for b in body]
            cycles = mca(body, target, 1000)
            share = adds / cycles
            found += 1
            good = share >= 0.85 and spills == 0
            bad += not good
            kind = "Winograd" if "Lb1E" in function else "pointwise"
            print(f"{Path(path).name}: {kind} product, {jump.group(1)}: {adds} multiply-adds, {len(body)} instructions, "
                  f"{cycles:.1f} cycles, {100 * share:.1f} % of the pipe, {spills} spills{'' if good else '  BAD'}")
    return 1 if bad or not found else 0


def check_loops(options, folder):
    paths = options.loops
    if not paths:
        source = HERE / "mca" / "kernels.cpp"
        for name, compiler in (("gcc", ["aarch64-linux-gnu-g++"]), ("clang", ["clang++-14", "--target=aarch64-linux-gnu"])):
            paths.append(folder / f"{name}.s")
            run([*compiler, "-std=c++17", "-O2", "-mcpu=cortex-a72", "-DRETINAFACE_STATIC_DISPATCH", f"-I{ROOT / 'include'}", "-S", source,
                 "-o", paths[-1]])
    return loops(paths)


def check_x86(options, folder):
    """The method's error: three kernels and the whole frame of the avx2 set, predicted and timed."""
    target = Target("x86", options.x86_model)
    plugin = build_plugin(folder)
    path = folder / "kernels_x86"
    run([target.compiler, "-std=c++17", "-O2", *target.flags, "-DRETINAFACE_STATIC_DISPATCH", "-static", f"-I{ROOT / 'include'}",
         HERE / "mca" / "kernels_clock.cpp", "-o", path])
    program = Program(path, target)
    worst = 0.0
    pin = ["chrt", "-f", "50", "taskset", "-c", "0"]
    names = run([path]).split()
    print(f"{'kernel':26}{'predicted cycles':>18}{'measured cycles':>17}{'error':>8}")
    for name in names:
        one, _ = counts(target, plugin, path, [name, "100"], False)
        two, _ = counts(target, plugin, path, [name, "200"], False)
        frame = {key: two[key] - one[key] for key in two if two[key] > one[key]}
        parts, _ = compute(program, frame)
        predicted = sum(part[0] for part in parts.values()) / 100
        measured = float(run([*pin, path, name, "0"]).split()[-1])
        worst = max(worst, abs(predicted / measured - 1))
        print(f"{name:26}{predicted:18.0f}{measured:17.0f}{100 * (predicted / measured - 1):+7.1f}%")
    print(f"largest error {100 * worst:.1f} %")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--frame", type=Path, help="bench/mca/frame.cpp, compiled statically (default: compiles it)")
    parser.add_argument("--weights", default=ROOT / "tests/data/seeded_mobilenet025.safetensors")
    parser.add_argument("--picture", help="safetensors file with a tensor `image`, repeated to fill the frame")
    parser.add_argument("--error", type=float, default=0.0, help="the method's error (see --check-x86), added to the result")
    parser.add_argument("--check-x86", action="store_true")
    parser.add_argument("--x86-model", default="icelake-server", help="llvm-mca's processor for --check-x86")
    parser.add_argument("--loops", nargs="*", type=Path, help="assembler files (default: compiles bench/mca/kernels.cpp with both compilers)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.loops is not None:
            return check_loops(options, Path(folder))
        if options.check_x86:
            return check_x86(options, Path(folder))
        predict(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
