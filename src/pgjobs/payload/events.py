"""Payloads of events: made once by the publisher, and completed in SQL for each subscription.

A job's payload is one JSON object in two parts, the head and the body:

    {"*event":{"id":17,"at":"2026-12-01T10:00:00.000000Z","pattern":"order.*"   ← pgjobs.deliver_events
    ,"topic":"order.placed","payload":{"id":42}}}                               ← the publisher

The body is signed by the publisher, who knows nothing of who subscribes. All else that decides what runs (the task, the
queue, and which topics it is for) is signed by the one who declares the subscription. The signature of the job is both,
one behind the other: see event_signatures.py.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from pgjobs.core.errors import EnqueueError, PayloadError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.flow.topics import check_pattern, check_topic
from pgjobs.jobs.event import Event
from pgjobs.payload.json_values import json_text

EVENT = "*event"  # the key: no parameter is called so
MAX_EVENT = 256 * 1024  # bytes of a body: each subscription stores it once
_SPLIT = b',"topic":'  # with which the body begins: no string of the head contains it, its quotes would be escaped
_END = b"}}"
_HEAD, _BODY = {"id", "at", "pattern"}, {"topic", "payload"}


class EventParts(NamedTuple):
    """A payload, read. `body`: as the publisher signed it."""

    event: Event
    pattern: str
    body: bytes


def event_body(topic: str, payload: object, limit: int) -> bytes:
    """Return what the publisher writes of an event; `limit`: in bytes.

    Raises:
        EnqueueError: JSON has no such value, or it is too large.

    """
    try:
        text = json_text(payload)
    except ValueError as error:
        raise EnqueueError(
            f"the payload of this event is {shorten_repr(payload)}, which JSON does not have ({error}): give strings, "
            "numbers, booleans, None, lists and dicts with strings as keys."
        ) from error
    body = f',"topic":"{topic}","payload":{text}}}}}'.encode()
    limit = min(limit, MAX_EVENT)
    if len(body) > limit:
        raise EnqueueError(
            f"the payload of an event for {topic} is {len(body):,} bytes, and {limit:,} are allowed, because each "
            "subscription stores it: publish a reference to the data."
        )
    return body


def is_event(payload: bytes) -> bool:
    """Return True if a JSON payload is that of an event."""
    return payload.startswith(b'{"*event":')


def load_event(payload: bytes) -> Event:
    """Read the event of a payload.

    Raises:
        PayloadError: it is not one.

    """
    return parts_of(payload).event


def parts_of(payload: bytes) -> EventParts:
    """Read each part by itself: what is not signed cannot pass for what is.

    Raises:
        PayloadError: it is not made as it should be.

    """
    at = payload.find(_SPLIT)
    try:
        whole, body = json.loads(payload[:at] + _END), json.loads(b"{" + payload[at + 1 : -1])
        head = whole[EVENT]
        if at < 0 or payload[-2:] != _END or len(whole) > 1 or head.keys() != _HEAD or body.keys() != _BODY:
            raise ValueError("it has other fields")
        event = Event(check_topic(body["topic"]), body["payload"], _id(head["id"]), datetime.fromisoformat(head["at"]))
        return EventParts(event, check_pattern(head["pattern"]), payload[at:])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as error:
        raise PayloadError(f"the payload cannot be loaded, it is not that of an event: {error}") from error


def _id(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("its id is not a number")
    return value
