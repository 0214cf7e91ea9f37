"""A pickle reader that executes nothing.

Python's own unpickler calls whatever a file names.  This one is a small stack machine over the opcodes that PyTorch
writes: a named global stays a name, calling one is only recorded, and every name outside a short list is an error
before anything is done with it.  What comes out are plain containers, numbers, strings and the two classes below.
"""

from __future__ import annotations

import pickletools
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from .errors import ConversionError

MAX_OPCODES = 4_000_000


@dataclass(frozen=True)
class Global:
    """A name the pickle refers to; nothing behind it is ever imported."""

    name: str


class Call:
    """A recorded call `function(*arguments)`; nothing was called."""

    def __init__(self, function: str, arguments: Tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments


# Things that training scripts keep beside a state dict; accepted as `Call`s that nobody looks into.
_INERT: FrozenSet[str] = frozenset(
    {
        "argparse.Namespace",
        "collections.defaultdict",
        "collections.Counter",
        "builtins.set",
        "__builtin__.set",
        "_codecs.encode",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "torch.Size",
        "torch.device",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "datetime.datetime",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
        "easydict.EasyDict",
    }
)
_ORDERED_DICT = "collections.OrderedDict"
_MARK = object()


class PickleReader:
    """Reads one pickle after the other from `data`."""

    def __init__(
        self,
        data: bytes,
        allowed: FrozenSet[str],
        persistent_load: Optional[Callable[[Any], Any]] = None,
        what: str = "pickle",
    ) -> None:
        self.stream = BytesIO(data)
        self._data = data
        self._allowed = allowed
        self._persistent_load = persistent_load
        self._what = what
        self._stack: List[Any] = []
        self._memo: Dict[int, Any] = {}

    def load(self) -> Any:
        """The value of the next pickle in the stream."""
        self._stack, self._memo = [], {}
        name, position = "nothing", None
        try:
            for count, (opcode, argument, position) in enumerate(pickletools.genops(self.stream)):
                name = opcode.name
                if count >= MAX_OPCODES:
                    raise ConversionError(f"{self._what}: expected at most {MAX_OPCODES} opcodes, found more")
                if name == "STOP":
                    return self._pop()
                handler = _HANDLERS.get(name)
                if handler is None:
                    raise ConversionError(
                        f"{self._what}: opcode {name} at byte {position} has no place in a weights file"
                    )
                handler(self, argument)
        except ConversionError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
            where = "its start" if position is None else f"byte {position} ({name})"
            raise ConversionError(
                f"{self._what}: expected a pickle, found a damaged or cut one at {where}: {error}"
            ) from None
        raise ConversionError(f"{self._what}: expected a pickle, found none")

    # The stack.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("mark where a value belongs")
        return value

    def _top(self) -> Any:
        if self._stack[-1] is _MARK:
            raise ValueError("mark where a value belongs")
        return self._stack[-1]

    def _pop_to_mark(self) -> List[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise ValueError("no mark on the stack")

    def _drop_to_mark(self) -> None:
        self._pop_to_mark()

    # What opcodes do.

    def _global(self, name: str) -> None:
        if name in self._allowed or name in _INERT or name == _ORDERED_DICT:
            self._push(Global(name))
            return
        if b"torch.nn.modules" in self._data:
            raise ConversionError(
                f"{self._what}: expected a state dict, found a whole model pickled with its class {name!r:.80} (nothing was "
                "executed): load it where that class is and save model.state_dict()"
            )
        if name == "torch._utils._rebuild_qtensor":
            raise ConversionError(
                f"{self._what}: expected weights as they were trained, found quantised tensors: convert the checkpoint that they were "
                "made from"
            )
        if name.startswith("numpy."):
            raise ConversionError(
                f"{self._what}: expected PyTorch's tensors, found NumPy arrays in a pickle (a PaddlePaddle .pdparams?; nothing was "
                "executed): save them with torch.save({name: torch.from_numpy(array), ...}, file)"
            )
        raise ConversionError(
            f"{self._what}: expected names that a weights file needs, found {name!r:.100} (nothing was executed)"
        )

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global's name is not a string")
        self._global(f"{module}.{name}")

    def _call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no function")
        if function.name == _ORDERED_DICT:
            items = arguments[0] if arguments else []
            if not isinstance(items, list) or not all(isinstance(i, (list, tuple)) and len(i) == 2 for i in items):
                raise ValueError("OrderedDict of something else than pairs")
            result: Dict[Any, Any] = {}
            for key, value in items:
                self._set_item(result, key, value)
            self._push(result)
        else:
            self._push(Call(function.name, arguments))

    def _build(self) -> None:
        self._pop()  # attributes such as a state dict's _metadata: not needed
        if not isinstance(self._top(), (dict, Call)):
            raise ValueError("attributes for something that can have none")

    def _persistent(self) -> None:
        if self._persistent_load is None:
            raise ConversionError(f"{self._what}: expected no reference to a storage, found one")
        self._push(self._persistent_load(self._pop()))

    @staticmethod
    def _set_item(target: Any, key: Any, value: Any) -> None:
        if isinstance(target, Call):
            return
        if not isinstance(target, dict) or not isinstance(key, (str, int, float, bool, type(None))):
            raise ValueError("a dictionary entry that cannot be one")
        if isinstance(key, str) and key in target:
            raise ConversionError(f"key {key!r:.80}: expected once, found twice")
        target[key] = value

    def _set_items(self) -> None:
        values = self._pop_to_mark()
        if len(values) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(values[::2], values[1::2]):
            self._set_item(self._top(), key, value)

    def _set_one(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_item(self._top(), key, value)

    def _extend(self, values: List[Any]) -> None:
        if not isinstance(self._top(), list):
            raise ValueError("list elements for something else")
        self._top().extend(values)

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()


def _constant(value: Any) -> Callable[[PickleReader, Any], None]:
    return lambda reader, _: reader._push(value)


def _nothing(reader: PickleReader, argument: Any) -> None:
    """PROTO and FRAME carry nothing that matters here."""


_HANDLERS: Dict[str, Callable[[PickleReader, Any], None]] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "MARK": lambda reader, _: reader._push(_MARK),
    "POP": lambda reader, _: reader._stack.pop(),
    "POP_MARK": lambda reader, _: reader._drop_to_mark(),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_DICT": lambda reader, _: reader._push({}),
    "EMPTY_LIST": lambda reader, _: reader._push([]),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_SET": lambda reader, _: reader._push(Call("builtins.set", ())),
    "TUPLE": lambda reader, _: reader._push(tuple(reader._pop_to_mark())),
    "TUPLE1": lambda reader, _: reader._tuple(1),
    "TUPLE2": lambda reader, _: reader._tuple(2),
    "TUPLE3": lambda reader, _: reader._tuple(3),
    "SETITEM": lambda reader, _: reader._set_one(),
    "SETITEMS": lambda reader, _: reader._set_items(),
    "APPEND": lambda reader, _: reader._extend([reader._pop()]),
    "APPENDS": lambda reader, _: reader._extend(reader._pop_to_mark()),
    "BINPUT": lambda reader, index: reader._put(index),
    "LONG_BINPUT": lambda reader, index: reader._put(index),
    "MEMOIZE": lambda reader, _: reader._put(len(reader._memo)),
    "BINGET": lambda reader, index: reader._push(reader._memo[index]),
    "LONG_BINGET": lambda reader, index: reader._push(reader._memo[index]),
    "GLOBAL": lambda reader, names: reader._global(names.replace(" ", ".")),
    "STACK_GLOBAL": lambda reader, _: reader._stack_global(),
    "REDUCE": lambda reader, _: reader._call(),
    "NEWOBJ": lambda reader, _: reader._call(),
    "BUILD": lambda reader, _: reader._build(),
    "BINPERSID": lambda reader, _: reader._persistent(),
}
_HANDLERS.update(
    dict.fromkeys(
        (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "BINFLOAT",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
            "BINSTRING",
            "SHORT_BINSTRING",
            "BINBYTES",
            "SHORT_BINBYTES",
            "BINBYTES8",
        ),  # fmt: skip
        PickleReader._push,
    )
)
