"""Whatever bytes there are: with an allow-list they load or are refused, and change nothing that others use."""

from __future__ import annotations

import pickle
import pickletools
import sys
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs.core.allowlist import AllowList
from pgjobs.core.errors import PayloadError
from pgjobs.payload.pickling import dump, load
from tests.payload.safe import victims
from tests.payload.safe.assemble import VICTIMS, WORK, blob, number, text
from tests.payload.safe.test_unpickle import OWN, shared_state
from tests.support import functions

HERE = AllowList((WORK, VICTIMS))
QUICK = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))

NAMES = [
    *((WORK, name) for name in ("add", "plain", "Mailer", "send_receipt", "tell", "Mailer.send")),
    *((VICTIMS, name) for name in vars(victims) if not name.startswith("_")),
    *(
        ("builtins", name)
        for name in ("getattr", "setattr", "list", "int", "range", "bytearray", "dict", "type", "eval")
    ),
    *(("collections", name) for name in ("OrderedDict", "defaultdict", "deque", "Counter", "ChainMap")),
    *(("datetime", "datetime"), ("datetime", "timezone"), ("functools", "partial"), ("pathlib", "PosixPath")),
    *(("pgjobs.jobs.job", "_with_options"), ("uuid", "UUID"), ("zoneinfo", "ZoneInfo"), ("fractions", "Fraction")),
    *(("os", "system"), ("os", "putenv"), ("copyreg", "_reconstructor"), ("operator", "attrgetter")),
]
ATTRIBUTES = [
    *("__class__", "__dict__", "__setstate__", "__reduce_ex__", "__module__", "__defaults__", "__init__", "host"),
    *("only", "value", "function", "job_options", "read_text", "send", "RED", "_unpickle", "UTC", "charge", "update"),
]
_OPERANDS: dict[str, st.SearchStrategy[bytes]] = {
    "uint1": st.integers(0, 20).map(lambda value: bytes([value])),
    "uint2": st.integers(0, 300).map(lambda value: value.to_bytes(2, "little")),
    "uint4": st.integers(0, 20).map(lambda value: value.to_bytes(4, "little")),
    "int4": st.integers(-5, 5).map(lambda value: value.to_bytes(4, "little", signed=True)),
    "uint8": st.integers(0, 20).map(lambda value: value.to_bytes(8, "little")),
    "float8": st.binary(min_size=8, max_size=8),
    "decimalnl_short": st.just(b"1\n"),
    "decimalnl_long": st.just(b"1L\n"),
    "floatnl": st.just(b"1.5\n"),
    "stringnl": st.just(b"'x'\n"),
    "stringnl_noescape": st.just(b"0\n"),
    "unicodestringnl": st.just(b"x\n"),
    "stringnl_noescape_pair": st.sampled_from(NAMES).map(lambda pair: f"{pair[0]}\n{pair[1]}\n".encode()),
}


def _operand(opcode: pickletools.OpcodeInfo) -> st.SearchStrategy[bytes]:
    kind: Any = opcode.arg
    if kind is None:
        return st.just(b"")
    if kind.name in _OPERANDS:
        return _OPERANDS[kind.name]
    size = {"1": 1, "4": 4, "8": 8}[kind.name[-1]]  # bytes1, unicodestring4 and so on: their length, then they
    return st.binary(max_size=8).map(lambda data: len(data).to_bytes(size, "little") + data)


ANY_OPCODE = st.sampled_from(pickletools.opcodes).flatmap(
    lambda opcode: _operand(opcode).map(lambda operand: opcode.code.encode("latin-1") + operand)
)
PIECE = st.one_of(
    st.sampled_from(NAMES).map(lambda pair: text(pair[0]) + text(pair[1]) + b"\x93"),
    st.sampled_from(ATTRIBUTES).map(text),
    st.integers(-2, 300).map(number),
    st.binary(max_size=4).map(blob),
    st.sampled_from([b"N", b")", b"}", b"]", b"\x8f", b"(", b"\x94", b"h\x00", b"h\x01", b"h\x02"]),
    # What the attacks are made of.
    st.sampled_from([b"R", b"b", b"\x81", b"\x92", b"\x85", b"\x86", b"\x87", b"t", b"s", b"u", b"a", b"e", b"\x90"]),
    st.sampled_from(ATTRIBUTES).map(lambda name: b"}" + text(name) + b")sb"),
    st.sampled_from(ATTRIBUTES).map(lambda name: b"N}" + text(name) + b")s\x86b"),
    st.just(b")R"),
    st.just(b")\x81"),
    ANY_OPCODE,
)
PROGRAM = st.lists(PIECE, max_size=25).map(b"".join)
START = b"\x80\x05" + text(WORK) + text("plain") + b"\x93"
REAL = [
    dump(functions.add, (1, 2), {}),
    dump(partial(functions.add, 1), (), {"right": 2}),
    pickle.dumps((functions.plain, ([1],), {}), 2),
    *(dump(functions.plain, (value,), {}) for value in OWN.values()),
]
# Without frames, so that what is put between their opcodes does not end at the wrong place.
REAL += [real[:2] + real[11:] for real in REAL if real[2:3] == pickle.FRAME]


def survives(data: bytes) -> None:
    before, modules = shared_state(), {name for name in sys.modules if not name.startswith("encodings.")}
    with suppress(PayloadError):  # and no other
        load(data, f"{WORK}:plain", HERE)
    assert shared_state() == before
    victims.ran.clear()
    assert {name for name in sys.modules if not name.startswith("encodings.")} == modules


for real in (*REAL, b"[]"):  # what these import is imported now, also what reads JSON
    with suppress(PayloadError):
        load(real, f"{WORK}:plain", HERE)


@QUICK
@given(PROGRAM)
def test_a_program_of_random_opcodes_changes_nothing(program: bytes) -> None:
    survives(START + program + b"\x85}\x87.")
    survives(START + b"(" + program + b"t}\x87.")


@QUICK
@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0), st.binary(max_size=3), st.integers(0, 3)), max_size=4))
def test_a_damaged_payload_changes_nothing(real: bytes, damages: list[tuple[int, bytes, int]]) -> None:
    data = bytearray(real)
    for place, new, gone in damages:
        at = place % len(data)
        data[at : at + gone] = new
    survives(bytes(data))


@QUICK
@given(st.sampled_from(REAL), PROGRAM, st.integers(0))
def test_a_payload_with_a_program_in_it_changes_nothing(real: bytes, program: bytes, place: int) -> None:
    ends = [position for _, _, position in pickletools.genops(real) if position]
    at = ends[place % len(ends)]
    survives(real[:at] + program + real[at:])
