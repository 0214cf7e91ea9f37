#!/usr/bin/env python3
"""Golden outputs of a weights file from PyTorch, for tests that need no reference weights.

    seeded_golden.py tests/data/seeded_mobilenet025.safetensors -o tests/data/golden_mobilenet025_biubug6.safetensors
    seeded_golden.py ... --profile insightface      the same values under another profile

The network is written here a second time, from `weights/README.md` alone, in double precision, and shares no code with
the converter or the library: what it is compared with cannot be wrong in the same way.  Needs torch and numpy.

The output is a safetensors file.  For each image `WxH`: `WxH.image` U8 [H, W, 3] (R, G, B), `WxH.class` F32 [N, 2]
(logits), `WxH.box` F32 [N, 4], `WxH.landmark` F32 [N, 10].
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SIZES = ((1, 1), (33, 47), (64, 48), (129, 97))  # width, height


class WithActivation(nn.Sequential):
    """Convolution with bias, then the given activation."""

    def __init__(
        self, c_in: int, c_out: int, size: int, activation: nn.Module, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(nn.Conv2d(c_in, c_out, size, stride, size // 2, groups=groups), activation)


class Separable(nn.Module):
    """Depthwise 3x3 and pointwise 1x1, each with activation."""

    def __init__(self, c_in: int, c_out: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.depthwise = WithActivation(c_in, c_in, 3, activation, stride, groups=c_in)
        self.pointwise = WithActivation(c_in, c_out, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class Context(nn.Module):
    """Three receptive fields of 3x3 convolutions side by side: 32 + 16 + 16 channels."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv5_1 = WithActivation(64, 16, 3, activation)
        self.conv5_2 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv7_2 = WithActivation(16, 16, 3, activation)
        self.conv7_3 = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5_1(x)
        return torch.relu(torch.cat((self.conv3(x), self.conv5_2(shared), self.conv7_3(self.conv7_2(shared))), dim=1))


class RetinaFace(nn.Module):
    """Backbone, feature pyramid, context modules, heads."""

    def __init__(self, light: bool, activation: nn.Module) -> None:
        super().__init__()
        if light:
            self.conv0 = WithActivation(3, 16, 7, activation, stride=4)
            first = {2: (16, 32, 1)}
        else:
            self.conv0 = WithActivation(3, 8, 3, activation, stride=2)
            first = {1: (8, 16, 1), 2: (16, 32, 2)}
        rest = {3: (32, 32, 1), 4: (32, 64, 2), 5: (64, 64, 1), 6: (64, 128, 2), 12: (128, 256, 2), 13: (256, 256, 1)}
        rest.update({index: (128, 128, 1) for index in range(7, 12)})
        self.blocks = nn.ModuleDict(
            {str(index): Separable(*size, activation) for index, size in sorted({**first, **rest}.items())}
        )
        self.lateral = nn.ModuleDict(
            {level: WithActivation(c, 64, 1, activation) for level, c in (("p3", 64), ("p4", 128), ("p5", 256))}
        )
        self.merge = nn.ModuleDict({level: WithActivation(64, 64, 3, activation) for level in ("p3", "p4")})
        self.context = nn.ModuleDict({level: Context(activation) for level in ("p3", "p4", "p5")})
        self.head = nn.ModuleDict(
            {
                level: nn.ModuleDict(
                    {"class": nn.Conv2d(64, 4, 1), "box": nn.Conv2d(64, 8, 1), "landmark": nn.Conv2d(64, 20, 1)}
                )
                for level in ("p3", "p4", "p5")
            }
        )

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        taps = {}
        x = self.conv0(x)
        for index, block in self.blocks.items():
            x = block(x)
            taps[index] = x
        p3 = self.lateral["p3"](taps["5"])
        p4 = self.lateral["p4"](taps["11"])
        p5 = self.lateral["p5"](taps["13"])
        p4 = self.merge["p4"](p4 + doubled(p5, p4))
        p3 = self.merge["p3"](p3 + doubled(p4, p3))
        outputs: Dict[str, List[Tensor]] = {"class": [], "box": [], "landmark": []}
        for level, feature in (("p3", p3), ("p4", p4), ("p5", p5)):
            feature = self.context[level](feature)
            for kind, width in (("class", 2), ("box", 4), ("landmark", 10)):
                outputs[kind].append(self.head[level][kind](feature)[0].permute(1, 2, 0).reshape(-1, width))
        return {kind: torch.cat(parts) for kind, parts in outputs.items()}

    def parameter(self, name: str) -> Tensor:
        """The parameter that a weights file calls `name`."""
        part, *path, kind = name.split(".")
        module: nn.Module
        if part == "backbone":
            module = self.conv0 if path == ["conv0"] else getattr(self.blocks[path[0][len("block") :]], path[1])
        elif part == "fpn":
            module = getattr(self, path[1])[path[0]]
        elif part == "context":
            module = getattr(self.context[path[0]], path[1])
        else:
            module = self.head[path[0]][path[1]]
        if isinstance(module, WithActivation):
            module = module[0]
        return getattr(module, kind)


def doubled(coarse: Tensor, like: Tensor) -> Tensor:
    """Twice the size by repetition, cropped to the other map's size."""
    twice = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return twice[:, :, : like.shape[2], : like.shape[3]]


def read_safetensors(path: Path) -> Tuple[Dict[str, str], Dict[str, np.ndarray]]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = {"F32": "<f4", "F16": "<f2", "U8": "u1"}[entry["dtype"]]
        tensors[name] = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype).reshape(entry["shape"])
    return metadata, tensors


def write_safetensors(path: Path, metadata: Dict[str, str], tensors: Dict[str, np.ndarray]) -> None:
    header: Dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name, tensor in tensors.items():
        dtype = {"float32": "F32", "uint8": "U8"}[str(tensor.dtype)]
        data = tensor.tobytes()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def load_network(path: Path, profile: str) -> Tuple[RetinaFace, Dict[str, str]]:
    """The network in double with the file's values; every parameter is set exactly once."""
    metadata, tensors = read_safetensors(path)
    slope = 0.1 if (profile or metadata["profile"]) == "biubug6" else 0.0
    network = RetinaFace(metadata["architecture"] == "mobilenet025_light", nn.LeakyReLU(slope)).double()
    waiting = {id(parameter) for parameter in network.parameters()}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name.startswith("selftest."):
                continue
            parameter = network.parameter(name)
            waiting.remove(id(parameter))
            values = torch.from_numpy(tensor.astype(np.float64))
            if values.shape != parameter.shape:
                raise SystemExit(f"{name}: expected shape {tuple(parameter.shape)}, found {tuple(values.shape)}")
            parameter.copy_(values)
    if waiting:
        raise SystemExit(f"{path}: {len(waiting)} parameters have no value")
    return network.eval(), metadata


def make_image(width: int, height: int) -> np.ndarray:
    """Blotches of a few pixels with noise on them."""
    random = np.random.RandomState(width * 1000 + height)
    blotches = random.randint(0, 200, (height // 7 + 1, width // 7 + 1, 3))
    image = blotches.repeat(7, axis=0).repeat(7, axis=1)[:height, :width]
    return (image + random.randint(0, 56, image.shape)).astype(np.uint8)


def network_input(image: np.ndarray, profile: str) -> Tensor:
    pixels = torch.from_numpy(image.copy()).double().permute(2, 0, 1)[None]
    if profile == "insightface":  # R, G, B as they are, padded right and bottom to a multiple of 32
        return functional.pad(pixels, (0, -image.shape[1] % 32, 0, -image.shape[0] % 32))
    return pixels.flip(1) - torch.tensor([104.0, 117.0, 123.0], dtype=torch.float64).reshape(1, 3, 1, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--profile", choices=("biubug6", "insightface", "paper"), help="default: as the weights file says"
    )
    args = parser.parse_args()

    network, metadata = load_network(args.weights, args.profile)
    profile = args.profile or metadata["profile"]
    tensors: Dict[str, np.ndarray] = {}
    for width, height in SIZES:
        image = make_image(width, height)
        with torch.no_grad():
            outputs = network(network_input(image, profile))
        name = f"{width}x{height}"
        tensors[f"{name}.image"] = image
        for kind, value in outputs.items():
            tensors[f"{name}.{kind}"] = value.numpy().astype(np.float32)
        spread = ", ".join(f"{kind} {value.abs().max():.3g}" for kind, value in outputs.items())
        print(f"{name}: {len(outputs['class'])} anchors, largest {spread}")
    description = {
        "architecture": metadata["architecture"],
        "profile": profile,
        "weights": args.weights.name,
        "weights_sha256": hashlib.sha256(args.weights.read_bytes()).hexdigest(),
        "tool": "tools/seeded_golden.py",
    }
    write_safetensors(args.output, description, tensors)
    return 0


if __name__ == "__main__":
    sys.exit(main())
