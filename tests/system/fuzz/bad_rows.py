"""Rows written by hand: invalid payloads, and nonsense in every column."""

from __future__ import annotations

import pickle
import random
from typing import Any

TASK = "tests.system.fuzz.tasks:healthy"

# By the names under which `docs/how-it-is-tested/bad-input.md` shows them.
PAYLOADS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"<html>",
    "gzip": b"\x1f\x8b\x08",
    "an ELF file": b"\x7fELF" + bytes(100),
    "JSON for a function that takes none": b"[1]",
    "half of a JSON list": b"[",
    "a JSON list in a list, 100,000 times": b"[" * 100_000,
    "a pickle of None": pickle.dumps(None),
    "a pickle of 5": pickle.dumps(5),
    "a pickle of a text": pickle.dumps("abc"),
    "a pickle of a dict": pickle.dumps({"callable": 1}),
    "a callable without arguments": pickle.dumps((print, ())),
    "a callable with too many parts": pickle.dumps((print, (), {}, 1)),
    "a callable whose keywords are numbers": pickle.dumps((print, (), {1: 2})),
    "a callable whose arguments are None": pickle.dumps((print, None, None)),
    "a number in the place of the callable": pickle.dumps((5, (), {})),
    "a module that is not there": b"cnomodule\nx\n.",
    "a function that is not there": b"cos\nnowhere\n.",
    "exit(3) as the job": pickle.dumps((exit, (3,), {})),
    "sys.exit(1) while it is unpickled": b"csys\nexit\n(I1\ntR.",
    "bytes of 2**63 - 1, announced": b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a number of 2 GB, announced": b"\x80\x05\x8b\xff\xff\xff\x7f",
    "100,000 marks": b"(" * 100_000 + b".",
    "a tuple in a tuple, 300,000 times": b"\x80\x05N" + b"\x85" * 300_000 + b".",
    "a persistent id": b"\x80\x05P1\n.",
    "an extension code": b"\x82\x01.",
    "a text that is not UTF-8": b"\x80\x05\x8c\x02\xff\xfe.",
}

# What PostgreSQL refuses, by column.
REFUSED: dict[str, list[Any]] = {
    "id": [None],
    "run_at": [None, "infinity", "-infinity", "1969-12-31", "9999-01-01", "0001-01-01 BC"],
    "enqueued_at": [None],
    "claims": [None, -1, 2_147_483_647],
    "attempt": [None, -1, 2_147_483_647],
    "max_attempts": [None, 0, -1, 2_147_483_647],
    "prior_attempts": [-1],
    "timeout": ["NaN", "Infinity", "-1", "0", "1e38"],
    "priority": [None, -1, 10],
    "status": [None, "", "done", "QUEUED", "running"],
    "queue": [None, "", "q" * 101],
    "task": [None],
    "executor": ["", "gpu", "THREAD"],
    "payload": [None],
    "errors": ["", "{", "NaN"],
}

# What it takes: the job runs and completes all the same.
HARMLESS: dict[str, list[Any]] = {
    "id": [-1, 0, -(2**63)],
    "enqueued_at": ["infinity", "-infinity"],
    "started_at": ["infinity", "-infinity", "290000-01-01"],
    "finished_at": ["infinity", "-infinity", "2020-01-01"],
    "worker_id": [-1, 0, 2**63 - 1],
    "claims": [2_000_000_000],
    "attempt": [1, 1_000_000_000],
    "max_attempts": [1_000_000_000],
    "prior_attempts": [1, 1_000_000_000],
    "timeout": ["316224000"],
    "isolate": [False],
    "task": ["", ":", "nope", "os:system", "\x1b[31m", "\u202e", "x" * 100_000],
    "executor": ["thread", "async"],
    "summary": ["", "\x1b]0;x\x07", "x" * 100_000],
    "error": ["\r\n\x1b", "x" * 100_000],
    "signature": [b"", b"x", bytes(1000)],
    "errors": ["null", "5", '"x"', "{}", "[]", "[null]", "[1, [2]]", '{"a": 1}', '[{"attempt": {}, "at": []}]'],
}


def damaged(payload: bytes, examples: int) -> list[bytes]:
    """Cut a payload anywhere, and change its bytes; the same ones every time, but for a long run."""
    found = [payload[:length] for length in range(len(payload))]
    found += [_changed(payload, at, payload[at] ^ bit) for at in range(len(payload)) for bit in (1, 0x20, 0x80, 0xFF)]
    dice = random.Random() if examples else random.Random(1)  # noqa: S311 (no secret)
    for _ in range(examples):
        some = payload
        for _ in range(dice.randint(2, 5)):
            some = _changed(some, dice.randrange(len(some)), dice.randrange(256))
        found.append(some)
    # Where 4 bytes of a place in the memo follow (`r`, LONG_BINPUT), CPython makes room for all places up to it: 16 GB
    # that would be this machine's end, and are not ours to fix.
    return [each for each in found if b"r" not in each or each.count(b"r") == payload.count(b"r")]


def _changed(payload: bytes, at: int, byte: int) -> bytes:
    return payload[:at] + bytes([byte]) + payload[at + 1 :]
