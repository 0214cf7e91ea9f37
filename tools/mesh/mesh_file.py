"""Weights files of the mesh decoder: format and names in docs/mesh.md."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from decoder import Decoder
from hierarchy import Csr, Hierarchy
from retinaface_weights import archive, header_export

if TYPE_CHECKING:
    from train_decoder import Components

VERSION = "1.0.0"
METADATA = {
    "format": archive.MESH_FORMAT,
    "architecture": "mesh_decoder",
    "version": VERSION,
    "source": "trained by tools/mesh on ICT-FaceKit's face area (USC-ICT, https://github.com/USC-ICT/ICT-FaceKit)",
    "licence": "MIT, with the notice of ICT-FaceKit (LICENSE.ICT-FaceKit)",
}


def indices(values: np.ndarray) -> np.ndarray:
    """Indices as 16-bit little-endian bytes: [..., 2] U8."""
    assert values.min(initial=0) >= 0 and values.max(initial=0) < 1 << 16
    return np.ascontiguousarray(values, "<u2")[..., None].view(np.uint8).reshape(*values.shape, 2)


def add_csr(tensors: Dict[str, np.ndarray], name: str, matrix: Csr, dtype: type) -> None:
    tensors[f"{name}.counts"] = np.diff(matrix.starts).astype(np.uint8)
    tensors[f"{name}.indices"] = indices(matrix.indices)
    tensors[f"{name}.values"] = matrix.values.astype(dtype)


def add_network(tensors: Dict[str, np.ndarray], decoder: Decoder, hierarchy: Hierarchy, dtype: type) -> None:
    """Every tensor that decoding needs but the mean."""

    def rows(weight: torch.Tensor) -> np.ndarray:
        """[K, F_in, F_out] -> [F_in * K, F_out], row = f_in * K + k."""
        return weight.detach().permute(1, 0, 2).reshape(-1, weight.shape[2]).numpy().astype(dtype)

    tensors["fc.weight"] = decoder.fc_weight.detach().numpy().astype(dtype).reshape(decoder.coarse, -1, 128)
    tensors["fc.bias"] = decoder.fc_bias.detach().numpy().astype(dtype).reshape(decoder.coarse, -1)
    for step, (weight, bias) in enumerate(zip(decoder.weights, decoder.biases)):
        level = len(decoder.filters) - 1 - step
        add_csr(tensors, f"level{step}.upsample", hierarchy.upsample[level], dtype)
        add_csr(tensors, f"level{step}.laplacian", hierarchy.levels[level].laplacian, dtype)
        tensors[f"level{step}.weight"] = rows(weight)
        tensors[f"level{step}.bias"] = bias.detach().numpy().astype(dtype)
    tensors["last.weight"] = rows(decoder.last)


def round_parameters(decoder: Decoder, hierarchy: Hierarchy) -> None:
    """Weights and matrices as fp16 stores them, so that the mean can make up for the rounding."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.half().float())
    for operator in [*decoder.laplacians, *decoder.upsample]:
        matrix = operator.matrix
        operator.matrix = torch.sparse_coo_tensor(matrix.indices(), matrix.values().half().float(), matrix.shape).coalesce()
        operator.transposed = operator.matrix.t().coalesce()


def five_points(landmarks: torch.Tensor) -> torch.Tensor:
    """The detector's five points [5, ...] of 68 landmarks: eyes (image left first), nose tip, mouth corners."""
    return torch.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]])


def write_weights(
    path: Path, decoder: Decoder, hierarchy: Hierarchy, components: "Components", recentre: Callable[[], None]
) -> None:
    round_parameters(decoder, hierarchy)
    recentre()
    model, finest = components.model, hierarchy.levels[0]
    place = np.empty(len(finest.source), np.int64)
    place[finest.source] = np.arange(len(place))
    landmarks = place[model.landmarks68]
    tensors: Dict[str, np.ndarray] = {}
    add_network(tensors, decoder, hierarchy, np.float16)
    with torch.no_grad():
        decoder.mean.copy_(decoder.mean.half().float())
        tensors["mean"] = decoder.mean.numpy().astype(np.float16)
        # The five points of the mean mesh and how the 128 numbers move them, by the decoder itself: what a fit to points needs.
        step = 0.5

        def five(latent: torch.Tensor) -> torch.Tensor:
            return five_points(decoder(latent)[landmarks, :, :3])

        base = five(torch.zeros(1, 128))
        moved = torch.cat([five(step * torch.eye(128)[i : i + 16]) for i in range(0, 128, 16)], 1)
        basis = (moved - base) / step
    tensors["five.mean"] = base[:, 0].numpy().astype(np.float32)
    tensors["five.basis"] = basis.permute(0, 2, 1).numpy().astype(np.float16)
    tensors["landmarks68.indices"] = indices(landmarks)
    tensors["triangles"] = indices(finest.triangles)
    path.write_bytes(archive.dump(archive.Archive(dict(METADATA), tensors)))


def read_weights(decoder: Decoder, path: Path) -> None:
    """Weights of a file into a decoder of the same topology."""
    tensors = archive.load(path.read_bytes()).tensors
    values = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in tensors.items() if value.dtype.kind == "f"}
    with torch.no_grad():
        decoder.fc_weight.copy_(values["fc.weight"].reshape(decoder.fc_weight.shape))
        decoder.fc_bias.copy_(values["fc.bias"].reshape(decoder.fc_bias.shape))
        decoder.mean.copy_(values["mean"])
        parameters = [(decoder.last, values["last.weight"])]
        for step, (weight, bias) in enumerate(zip(decoder.weights, decoder.biases)):
            parameters.append((weight, values[f"level{step}.weight"]))
            bias.copy_(values[f"level{step}.bias"])
        for weight, stored in parameters:
            weight.copy_(stored.reshape(weight.shape[1], weight.shape[0], -1).permute(1, 0, 2))
        for step in range(len(decoder.weights)):
            level = len(decoder.filters) - 1 - step
            for operator, name in ((decoder.upsample[level], "upsample"), (decoder.laplacians[level], "laplacian")):
                matrix = operator.matrix
                stored = values[f"level{step}.{name}.values"]
                operator.matrix = torch.sparse_coo_tensor(matrix.indices(), stored, matrix.shape).coalesce()


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description="Writes include/retinaface/weights/default_mesh.hpp, or default_refiner.hpp, from a weights file.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = arguments.weights.read_bytes()
    metadata = archive.load(data).metadata
    name = "kDefaultRefiner" if metadata["format"] == archive.REFINER_FORMAT else "kDefaultMesh"
    text = header_export.export(data, name, metadata, hashlib.sha256(data).hexdigest())
    arguments.out.write_text(text.replace("tools/convert_weights.py --emit-hpp", "tools/mesh/mesh_file.py", 1))


if __name__ == "__main__":
    main()
