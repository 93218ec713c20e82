"""Signatures: whatever decides what runs cannot be changed without the key."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import SignatureError
from pgjobs.payload import signing
from pgjobs.payload.signing import signed_fields

JOB: dict[str, Any] = {
    "queue": "mail",
    "task": "shop.tasks:send",
    "executor": "process",
    "timeout": 0.1,
    "meta": None,
    "payload": b"payload",
}


def sign(key: bytes, *, payload: bytes, **row: Any) -> bytes:
    return signing.sign(key, signed_fields(row), payload)


def verify(keys: list[bytes], signature: bytes | None, *, payload: bytes, **row: Any) -> None:
    signing.verify(keys, signature, signed_fields(row), payload)


def test_it_is_accepted_with_any_valid_key() -> None:
    verify([b"new", b"old"], sign(b"old", **JOB), **JOB)
    verify([b"new", b"old"], sign(b"new", **JOB), **JOB)
    verify([b"new"], memoryview(sign(b"new", **JOB)), **JOB)  # type: ignore[arg-type]  # some drivers give one


@pytest.mark.parametrize("keys", [[b"other"], [b"other", b"one more"], []])
def test_it_is_refused_with_other_keys(keys: list[bytes]) -> None:
    with pytest.raises(SignatureError, match="signature is wrong"):
        verify(keys, sign(b"key", **JOB), **JOB)


def test_an_unsigned_job_is_refused() -> None:
    with pytest.raises(SignatureError, match="not signed"):
        verify([b"key"], None, **JOB)
    with pytest.raises(SignatureError, match="signature is wrong"):
        verify([b"key"], b"", **JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"queue": "vip"},
        {"task": "shop.tasks:sent"},
        {"executor": "thread"},
        {"executor": None},
        {"timeout": 0.2},
        {"timeout": None},
        {"payload": b"payloae"},
        {"payload": b""},
        {"meta": {"a": 1}},
        {"queue": "mails", "task": "hop.tasks:send"},  # the same bytes, cut elsewhere
        {"task": "shop.tasks:sen", "executor": "dprocess"},
    ],
)
def test_nothing_that_is_signed_can_be_changed(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        verify([b"key"], sign(b"key", **JOB), **{**JOB, **change})


@given(st.floats(min_value=0.001, max_value=3e8))
def test_a_timeout_is_signed_as_a_real_column_gives_it_back(timeout: float) -> None:
    stored = struct.unpack("<f", struct.pack("<f", timeout))[0]
    verify([b"key"], sign(b"key", **{**JOB, "timeout": timeout}), **{**JOB, "timeout": stored})
    # psycopg reads the shortest decimal that stands for the 32 bits
    verify([b"key"], sign(b"key", **{**JOB, "timeout": timeout}), **{**JOB, "timeout": float(f"{stored:.9g}")})


def test_the_signature_stays_the_same_between_versions() -> None:
    """Jobs that are in the database when pgjobs is upgraded must still be accepted."""
    assert sign(b"key", **JOB).hex() == "f33051ad0d4417bbba2b3ea63d056a63525c6caefa341ff33756d239549a91d2"
    signed = sign(b"key", **{**JOB, "meta": {"b": 1.0, "a": "x"}})
    assert signed.hex() == "0ae8aacb28668e6c468b14f14375641c206557fdc18c0a527bf8824ce56bb157"
    assert signed == sign(b"key", **{**JOB, "meta": '{"a":"x","b":1}'})
