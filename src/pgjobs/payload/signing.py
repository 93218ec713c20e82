"""Signatures of payloads: a pickle is code, so a worker with a key runs only what was enqueued with that key.

Signed is all that decides what runs and where: queue, task, executor, timeout, meta and the payload. Priority, run_at
and the number of attempts are not signed: an operator may change them by SQL. Jobs of events have two signatures in
one: see event_signatures.py. Broadcasts have signatures of their own kind.
"""

from __future__ import annotations

import hmac
import struct
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.errors import SignatureError
from pgjobs.jobs.meta import meta_text
from pgjobs.payload.event_signatures import sign_head_again, sign_pattern, verify_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VERSION = b"pgjobs-1"
_VERSION_WITH_META = b"pgjobs-1-meta"  # of its own: else a payload could begin with what looks like one
_FIELD = struct.Struct("<Q").pack  # length of a field, so that two different jobs never give the same bytes
_REAL = struct.Struct("<f").pack
_RESULT_VERSION = b"pgjobs-1-result"
_RESULT = struct.Struct(f"<{len(_RESULT_VERSION)}sq?").pack
_BROADCAST_VERSION = b"pgjobs-1-broadcast"
_ANSWER_VERSION = b"pgjobs-1-answer"


class SignedFields(NamedTuple):
    """What is signed with a payload. This is the only list of it; each field is a column of `jobs`."""

    queue: str
    task: str
    executor: str | None
    timeout: float | None
    meta: dict[str, Any] | str | None
    """As `meta_text` writes it, or as it is read from the row."""


def signed_fields(row: object, **changes: Any) -> SignedFields:
    """Return the signed fields of a job's row: a dict by column, or an object with the columns as attributes."""
    fields = SignedFields(*(_by_column(row) if isinstance(row, dict) else _by_attribute(row)))
    return fields._replace(**changes) if changes else fields


_by_column = itemgetter(*SignedFields._fields)
_by_attribute = attrgetter(*SignedFields._fields)


def signer(key: bytes, fields: SignedFields) -> Callable[[bytes], bytes]:
    """Return the function that signs the payloads of jobs with these fields: HMAC-SHA256, 32 bytes."""
    head = _head(*fields)
    return lambda payload: hmac.digest(key, head + payload, "sha256")


def sign(key: bytes, fields: SignedFields, payload: bytes) -> bytes:
    """Return the signature of one job."""
    return signer(key, fields)(payload)


def verify(keys: Sequence[bytes], signature: bytes | None, fields: SignedFields, payload: bytes) -> None:
    """Accept a job that was signed with any of the keys.

    Raises:
        SignatureError: it is unsigned, or signed with another key.

    """
    if signature is None:
        raise SignatureError(
            "the job is not signed, and this worker has a key: set PGJOBS_SIGNING_KEY where the job is enqueued."
        )
    head = _head(*fields)
    signed = head + payload
    signature = bytes(signature)
    # All keys are tried, so that the time does not tell which one fits.
    matches = [hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature) for key in keys]
    if not any(matches) and not verify_event(keys, signature, head, payload):
        raise SignatureError(
            "the signature is wrong: the job was signed with another PGJOBS_SIGNING_KEY, or changed afterwards."
        )


def signed_again(
    keys: Sequence[bytes], signature: bytes, fields: SignedFields, changed: SignedFields, payload: bytes
) -> bytes:
    """Return the signature of a job whose fields have changed.

    Raises:
        SignatureError: the one that it had is wrong.

    """
    verify(keys, signature, fields, payload)
    if verify_event(keys, bytes(signature), _head(*fields), payload):
        return sign_head_again(keys, bytes(signature), _head(*changed), payload)
    return sign(keys[0], changed, payload)


def sign_subscription(key: bytes, pattern: str, fields: SignedFields) -> bytes:
    """Return the first half of the signatures of a subscription's jobs: see event_signatures.py."""
    return sign_pattern(key, pattern, _head(*fields))


def sign_broadcast(key: bytes, target: str, task: str, timeout: float | None, payload: bytes) -> bytes:
    """Return the signature of a broadcast: no job has the same, so neither can be made of the other."""
    head = _head(target, task, None, timeout, None, version=_BROADCAST_VERSION)
    return hmac.digest(key, head + payload, "sha256")


def verify_broadcast(
    keys: Sequence[bytes], signature: bytes | None, target: str, task: str, timeout: float | None, payload: bytes
) -> None:
    """Accept a broadcast that was signed with any of the keys.

    Raises:
        SignatureError: it is unsigned, or signed with another key.

    """
    if signature is None:
        raise SignatureError(
            "the broadcast is not signed, and this worker has a key: set PGJOBS_SIGNING_KEY where it is made."
        )
    matches = [
        hmac.compare_digest(sign_broadcast(key, target, task, timeout, payload), bytes(signature)) for key in keys
    ]
    if not any(matches):
        raise SignatureError(
            "the signature is wrong: the broadcast was signed with another PGJOBS_SIGNING_KEY, or changed afterwards."
        )


def sign_answer(key: bytes, run_id: int, is_json: bool, value: bytes) -> bytes:
    """Return the signature of what a broadcast returned in one process."""
    head = b"".join(_FIELD(len(part)) + part for part in (_ANSWER_VERSION, b"%d" % run_id, b"%d" % is_json))
    return hmac.digest(key, head + value, "sha256")


def verify_answer(keys: Sequence[bytes], signature: bytes | None, run_id: int, is_json: bool, value: bytes) -> None:
    """Accept what was signed so with any of the keys.

    Raises:
        SignatureError: it is unsigned, or signed with another key.

    """
    matches = [hmac.compare_digest(sign_answer(key, run_id, is_json, value), bytes(signature or b"")) for key in keys]
    if not any(matches):
        raise SignatureError(
            "what a broadcast returned is not signed, or its signature is wrong: set the same PGJOBS_SIGNING_KEY here "
            "and where the workers run."
        )


def sign_result(key: bytes, job_id: int, is_json: bool, value: bytes) -> bytes:
    """Return the signature of what a job returned: it is for that job alone."""
    return hmac.digest(key, _RESULT(_RESULT_VERSION, job_id, is_json) + value, "sha256")


def verify_result(keys: Sequence[bytes], signature: bytes | None, job_id: int, is_json: bool, value: bytes) -> None:
    """Accept a result that was signed with any of the keys.

    Raises:
        SignatureError: it is unsigned, or signed with another key.

    """
    if signature is None:
        raise SignatureError(
            f"the result of job {job_id} is not signed, and this process has a key: set PGJOBS_SIGNING_KEY where the "
            "workers run."
        )
    matches = [hmac.compare_digest(sign_result(key, job_id, is_json, value), bytes(signature)) for key in keys]
    if not any(matches):
        raise SignatureError(
            f"the signature of the result of job {job_id} is wrong: it was signed with another PGJOBS_SIGNING_KEY, or "
            "changed afterwards."
        )


def _head(
    queue: str,
    task: str,
    executor: str | None,
    timeout: float | None,
    meta: dict[str, Any] | str | None,
    *,
    version: bytes = _VERSION,
) -> bytes:
    text = meta if isinstance(meta, str) else meta_text(meta)
    # `timeout` is signed as the worker reads it back from a `real` column: with 32 bits.
    values = (
        version if text is None else _VERSION_WITH_META,
        queue.encode("utf-8", "surrogatepass"),
        task.encode("utf-8", "surrogatepass"),
        b"" if executor is None else executor.encode(),
        b"" if timeout is None else _REAL(timeout),
        *(() if text is None else (text.encode(),)),
    )
    return b"".join([_FIELD(len(value)) + value for value in values])
