#!/usr/bin/env python3
"""What the wide networks cost beside PyTorch, on this machine (docs/wide-networks.md).

    wide_torch.py deform                        deformable 3 x 3, 256 channels, 80 x 80: ours against torchvision.ops.deform_conv2d
    wide_torch.py network paper FILE            a whole network: time, and peak memory less image and what Python takes by itself
    wide_torch.py network resnet50 FILE --size 640x480

Ours is build/release/bin/bench_wide (or --bench); FILE is the network's weights file.  PyTorch runs the model of tools/oracle with random
weights, in float32, under no_grad, convolution and BatchNorm as the original code has them.  One thread each, in turns, in processes of
their own.  Needs torch and torchvision (Debian: python3-torchvision).
"""

import argparse
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "oracle"))


def milliseconds(run):
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def torch_threads():
    import torch

    torch.set_num_threads(1)
    return torch


def torch_deform():
    """The median of five runs, in ms."""
    torch = torch_threads()
    from torchvision.ops import deform_conv2d

    generator = torch.Generator().manual_seed(1)
    uniform = lambda *shape: 2 * torch.rand(shape, generator=generator) - 1  # noqa: E731
    x, weight = uniform(1, 256, 80, 80), uniform(256, 256, 3, 3) / 10
    offset, mask = 6 * uniform(1, 18, 80, 80), 2 * torch.rand((1, 9, 80, 80), generator=generator)
    run = lambda: deform_conv2d(x, offset, weight, uniform(256), padding=1, mask=mask)  # noqa: E731
    with torch.no_grad():
        run()
        print(statistics.median(milliseconds(run) for _ in range(5)))


def torch_network(kind, size):
    """The median of three runs in ms, and the peak of memory in MB less what loading PyTorch took."""
    torch = torch_threads()
    import heavy_networks

    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = heavy_networks.Paper() if kind == "paper" else heavy_networks.ThreeLevels(kind == "preactivation")
    network.eval()
    width, height = size
    pixels = heavy_networks.network_input(heavy_networks.make_image(width, height), kind == "preactivation").float()
    with torch.no_grad():
        network(pixels)
        time_ms = statistics.median(milliseconds(lambda: network(pixels)) for _ in range(3))
    print(time_ms, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024 / 1e6)


def child(*arguments):
    """The numbers that this script prints as another process."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("deform", "network", "torch-deform", "torch-network"))
    parser.add_argument("network", nargs="?", choices=("paper", "resnet50", "preactivation"))
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--size", default="640x480", metavar="WxH")
    parser.add_argument("--bench", type=Path, default=ROOT / "build" / "release" / "bin" / "bench_wide")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    if arguments.what == "torch-deform":
        return torch_deform()
    if arguments.what == "torch-network":
        return torch_network(arguments.network, (width, height))
    if arguments.what == "network" and arguments.file is None:
        parser.error("network: which one, and its weights file")

    def ours(*words):
        done = subprocess.run([str(arguments.bench), *map(str, words)], stdout=subprocess.PIPE, check=True, text=True)
        return done.stdout

    ratios = []
    for _ in range(arguments.rounds):
        if arguments.what == "deform":
            row = next(line for line in ours("deform").splitlines() if line.startswith("| up to +-6"))
            found, other = float(row.split("|")[3]), child("torch-deform")[0]
            print(f"ours {found:.1f} ms, torchvision {other:.1f} ms")
        else:
            text = ours("memory", arguments.file, "--size", arguments.size)
            found = float(re.search(r"one thread: (\d+) ms", text).group(1))
            peak = float(re.search(r"peak ([\d.]+) MB in all", text).group(1))
            other, other_peak = child("torch-network", arguments.network, "--size", arguments.size)
            print(f"ours {found:.0f} ms, peak {peak:.0f} MB; PyTorch {other:.0f} ms, peak {other_peak:.0f} MB")
        ratios.append(found / other)
    print(f"ours / PyTorch: {statistics.median(ratios):.3f} (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
