"""The safetensors container: 8 bytes of header length, a JSON header, the tensors' bytes, and their hash in the metadata."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from .errors import ConversionError

MAX_HEADER = 1 << 20
FORMAT = "retinaface-weights-2"
MESH_FORMAT = "retinaface-mesh-2"
REFINER_FORMAT = "retinaface-refiner-2"
_HASHED = (FORMAT, MESH_FORMAT, REFINER_FORMAT)  # archives whose metadata says so carry a hash of all their bytes
_HASH = b'"hash":"blake2b-128:'
_DIGITS = 32
_DTYPES: Dict[str, "np.dtype[Any]"] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# What state dicts of other people may hold besides; BF16 is widened when read.
FOREIGN_DTYPES: Dict[str, "np.dtype[Any]"] = {
    **_DTYPES, "F64": np.dtype("<f8"), "BF16": np.dtype("<u2"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"), "I8": np.dtype("i1"), "BOOL": np.dtype("u1"),
}  # fmt: skip


@dataclass
class Archive:
    """Tensors in file order and string metadata."""

    metadata: Dict[str, str]
    tensors: Dict[str, np.ndarray]


def _file_hash(data: bytes, at: int) -> bytes:
    """BLAKE2b of a whole file, with zeros for the digits of its hash, which begin at `at`."""
    digest = hashlib.blake2b(data[:at], digest_size=_DIGITS // 2)
    digest.update(b"0" * _DIGITS)
    digest.update(memoryview(data)[at + _DIGITS :])
    return digest.hexdigest().encode("ascii")


def _check_hash(data: bytes, length: int) -> bool:
    """Refuse a file whose bytes are not those that its hash was made of; False: it carries none."""
    at = data.find(_HASH, 8, 8 + length)
    if at < 0:
        # Both are looked for in the text, before it is parsed: damage to one cannot hide the other.
        if any(data.find(f'"format":"{name}"'.encode("ascii"), 8, 8 + length) >= 0 for name in _HASHED):
            raise ConversionError("file: damaged: expected the hash of its bytes, found none")
        return False
    at += len(_HASH)
    found = _file_hash(data, at)
    if found != data[at : at + _DIGITS]:
        raise ConversionError(f"file: damaged: the hash of its bytes is {found.decode()}, not the one it carries")
    return True


def dump(archive: Archive) -> bytes:
    """The bytes of a file; the same archive always gives the same bytes."""
    hashed = archive.metadata.get("format") in _HASHED
    blank = {"hash": "blake2b-128:" + "0" * _DIGITS} if hashed else {}
    header: Dict[str, Any] = {"__metadata__": {**blank, **archive.metadata}}
    parts: List[bytes] = []
    offset = 0
    for name, tensor in archive.tensors.items():
        dtype = tensor.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise ConversionError(f"tensor {name}: expected a dtype of {', '.join(_DTYPES)}, found {tensor.dtype}")
        data = np.ascontiguousarray(tensor, dtype).tobytes()
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ConversionError(f"header: expected at most {MAX_HEADER} bytes, found {len(text)}")
    data = len(text).to_bytes(8, "little") + text + b"".join(parts)
    if not hashed:
        return data
    at = data.index(_HASH) + len(_HASH)
    return data[:at] + _file_hash(data, at) + data[at + _DIGITS :]


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set = set()
        for key, _ in pairs:
            if key in seen:
                raise ConversionError(f"header: key {key!r} appears twice")
            seen.add(key)
    return result


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def is_foreign(data: bytes) -> bool:
    """Whether a readable file says nothing of this project's format: a state dict that somebody saved so."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(header, dict) or len(header) < 2:
        return False
    metadata = header.get("__metadata__")
    ours = isinstance(metadata, dict) and ("architecture" in metadata or "profile" in metadata)
    return not ours and not any(name.startswith("backbone.") for name in header)


def load(data: bytes, dtypes: Mapping[str, "np.dtype[Any]"] = _DTYPES) -> Archive:
    """Parse a file; strict about everything the format fixes."""
    if len(data) < 8:
        raise ConversionError(f"file: expected at least 8 bytes, found {len(data)}")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER:
        raise ConversionError(f"header: expected at most {MAX_HEADER} bytes, found a length of {length}")
    if 8 + length > len(data):
        raise ConversionError(f"header: expected {length} bytes, found {len(data) - 8} (file cut short?)")
    hashed = _check_hash(data, length)
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"header: expected JSON, found a text that is none ({error})") from None
    if not isinstance(header, dict):
        raise ConversionError(f"header: expected a JSON object, found {type(header).__name__}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ConversionError("__metadata__: expected an object of strings, found something else")

    body = memoryview(data)[8 + length :]
    spans: List[Tuple[int, int, str]] = []
    tensors: Dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ConversionError(f"tensor {name}: expected dtype, shape and data_offsets, found something else")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in dtypes:
            raise ConversionError(f"tensor {name}: expected a dtype of {', '.join(dtypes)}, found {dtype!r}")
        if not isinstance(shape, list) or len(shape) > 8 or not all(_is_size(size) for size in shape):
            raise ConversionError(f"tensor {name}: expected a shape of at most 8 sizes, found {shape!r:.80}")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
            raise ConversionError(f"tensor {name}: expected two data_offsets, found {offsets!r:.80}")
        begin, end = offsets
        need = math.prod(shape) * dtypes[dtype].itemsize
        if end - begin != need:
            raise ConversionError(f"tensor {name}: expected {need} bytes for {dtype} {shape}, found {end - begin}")
        if end > len(body):
            raise ConversionError(f"tensor {name}: expected {end} bytes of data, found {len(body)} (file cut short?)")
        spans.append((begin, end, name))
        values = np.frombuffer(body[begin:end], dtypes[dtype])
        tensors[name] = ((values.astype("<u4") << 16).view("<f4") if dtype == "BF16" else values).reshape(shape)
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            what = "overlap" if begin < position else "gap"
            raise ConversionError(f"tensor {name}: expected data at offset {position}, found {begin} ({what})")
        position = end
    if position != len(body):
        raise ConversionError(f"file: expected {position} bytes of data, found {len(body)}")
    if metadata.get("format") in _HASHED and not hashed:
        raise ConversionError("file: damaged: expected the hash of its bytes, found none")
    return Archive({key: value for key, value in metadata.items() if key != "hash" or not hashed}, tensors)


def check_finite(tensors: Mapping[str, np.ndarray]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ConversionError(f"tensor {name}: expected finite values, found {tensor[~np.isfinite(tensor)][0]}")
