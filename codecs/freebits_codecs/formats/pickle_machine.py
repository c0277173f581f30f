"""Takes a pickle apart without running it: no import, no call, no class of its making.

Python's own Unpickler is not used, even restricted: a few bytes make it allocate gigabytes of memo or hash
a tuple for ever. Here globals are names, calls are recorded, dicts are lists of pairs that nobody hashes,
and every opcode costs at most its own bytes. Only the opcodes of binary protocols 2 to 5 that data uses are
known.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from freebits_codecs.formats.layout import Budget
from freebits_codecs.formats.source import Unreadable

MAX_INTEGER_NBYTES = 32
MAX_GLOBAL_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that the pickle names."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class PersistentId:
    """A thing kept outside the pickle."""

    value: object


class Pairs(list[tuple[object, object]]):
    """A dict: (key, value) in order, keys neither hashed nor compared."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Call:
    """What `callee(*args)` would have made, with the items and the state set on it afterwards."""

    callee: object
    args: object
    items: Pairs | None = None
    state: object = None


def unpickle(data: bytes, start: int, budget: Budget) -> tuple[object, int]:
    """The object pickled at `data[start:]` and the index after it.

    Raises
    ------
    Unreadable
        Not a pickle, cut short, an opcode outside the known ones, or more opcodes than the budget has steps.
    """
    machine = _Machine(data, start)
    try:
        return machine.run(budget.steps), machine.at
    except (IndexError, KeyError, ValueError) as error:
        raise Unreadable(f"no pickle: {error!r} at byte {machine.at}") from error
    finally:
        budget.step(machine.opcode_count)


class _Machine:
    def __init__(self, data: bytes, start: int) -> None:
        self.at = start
        self.opcode_count = 0
        self._data = data
        self._stack: list[object] = []
        self._marks: list[list[object]] = []
        self._memo: dict[int, object] = {}

    def run(self, max_opcodes: int) -> object:
        for self.opcode_count in range(max_opcodes):
            opcode = self._data[self.at]
            self.at += 1
            if opcode == _STOP:
                return self._stack.pop()
            _ACTIONS[opcode](self)
        raise Unreadable(f"a pickle of more than {max_opcodes} opcodes")

    def take(self, nbytes: int) -> bytes:
        start = self.at
        self.at += nbytes
        if self.at > len(self._data):
            raise Unreadable("a pickle cut short")
        return self._data[start : self.at]

    def uint(self, nbytes: int) -> int:
        return int.from_bytes(self.take(nbytes), "little")

    def line(self) -> str:
        end = self._data.find(b"\n", self.at, self.at + MAX_GLOBAL_LENGTH)
        if end < 0:
            raise Unreadable("a pickle with a name that does not end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "replace")

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> object:
        return self._stack.pop()

    def mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[object]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self) -> None:
        self.put(len(self._memo))

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise Unreadable("a pickled tuple of more than there is")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def integer(self, nbytes: int) -> None:
        if nbytes > MAX_INTEGER_NBYTES:
            raise Unreadable(f"a pickled integer of {nbytes} bytes")
        self.push(int.from_bytes(self.take(nbytes), "little", signed=True))

    def text(self, nbytes: int) -> None:
        self.push(self.take(nbytes).decode("utf-8", "replace"))

    def append(self, items: list[object]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)

    def set_items(self, items: list[object]) -> None:
        target = self._stack[-1]
        pairs = zip(items[::2], items[1::2], strict=True)
        if isinstance(target, Call):
            target.items = target.items or Pairs()
            target.items.extend(pairs)
        elif isinstance(target, Pairs):
            target.extend(pairs)

    def global_name(self) -> None:
        self.push(Global(self.line(), self.line()))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(Global(str(module), str(name)) if isinstance(name, str) and isinstance(module, str) else None)

    def call(self) -> None:
        args, callee = self.pop(), self.pop()
        self.push(Call(callee, args))

    def call_with_keywords(self) -> None:
        self.pop()
        self.call()

    def build(self) -> None:
        state, target = self.pop(), self._stack[-1]
        if isinstance(target, Call):
            target.state = state


_STOP = ord(".")


def _pop_pair(machine: _Machine) -> list[object]:
    value, key = machine.pop(), machine.pop()
    return [key, value]


_ACTIONS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME
    ord("("): _Machine.mark,
    ord("0"): _Machine.pop,
    ord("1"): _Machine.pop_mark,
    ord("2"): lambda m: m.push(m._stack[-1]),  # DUP
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.integer(4),  # BININT
    ord("K"): lambda m: m.push(m.uint(1)),  # BININT1
    ord("M"): lambda m: m.push(m.uint(2)),  # BININT2
    0x8A: lambda m: m.integer(m.uint(1)),  # LONG1
    0x8B: lambda m: m.integer(m.uint(4)),  # LONG4
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),  # BINFLOAT
    ord("X"): lambda m: m.text(m.uint(4)),  # BINUNICODE
    0x8C: lambda m: m.text(m.uint(1)),  # SHORT_BINUNICODE
    0x8D: lambda m: m.text(m.uint(8)),  # BINUNICODE8
    ord("U"): lambda m: m.text(m.uint(1)),  # SHORT_BINSTRING
    ord("T"): lambda m: m.text(m.uint(4)),  # BINSTRING
    ord("C"): lambda m: m.push(m.take(m.uint(1))),  # SHORT_BINBYTES
    ord("B"): lambda m: m.push(m.take(m.uint(4))),  # BINBYTES
    0x8E: lambda m: m.push(m.take(m.uint(8))),  # BINBYTES8
    0x96: lambda m: m.push(m.take(m.uint(8))),  # BYTEARRAY8
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),  # TUPLE
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.pop_mark()),  # LIST
    ord("a"): lambda m: m.append([m.pop()]),
    ord("e"): lambda m: m.append(m.pop_mark()),
    ord("}"): lambda m: m.push(Pairs()),
    ord("s"): lambda m: m.set_items(_pop_pair(m)),
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    0x8F: lambda m: m.push([]),  # EMPTY_SET
    0x90: lambda m: m.append(m.pop_mark()),  # ADDITEMS
    0x91: lambda m: m.push(m.pop_mark()),  # FROZENSET
    ord("c"): _Machine.global_name,
    0x93: _Machine.stack_global,
    ord("R"): _Machine.call,
    0x81: _Machine.call,  # NEWOBJ
    0x92: _Machine.call_with_keywords,  # NEWOBJ_EX
    ord("b"): _Machine.build,
    ord("Q"): lambda m: m.push(PersistentId(m.pop())),  # BINPERSID
    ord("h"): lambda m: m.get(m.uint(1)),
    ord("j"): lambda m: m.get(m.uint(4)),
    ord("q"): lambda m: m.put(m.uint(1)),
    ord("r"): lambda m: m.put(m.uint(4)),
    0x94: _Machine.memoize,
}
