"""Reads the tensors of a torch archive as plain data, without running anything that is in it.

Files of `torch.save` and of TorchScript are zip archives: the tensors' bytes, and a pickle that
says how they belong together. A pickle is a program, and unpickling runs it. Here it is only read:
its instructions build dictionaries, lists and numbers, the few names that stand for a tensor give
that tensor, and whatever else it would call becomes a `Named` with the name and the arguments.
Nothing is imported, called or compiled, so it does not matter what the file asks for.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import torch
from torch import Tensor

from mocoop.errors import UserError

LARGEST_PICKLE = 64 << 20  # bytes; CLIP's largest has less than one MiB
DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch DoubleStorage": torch.float64,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}
# Functions whose first argument is the value: a list of TorchScript's, or a tensor's parameter.
_WRAPPERS = ("torch.jit._pickle", "torch._utils _rebuild_parameter")
_DICTIONARIES = ("collections OrderedDict", "collections defaultdict")
_READ_ERRORS = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, EOFError,
    zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


@dataclass
class Named:
    """Something that the pickle would have made by calling a name: only described, never made."""

    name: str
    """The module and the name in it, separated by a space."""
    arguments: tuple[Any, ...] = ()
    state: Any = None
    """The object's attributes, in most cases a dictionary."""


@dataclass(frozen=True)
class TorchArchive:
    """The content of a torch archive as plain data."""

    content: Any
    """Dictionaries, lists, tuples, texts, numbers, tensors and `Named`."""
    is_script: bool
    """Whether TorchScript wrote it."""
    names: tuple[str, ...]
    """Names of all classes and functions that it mentions and that are no plain data."""


def is_torch_archive(path: Path) -> bool:
    """Returns whether a file is a zip archive with a pickle, as torch writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(n).name == "data.pkl" for n in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read_torch_archive(path: Path) -> TorchArchive:
    """Returns what a torch archive holds; nothing in it is run.

    Raises:
        UserError: for a file that is damaged, or has instructions that no data needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(archive, path)
            return TorchArchive(reader.read(), reader.is_script, tuple(sorted(reader.names)))
    except _READ_ERRORS as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} is damaged or not a checkpoint: {reason}. Copy or download it again."
        ) from error


_MARK = object()


@dataclass
class _Reader:
    """Reads the pickle of an archive, one instruction after the other."""

    archive: zipfile.ZipFile
    path: Path
    names: set[str] = field(default_factory=set)
    _stack: list[Any] = field(default_factory=list)
    _memo: dict[int, Any] = field(default_factory=dict)
    _storages: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        members = self.archive.namelist()
        pickles = [m for m in members if PurePosixPath(m).name == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"it has {len(pickles)} files data.pkl instead of one")
        self.root = pickles[0].removesuffix("data.pkl")
        self.is_script = f"{self.root}constants.pkl" in members
        order = f"{self.root}byteorder"
        if order in members and self._bytes(order, 16) != b"little":
            raise ValueError("its numbers are big-endian")

    def read(self) -> Any:
        """Returns what the pickle describes."""
        program = self._bytes(f"{self.root}data.pkl", LARGEST_PICKLE)
        for code, argument, _ in pickletools.genops(program):
            if code.name == "STOP":
                return self._stack.pop()
            action = _ACTIONS.get(code.name)
            if action is None:
                raise ValueError(f"its pickle has the instruction {code.name}")
            action(self, argument)
        raise ValueError("its pickle has no end")

    def _bytes(self, member: str, most: int) -> bytes:
        info = self.archive.getinfo(member)
        if info.file_size > most or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its part {member} is larger than it should be, or compressed")
        return self.archive.read(info)

    def _to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("its pickle has no mark")
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self, _: Any) -> None:
        self.push(_MARK)

    def tuple_of(self, count: int) -> None:
        values = tuple(self._stack[len(self._stack) - count :]) if count else ()
        del self._stack[len(self._stack) - count :]
        self.push(values)

    def collect(self, kind: Callable[[list[Any]], Any]) -> None:
        self.push(kind(self._to_mark()))

    def append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict):
            # A key that cannot be hashed belongs to no data that is looked for.
            target.update((k, v) for k, v in _pairs(values) if isinstance(k, str | int | float))

    def pop(self) -> Any:
        return self._stack.pop()

    def pop_two(self) -> list[Any]:
        second, first = self._stack.pop(), self._stack.pop()
        return [first, second]

    def remember(self, place: int | None) -> None:
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def recall(self, place: int) -> None:
        self.push(self._memo[place])

    def name(self, text: str) -> None:
        self.push(Named(text))

    def stack_name(self, _: Any) -> None:
        module, name = self.pop_two()
        self.push(Named(f"{module} {name}"))

    def call(self, _: Any) -> None:
        """Reads a call: the few that stand for data give the data, others are described."""
        called, arguments = self.pop_two()
        name = called.name if isinstance(called, Named) else "a value"
        if name in ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"):
            self.push(self._tensor(*arguments[:4]))
        elif name.startswith(_WRAPPERS) and arguments:
            self.push(arguments[0])
        elif name in _DICTIONARIES:
            self.push({})
        else:
            self.names.add(name)
            self.push(Named(name, arguments if isinstance(arguments, tuple) else (arguments,)))

    def build(self, _: Any) -> None:
        target, state = self.pop_two()
        if isinstance(target, Named):
            target.state = state
        self.push(target)

    def storage(self, _: Any) -> None:
        """Reads a reference to the bytes of tensors: (`storage`, type, key, device, numbers)."""
        _, kind, key, _, numbers = self.pop()
        if key not in self._storages:
            dtype = DTYPES[kind.name]
            member = f"{self.root}data/{key}"
            data = self._bytes(member, numbers * dtype.itemsize)
            if len(data) != numbers * dtype.itemsize:
                raise ValueError(f"its part {member} is cut off")
            empty = torch.empty(0, dtype=dtype)
            whole = torch.frombuffer(bytearray(data), dtype=dtype) if data else empty
            self._storages[key] = whole
        self.push(self._storages[key])

    def _tensor(self, storage: Tensor, start: int, size: Any, stride: Any) -> Tensor:
        size, stride = tuple(size), tuple(stride)
        if not all(type(n) is int and n >= 0 for n in (start, *size, *stride)):
            raise ValueError("it has a tensor of no valid shape")
        last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) > len(storage) or (math.prod(size) and last >= len(storage)):
            raise ValueError("it has a tensor that is larger than its bytes")
        return storage.as_strided(size, stride, start)


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _no_name(reader: _Reader, _: Any) -> NoReturn:
    raise ValueError("its pickle refers to an object outside of it")


_Action = Callable[[_Reader, Any], None]
_PLAIN: dict[str, _Action] = dict.fromkeys(
    (
        "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT",
        "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING",
        "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES",
    ),
    _Reader.push,
)  # fmt: skip
_ACTIONS: dict[str, _Action] = _PLAIN | {
    "PROTO": lambda reader, _: None,
    "FRAME": lambda reader, _: None,
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "EMPTY_SET": lambda reader, _: reader.push([]),
    "EMPTY_TUPLE": lambda reader, _: reader.tuple_of(0),
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "MARK": _Reader.mark,
    "TUPLE": lambda reader, _: reader.collect(tuple),
    "LIST": lambda reader, _: reader.collect(list),
    "DICT": lambda reader, _: reader.collect(lambda values: dict(_pairs(values))),
    "APPEND": lambda reader, _: reader.append([reader.pop()]),
    "APPENDS": lambda reader, _: reader.append(reader._to_mark()),
    "ADDITEMS": lambda reader, _: reader.append(reader._to_mark()),
    "SETITEM": lambda reader, _: reader.set_items(reader.pop_two()),
    "SETITEMS": lambda reader, _: reader.set_items(reader._to_mark()),
    "PUT": _Reader.remember,
    "BINPUT": _Reader.remember,
    "LONG_BINPUT": _Reader.remember,
    "MEMOIZE": _Reader.remember,
    "GET": _Reader.recall,
    "BINGET": _Reader.recall,
    "LONG_BINGET": _Reader.recall,
    "GLOBAL": _Reader.name,
    "STACK_GLOBAL": _Reader.stack_name,
    "REDUCE": _Reader.call,
    "NEWOBJ": _Reader.call,
    "BUILD": _Reader.build,
    "BINPERSID": _Reader.storage,
    "PERSID": _no_name,
}
