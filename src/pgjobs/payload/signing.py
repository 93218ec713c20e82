"""Signatures of payloads: a pickle is code, so a worker with a key runs only what someone with that key enqueued.

Signed is all that decides what runs and where: queue, task, executor, timeout and the payload. Not signed is what an
operator may change by SQL: priority, run_at, the number of attempts.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING

from pgjobs.core.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = b"pgjobs-1"
_FIELD = struct.Struct("<Q").pack  # length of a field, so that no two different jobs give the same bytes
_REAL = struct.Struct("<f").pack


def sign(key: bytes, *, queue: str, task: str, executor: str | None, timeout: float | None, payload: bytes) -> bytes:
    """Give the signature of a job: HMAC-SHA256, 32 bytes."""
    return hmac.digest(key, _head(queue, task, executor, timeout) + payload, "sha256")


def verify(
    keys: Sequence[bytes],
    signature: bytes | None,
    *,
    queue: str,
    task: str,
    executor: str | None,
    timeout: float | None,
    payload: bytes,
) -> None:
    """Accept a job that was signed with any of the keys.

    Raises:
        SignatureError: it is unsigned, or signed with none of them.

    """
    if signature is None:
        raise SignatureError(
            "the job is not signed, and this worker has a key: set PGJOBS_SIGNING_KEY where the job is enqueued."
        )
    signed = _head(queue, task, executor, timeout) + payload
    signature = bytes(signature)
    # All keys are tried, so that the time says nothing about which one fits.
    matches = [hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature) for key in keys]
    if not any(matches):
        raise SignatureError(
            "the signature is wrong: the job was signed with another PGJOBS_SIGNING_KEY, or changed afterwards."
        )


def _head(queue: str, task: str, executor: str | None, timeout: float | None) -> bytes:
    # `timeout` is signed as the worker reads it back from a `real` column: with 32 bits.
    values = (
        _VERSION,
        queue.encode("utf-8", "surrogatepass"),
        task.encode("utf-8", "surrogatepass"),
        b"" if executor is None else executor.encode(),
        b"" if timeout is None else _REAL(timeout),
    )
    return b"".join([_FIELD(len(value)) + value for value in values])
