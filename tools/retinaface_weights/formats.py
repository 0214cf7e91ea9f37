"""Files that are no weights this converter reads: what they are, and what to do instead."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

from .errors import ConversionError

_READS = "a PyTorch state dict, MXNet parameters, an ONNX or ncnn model, safetensors or a weights file"
_MAGIC = (
    (0, b"\x89HDF", "an HDF5 file (Keras)", "export the network to ONNX"),
    (0, b"\x93NUMPY", "a NumPy array", "save the whole state dict with torch.save or as safetensors"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file", "fetch the file itself with git lfs pull"),
    (0, b"<!DOCTYPE", "a web page, not the file", "download the file again"),
    (0, b"<html", "a web page, not the file", "download the file again"),
    (0, b"<?xml", "an XML text (OpenVINO?)", "convert the model that it was made from"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it and give the file inside"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it and give the file inside"),
    (0, b"Rar!", "a RAR archive", "unpack it and give the file inside"),
    (0, b"ftrt", "a TensorRT engine", "convert the model that it was made from"),
    (4, b"TFL3", "a TensorFlow Lite model", "convert the ONNX or PyTorch model that it was made from"),
    (257, b"ustar", "a tar archive", "unpack it and give the file inside"),
)
_SUFFIXES = {
    ".mnn": ("an MNN model", "convert the ONNX or PyTorch model that it was made from"),
    ".caffemodel": ("a Caffe model", "convert it to ONNX or MXNet first"),
    ".prototxt": ("a Caffe network description, which holds no weights", "give the model that it was made from"),
    ".tflite": ("a TensorFlow Lite model", "convert the ONNX or PyTorch model that it was made from"),
    ".pb": ("a TensorFlow graph", "export the network to ONNX"),
    ".h5": ("a Keras file", "export the network to ONNX"),
    ".engine": ("a TensorRT engine", "convert the model that it was made from"),
    ".xml": ("an OpenVINO description", "convert the model that it was made from"),
    ".mlmodel": ("a Core ML model", "convert the model that it was made from"),
    ".json": ("a JSON text", "give the .params file that belongs to an MXNet graph"),
    ".bin": ("values without their description", "an ncnn .bin needs its .param text beside it"),
}


def _is_caffe(data: bytes) -> bool:
    """A NetParameter: its name (field 1), then layers (field 100, or 2 in old files)."""
    if data[:1] != b"\x0a" or len(data) < 4 or data[1] > 127:
        return False
    after = data[2 + data[1] : 4 + data[1]]
    return after in (b"\xa2\x06", b"\x1a\x04") or b"Convolution" in data[:4096] and b"\xa2\x06" in data[:4096]


def explain(path: Path, data: bytes) -> str:
    """What to say of a file that is of no known kind."""
    for offset, magic, what, advice in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return f"expected {_READS}, found {what}: {advice}"
    if _is_caffe(data):
        what, advice = _SUFFIXES[".caffemodel"]
        return f"expected {_READS}, found {what}: {advice}"
    if path.suffix.lower() in _SUFFIXES:
        what, advice = _SUFFIXES[path.suffix.lower()]
        return f"expected {_READS}, found {what}: {advice}"
    return f"expected {_READS}, found something else (starts with {data[:8]!r})"


def refuse_torch_relatives(path: Path, data: bytes) -> None:
    """Zip archives that PyTorch did not write, or not as a state dict."""
    if data[:4] != b"PK\x03\x04":
        return
    try:
        entries = zipfile.ZipFile(BytesIO(data)).namelist()
    except Exception:  # noqa: BLE001  damaged: the reader says so
        return
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in entries):
        raise ConversionError(
            f"{path}: expected a state dict, found a TorchScript module: torch.save(torch.jit.load(...).state_dict(), ...)"
        )
    if any(name.endswith(".npy") for name in entries):
        raise ConversionError(f"{path}: expected a state dict, found NumPy arrays (.npz): save the state dict with torch.save")
    if not any(name.endswith("data.pkl") for name in entries):
        inside = ", ".join(entries[:3])
        raise ConversionError(f"{path}: expected a PyTorch file, found a zip archive of {inside:.80}: unpack it first")
