"""PyTorch state dicts, zip archives and older plain pickles, read without PyTorch and without executing anything."""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from .errors import ConversionError
from .pickle_vm import Call, Global, PickleReader

_STORAGE_DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",  # widened by hand, numpy has no such type
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "u1",
}
_FLOATING = ("torch.FloatStorage", "torch.DoubleStorage", "torch.HalfStorage", "torch.BFloat16Storage")
_REBUILD_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_REBUILD_PARAMETER = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_ALLOWED = frozenset((*_STORAGE_DTYPES, *_REBUILD_TENSOR, *_REBUILD_PARAMETER))
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# Where training scripts put a state dict, an averaged one first.
_NESTED_KEYS = (
    "params_ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model_state",
    "model", "net", "network", "weights", "params", "module",
)  # fmt: skip
_AVERAGED = 5  # of them
_MAX_ELEMENTS = 1 << 28


@dataclass
class Storage:
    """A flat array in the file; `data` yields its bytes."""

    kind: str
    elements: int
    data: Callable[[], bytes]

    def array(self) -> np.ndarray:
        values = np.frombuffer(self.data(), _STORAGE_DTYPES[self.kind], count=self.elements)
        if self.kind == "torch.BFloat16Storage":
            return (values.astype("<u4") << 16).view("<f4")
        return values


@dataclass
class LazyTensor:
    """A tensor's place and shape; its values are only read when asked for."""

    storage: Storage
    offset: int
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]

    @property
    def kind(self) -> str:
        return self.storage.kind

    @property
    def is_floating(self) -> bool:
        return self.kind in _FLOATING

    def values(self) -> np.ndarray:
        array = self.storage.array()[self.offset :]
        strides = tuple(stride * array.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(array, self.shape, strides, writeable=False).copy()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ELEMENTS


def _as_tensor(name: str, value: Any) -> Optional[LazyTensor]:
    """The tensor that a recorded call stands for; None where it is something else."""
    if isinstance(value, Call) and value.function in _REBUILD_PARAMETER and value.arguments:
        value = value.arguments[0]
    if not isinstance(value, Call) or value.function not in _REBUILD_TENSOR:
        return None
    if len(value.arguments) < 4:
        raise ConversionError(f"tensor {name}: expected storage, offset, shape and strides, found less")
    storage, offset, shape, strides = value.arguments[:4]
    if not isinstance(storage, Storage):
        raise ConversionError(f"tensor {name}: expected a storage, found {type(storage).__name__}")
    if (
        not isinstance(shape, tuple)
        or not isinstance(strides, tuple)
        or len(shape) != len(strides)
        or len(shape) > 8
        or not all(_is_count(number) for number in (offset, *shape, *strides))
    ):
        raise ConversionError(
            f"tensor {name}: expected offset, shape and strides as small numbers, found something else"
        )
    if math.prod(shape) > _MAX_ELEMENTS:
        raise ConversionError(f"tensor {name}: expected at most {_MAX_ELEMENTS} values, found shape {list(shape)}")
    if math.prod(shape) > 0:
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
        if last >= storage.elements:
            raise ConversionError(f"tensor {name}: expected a storage of {last + 1} values, found {storage.elements}")
    return LazyTensor(storage, offset, shape, strides)


def _storage_fields(identifier: Any) -> Tuple[str, str, int, Any]:
    """kind, key, number of elements, and the view of a persistent id."""
    if (
        not isinstance(identifier, tuple)
        or len(identifier) not in (5, 6)
        or identifier[0] != "storage"
        or not isinstance(identifier[1], Global)
        or identifier[1].name not in _STORAGE_DTYPES
        or not isinstance(identifier[2], str)
        or not _is_count(identifier[4])
    ):
        raise ConversionError("pickle: expected a reference to a storage, found something else")
    return identifier[1].name, identifier[2], identifier[4], identifier[5] if len(identifier) == 6 else None


def _item_size(kind: str) -> int:
    return np.dtype(_STORAGE_DTYPES[kind]).itemsize


def _read_zip(data: bytes) -> Any:
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError, struct.error) as error:
        raise ConversionError(f"zip archive: expected a readable one, found a damaged or cut one ({error})") from None
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ConversionError(f"zip archive: expected one data.pkl, found {len(pickles)}")
    root = pickles[0][: -len("data.pkl")]

    def read(name: str) -> bytes:
        entry = entries.get(name)
        if entry is None:
            raise ConversionError(f"zip archive: expected an entry {name!r:.80}, found none")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
            raise ConversionError(f"zip archive: expected {name!r:.80} stored plainly, found it compressed")
        try:
            return archive.read(entry)
        except (
            zipfile.BadZipFile,
            ValueError,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            struct.error,
        ) as error:
            raise ConversionError(f"zip archive: entry {name!r:.80} is damaged ({error})") from None

    if root + "byteorder" in entries and read(root + "byteorder").strip() != b"little":
        raise ConversionError("zip archive: expected little-endian values, found big-endian ones")

    def load_storage(identifier: Any) -> Storage:
        kind, key, elements, _ = _storage_fields(identifier)
        name = f"{root}data/{key}"
        entry = entries.get(name)
        need = elements * _item_size(kind)
        if entry is None or entry.file_size < need:
            found = "none" if entry is None else f"{entry.file_size} bytes"
            raise ConversionError(f"zip archive: expected {name!r:.80} of {need} bytes, found {found}")
        return Storage(kind, elements, lambda: read(name))

    return PickleReader(read(pickles[0]), _ALLOWED, load_storage, "data.pkl").load()


def _read_legacy(data: bytes) -> Any:
    """Five pickles (magic, protocol, system, object, storage keys), then each storage: its length and its values."""
    places: Dict[str, Tuple[int, int]] = {}
    referenced: Dict[str, Tuple[str, int]] = {}

    def load_storage(identifier: Any) -> Storage:
        kind, key, elements, view = _storage_fields(identifier)
        start, size = 0, elements
        if view is not None:
            if not isinstance(view, tuple) or len(view) != 3 or not _is_count(view[1]) or not _is_count(view[2]):
                raise ConversionError(f"storage {key!r:.40}: expected a view of offset and size, found something else")
            start, size = view[1], view[2]
        if referenced.setdefault(key, (kind, elements)) != (kind, elements):
            raise ConversionError(f"storage {key!r:.40}: expected one type and length, found several")
        if start + size > elements:
            raise ConversionError(f"storage {key!r:.40}: expected {start + size} values, found {elements}")
        width = _item_size(kind)

        def bytes_of() -> bytes:
            begin, _ = places[key]
            return data[begin + start * width : begin + (start + size) * width]

        return Storage(kind, size, bytes_of)

    reader = PickleReader(data, _ALLOWED, load_storage, "pickle")
    if reader.load() != _LEGACY_MAGIC:
        raise ConversionError("pickle: expected PyTorch's magic number, found something else")
    if reader.load() != _LEGACY_PROTOCOL:
        raise ConversionError(f"pickle: expected PyTorch's protocol {_LEGACY_PROTOCOL}, found another")
    system = reader.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ConversionError("pickle: expected little-endian values, found something else")
    root = reader.load()
    keys = reader.load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ConversionError("pickle: expected a list of storage keys, found something else")
    position = reader.stream.tell()
    for key in keys:
        if key not in referenced or key in places:
            raise ConversionError(f"storage {key!r:.40}: expected one that a tensor refers to, once, found another")
        kind, elements = referenced[key]
        need = elements * _item_size(kind)
        header = data[position : position + 8]
        if len(header) < 8 or position + 8 + need > len(data):
            raise ConversionError(
                f"storage {key!r:.40}: expected {8 + need} bytes at offset {position}, "
                f"found {max(0, len(data) - position)} (file cut short?)"
            )
        if int.from_bytes(header, "little") != elements:
            raise ConversionError(
                f"storage {key!r:.40}: expected {elements} values, found {int.from_bytes(header, 'little')}"
            )
        places[key] = (position + 8, need)
        position += 8 + need
    missing = [key for key in referenced if key not in places]
    if missing:
        raise ConversionError(f"storage {missing[0]!r:.40}: expected its values in the file, found none")
    return root


def _find_state_dict(root: Any) -> Tuple[str, Dict[str, Any]]:
    """The dictionary that holds tensors, and where it was: the root or one of the customary places inside."""

    if isinstance(root, dict):  # nested first: beside a state dict there may be stray tensors, a best accuracy say
        found = [key for key in _NESTED_KEYS if _holds_tensors(root.get(key))]
        averaged = [key for key in found if key in _NESTED_KEYS[:_AVERAGED]]
        if averaged and len(found) > 1:
            found = averaged
        if len(found) == 1:
            inner, state = _find_state_dict(root[found[0]])
            return f"{found[0]}.{inner}" if inner else found[0], state
        if found:
            raise ConversionError(f"state dict: expected one, found several ({', '.join(found)})")
    if _holds_tensors(root, 0):
        return "", root
    if not isinstance(root, dict):
        raise ConversionError(f"state dict: expected a dictionary of tensors, found a {type(root).__name__}")
    others = [key for key, value in root.items() if _holds_tensors(value)]
    if len(others) == 1:  # under a name of its own
        inner, state = _find_state_dict(root[others[0]])
        return f"{others[0]}.{inner}" if inner else str(others[0]), state
    keys = ", ".join(f"{key!r:.40}" for key in list(others or root)[:8]) or "nothing"
    raise ConversionError(f"state dict: expected {'one' if others else 'a dictionary of tensors'}, found {keys}")


def _holds_tensors(value: Any, depth: int = 3) -> bool:
    """Whether a value is a state dict or a dictionary with one in a customary place."""
    if not isinstance(value, dict):
        return False
    calls = (*_REBUILD_TENSOR, *_REBUILD_PARAMETER)
    if any(isinstance(entry, Call) and entry.function in calls for entry in value.values()):
        return True
    return depth > 0 and any(_holds_tensors(value.get(key), depth - 1) for key in _NESTED_KEYS)


def is_torch(data: bytes) -> bool:
    """Whether the first bytes are those of a file that PyTorch wrote."""
    return data[:4] == b"PK\x03\x04" or data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_state_dict(data: bytes) -> Tuple[Dict[str, LazyTensor], List[str]]:
    """Tensors by the names in the file, and remarks for the person who converts."""
    root = _read_zip(data) if data[:4] == b"PK\x03\x04" else _read_legacy(data)
    place, state = _find_state_dict(root)
    notes = [f"state dict found under {place!r}"] if place else []
    tensors: Dict[str, LazyTensor] = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise ConversionError(f"state dict: expected names as keys, found {key!r:.80}")
        tensor = _as_tensor(key, value)
        if tensor is None:
            raise ConversionError(f"tensor {key!r:.80}: expected a tensor, found {type(value).__name__}")
        tensors[key] = tensor
    return tensors, notes
