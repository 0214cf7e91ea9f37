#!/usr/bin/env python3
"""The mesh decoder's layers in PyTorch's sparse CSR, beside ours, on this machine (docs/mesh.md).

    mesh_torch.py FILE [--bench build/release/bin/bench_mesh] [--rounds 3]      FILE: python3 tools/mesh/seeded.py --out FILE

One face, one thread, in turns, in processes of their own.  Needs torch.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from retinaface_weights import archive  # noqa: E402


def torch_decoder(path):
    """The chain of layers of a mesh file as a function of a latent [128]."""
    import torch

    torch.set_num_threads(1)
    tensors = archive.load(path.read_bytes()).tensors

    def dense(name):
        return torch.from_numpy(np.array(tensors[name], np.float32))

    def sparse(name, columns):
        counts = tensors[f"{name}.counts"].astype(np.int64)
        starts = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        indices = torch.from_numpy(np.ascontiguousarray(tensors[f"{name}.indices"]).view("<u2")[..., 0].astype(np.int64))
        return torch.sparse_csr_tensor(starts, indices, dense(f"{name}.values"), (len(counts), columns))

    coarse, features = dense("fc.bias").shape
    layers = []
    columns = coarse
    while f"level{len(layers)}.weight" in tensors:
        name = f"level{len(layers)}"
        upsample = sparse(f"{name}.upsample", columns)
        columns = upsample.shape[0]
        layers.append((upsample, sparse(f"{name}.laplacian", columns), dense(f"{name}.weight"), dense(f"{name}.bias")))
    laplacian = layers[-1][1]
    first, bias, last, mean = dense("fc.weight"), dense("fc.bias"), dense("last.weight"), dense("mean")

    def chebyshev(matrix, x, weight):
        """weight [F_in * K, F_out], row = f_in * K + k."""
        terms = [x, matrix @ x]
        for _ in range(2, weight.shape[0] // x.shape[1]):
            terms.append(2 * (matrix @ terms[-1]) - terms[-2])
        return torch.stack(terms, 2).reshape(len(x), -1) @ weight

    def decode(latent):
        x = first.reshape(coarse * features, -1) @ latent
        x = x.reshape(coarse, features) + bias
        for upsample, matrix, weight, offset in layers:
            x = torch.relu(chebyshev(matrix, upsample @ x, weight) + offset)
        return chebyshev(laplacian, x, last) + mean

    return torch, decode


def time_torch(path):
    """The median of 15 runs, in ms."""
    torch, decode = torch_decoder(path)
    latent = torch.full((128,), 0.3)
    times = []
    with torch.no_grad():
        for _ in range(18):
            start = time.perf_counter()
            decode(latent)
            times.append(1e3 * (time.perf_counter() - start))
    print(statistics.median(times[3:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--bench", type=Path, default=ROOT / "build" / "release" / "bin" / "bench_mesh")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch:
        return time_torch(arguments.file)
    ratios = []
    for _ in range(arguments.rounds):
        text = subprocess.run([str(arguments.bench), "--seeded", str(arguments.file)], stdout=subprocess.PIPE, check=True, text=True).stdout
        ours = float(re.search(r"one face: ([\d.]+) ms", text).group(1))
        child = subprocess.run([sys.executable, __file__, "--torch", str(arguments.file)], stdout=subprocess.PIPE, check=True, text=True)
        other = float(child.stdout)
        print(f"ours {ours:.2f} ms, PyTorch {other:.1f} ms")
        ratios.append(other / ours)
    print(f"PyTorch / ours: {statistics.median(ratios):.1f} (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
