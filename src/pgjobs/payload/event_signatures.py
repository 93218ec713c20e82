"""The two halves of the signature of an event's job.

One is of the declarer of the subscription, for all that decides what runs: the task, the queue, which topics it is
for. The other is of the publisher, for the body. Each is checked by itself, and that the pattern matches the topic: so
nothing runs that was put together from a subscription and an event which have nothing to do with one another.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from pgjobs.core.errors import PayloadError, SignatureError
from pgjobs.flow.topics import matches
from pgjobs.payload.events import is_event, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODY_VERSION = b"pgjobs-1-event"
_HEAD_VERSION = b"pgjobs-1-subscription"
_HALF = 32  # bytes


def sign_body(key: bytes, body: bytes) -> bytes:
    """Return the publisher's half of the signature."""
    return hmac.digest(key, _framed(_BODY_VERSION) + body, "sha256")


def sign_pattern(key: bytes, pattern: str, head: bytes) -> bytes:
    """Return the declarer's half; `head`: what is signed of a job's row beside its payload."""
    return hmac.digest(key, _framed(_HEAD_VERSION) + _framed(pattern.encode()) + head, "sha256")


def verify_event(keys: Sequence[bytes], signature: bytes, head: bytes, payload: bytes) -> bool:
    """Return True if both halves were made with one of the keys, for this row and this event.

    Raises:
        SignatureError: they were, but the pattern that was signed does not match the topic.

    """
    if len(signature) != 2 * _HALF or not is_event(payload):
        return False
    try:
        parts = parts_of(payload)
    except PayloadError:
        return False
    ours, theirs = signature[:_HALF], signature[_HALF:]
    declared = [hmac.compare_digest(sign_pattern(key, parts.pattern, head), ours) for key in keys]
    published = [hmac.compare_digest(sign_body(key, parts.body), theirs) for key in keys]
    if not (any(declared) and any(published)):
        return False
    if not matches(parts.pattern, parts.event.topic):
        raise SignatureError(
            f"the event {parts.event.topic} is not one that this subscription asks for ({parts.pattern}): the job was "
            "put together from parts of others."
        )
    return True


def sign_head_again(keys: Sequence[bytes], signature: bytes, head: bytes, payload: bytes) -> bytes:
    """Return the signature for another head; the job was verified with the one that it had."""
    return sign_pattern(keys[0], parts_of(payload).pattern, head) + signature[_HALF:]


def _framed(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text
