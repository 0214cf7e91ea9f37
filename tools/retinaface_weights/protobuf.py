"""Protocol buffers on the wire: just enough to read an ONNX file without any package."""

from __future__ import annotations

import struct
from typing import Dict, Iterator, List, Tuple, Union

from .errors import ConversionError

Field = Tuple[int, Union[int, memoryview]]
MAX_FIELDS = 1 << 20


def _varint(data: memoryview, position: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ConversionError("protobuf: expected a number, found the end of its message")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, position
        shift += 7


def fields(data: memoryview) -> Iterator[Field]:
    """(field number, value) of a message in order: numbers as they are, strings, messages and packed lists as bytes."""
    position = 0
    for _ in range(MAX_FIELDS):
        if position == len(data):
            return
        tag, position = _varint(data, position)
        kind, number = tag & 7, tag >> 3
        if kind == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == 2:
            size, position = _varint(data, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ConversionError(f"protobuf: expected a known kind of field, found kind {kind} of field {number}")
        if number == 0 or position + size > len(data):
            raise ConversionError(
                f"protobuf: expected {size} bytes of field {number}, found {len(data) - position} (file cut short?)"
            )
        yield number, data[position : position + size]
        position += size
    raise ConversionError(f"protobuf: expected at most {MAX_FIELDS} fields in a message, found more")


class Message:
    """The fields of a message by number."""

    def __init__(self, data: memoryview) -> None:
        self._fields: Dict[int, List[Union[int, memoryview]]] = {}
        for number, value in fields(data):
            self._fields.setdefault(number, []).append(value)

    def has(self, number: int) -> bool:
        return number in self._fields

    def number(self, number: int, default: int = 0) -> int:
        """The last value of a field, as a signed 64-bit number."""
        value = self._fields.get(number, [default])[-1]
        if not isinstance(value, int):
            raise ConversionError(f"protobuf: expected a number as field {number}, found bytes")
        return value - (1 << 64) if value >> 63 else value

    def numbers(self, number: int) -> List[int]:
        """A repeated number, packed or not."""
        result: List[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                result.append(value)
                continue
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                result.append(item)
        return [item - (1 << 64) if item >> 63 else item for item in result]

    def bytes(self, number: int) -> memoryview:
        """The last value of a field, b"" where it is absent."""
        return self.list(number)[-1] if self.has(number) else memoryview(b"")

    def list(self, number: int) -> List[memoryview]:
        """A repeated field of bytes."""
        values = self._fields.get(number, [])
        for value in values:
            if isinstance(value, int):
                raise ConversionError(f"protobuf: expected bytes as field {number}, found a number")
        return values  # type: ignore[return-value]

    def messages(self, number: int) -> List[Message]:
        return [Message(value) for value in self.list(number)]

    def text(self, number: int) -> str:
        return _text(self.bytes(number), number)

    def texts(self, number: int) -> List[str]:
        return [_text(value, number) for value in self.list(number)]

    def float(self, number: int, default: float) -> float:
        data = bytes(self.bytes(number))
        return struct.unpack("<f", data)[0] if len(data) == 4 else default


def _text(value: memoryview, number: int) -> str:
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise ConversionError(f"protobuf: expected text in UTF-8 as field {number}, found other bytes") from None
