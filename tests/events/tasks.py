"""What the tests subscribe: `pgjobs work --import tests.events.tasks`, with TEST_SUBSCRIPTIONS to choose some."""

from __future__ import annotations

import os
import time

from pgjobs import Event, current_job, subscribe, topic
from tests.support.tasks import database


def nothing(event: Event) -> None:
    """Take an event."""


def fails(event: Event) -> None:
    """Fail, always."""
    raise ValueError(event.topic)


def record(event: Event) -> None:
    """Write down which job got which event."""
    time.sleep(float(os.environ.get("TEST_TAKES", "0")))
    with database() as conn:
        conn.execute(
            "INSERT INTO got (subscription, event, number) VALUES (%s, %s, %s)",
            [current_job().task, event.id, event.payload["n"]],
        )


async def record_async(event: Event) -> None:
    """Do the same on the event loop."""
    record(event)


GOT = "CREATE TABLE got (subscription text, event bigint, number int, id serial)"


for name in os.environ.get("TEST_SUBSCRIPTIONS", "").split():
    subscribe("order.*", name=name, backoff=0.1)(record_async if name.startswith("async") else record)
if "TEST_KEEP" in os.environ:
    topic("order.#", keep=os.environ["TEST_KEEP"])


def takes_nothing() -> None:
    """Take nothing."""
