"""An event, as the functions of subscriptions get it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """What was published. A retry, and each other subscription, gets the same event with the same `id`.

    `topic`: as `publish` was given it. `payload`: the JSON value, with a dict for an object. `at`: when it was
    published, by PostgreSQL's clock.
    """

    topic: str
    payload: Any = None
    id: int = 0
    at: datetime = _LONG_AGO
