"""An assembler for pickles that `pickle` would never write."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TypeAlias

Code: TypeAlias = bytes
WORK = "tests.support.functions"
VICTIMS = "tests.payload.safe.victims"
NONE: Code = b"N"


def text(value: str) -> Code:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> Code:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def blob(value: bytes) -> Code:
    return b"C" + bytes([len(value)]) + value


def name(module: str, qualname: str) -> Code:
    return text(module) + text(qualname) + b"\x93"


def victim(qualname: str) -> Code:
    return name(VICTIMS, qualname)


def tuple_of(*items: Code) -> Code:
    return b"(" + b"".join(items) + b"t"


def dict_of(items: Iterable[tuple[str, Code]] = (), /, **more: Code) -> Code:
    return b"}(" + b"".join(text(key) + value for key, value in [*items, *more.items()]) + b"u"


def slots_of(**items: Code) -> Code:
    """Return the state of an object with slots: its attributes are set."""
    return NONE + dict_of(**items) + b"\x86"


def call(function: Code, *args: Code) -> Code:
    return function + tuple_of(*args) + b"R"


def new(kind: Code, *args: Code) -> Code:
    return kind + tuple_of(*args) + b"\x81"


def build(target: Code, state: Code) -> Code:
    return target + state + b"b"


PLAIN = name(WORK, "plain")


def payload(*args: Code, callable: Code = PLAIN) -> bytes:
    return b"\x80\x05" + callable + tuple_of(*args) + b"}\x87."
