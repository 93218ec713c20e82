"""`@subscribe` and `topic()`: what a declaration holds, what is refused, and that it is still a function."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from pgjobs import EnqueueError, Event, Sequence, UsageError, job, subscribe, topic
from pgjobs.events.subscribe import declared_subscriptions, declared_topics
from pgjobs.payload.encoder import encoder_for
from tests.events import tasks
from tests.support import functions


def test_a_declaration_holds_what_its_jobs_are() -> None:
    made = subscribe("order.*", queue="mail", priority=2, timeout=timedelta(minutes=1), expires=60)(tasks.nothing)

    (stored,) = declared_subscriptions()
    assert (stored.name, stored.app, stored.pattern) == ("tests.events.tasks:nothing", "tests", "order.*")
    assert (stored.queue, stored.priority, stored.max_attempts, stored.timeout) == ("mail", 2, 5, 60.0)
    assert (stored.expires, stored.on_failure, stored.summary, stored.signature) == (60.0, "block", "nothing", None)
    assert made(Event("order.placed", {"id": 42})) is None, "it is still the function"


def test_a_function_may_have_several_subscriptions_each_with_a_name() -> None:
    first = subscribe("order.*")(tasks.nothing)
    again = subscribe("invoice.*", name="invoices")(first)

    assert again is first
    assert {each.name: each.pattern for each in declared_subscriptions()} == {
        "tests.events.tasks:nothing": "order.*",
        "invoices": "invoice.*",
    }
    with pytest.raises(UsageError, match="a name of its own"):
        subscribe("x")(first)
    with pytest.raises(UsageError, match="another"):
        subscribe("y", name="invoices")(tasks.nothing)


def test_a_generator_cannot_be_subscribed() -> None:
    with pytest.raises(UsageError, match="generator function"):
        subscribe("order.*")(cast("Any", functions.numbers))


def test_a_subscription_gets_its_jobs_from_events_alone() -> None:
    made = subscribe("order.*", name="a")(tasks.nothing)
    with pytest.raises(EnqueueError, match="publish"):
        encoder_for(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queu": "mail"}, "no such option"),
        ({"unique": "x"}, "no such option"),
        ({"sequence": Sequence("x")}, "no such option"),
        ({"payload": "json"}, "no such option"),
        ({"limit": "tenant:{event}"}, "the same for all events"),
        ({"fair_by": "event"}, "the same for all events"),
        ({"priority": 10}, "priority"),
        ({"on_failure": "stop"}, "on_failure"),
        ({"name": ""}, "empty"),
        ({"app": ""}, "empty"),
    ],
)
def test_what_an_event_cannot_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        subscribe("order.*", **options)(tasks.nothing)
    assert declared_subscriptions() == []


def test_what_cannot_take_an_event_is_refused() -> None:
    def inside(event: Event) -> None: ...

    with pytest.raises(UsageError, match="inside of a function"):
        subscribe("order.*")(inside)
    with pytest.raises(UsageError, match="with an event alone"):
        subscribe("order.*")(tasks.takes_nothing)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs a pattern"):
        subscribe(tasks.nothing)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="pattern="):
        subscribe("order*")


@pytest.mark.parametrize(
    ("keep", "seconds"), [("7d", 604_800), ("12h", 43_200), ("90 s", 90), (60, 60), (timedelta(days=1), 86_400)]
)
def test_a_topic_keeps_its_events_for_a_while(keep: Any, seconds: float) -> None:
    assert topic("order.*", keep=keep).keep == seconds
    assert [(each.pattern, each.app, each.keep) for each in declared_topics()] == [("order.*", "tests", seconds)]
    with pytest.raises(UsageError, match="declare it once"):
        topic("order.*", keep=seconds + 1)


@pytest.mark.parametrize("keep", ["", "7", "7 years", "-1d", "99999d", 0, None, True])
def test_a_time_that_cannot_be_read_is_refused(keep: Any) -> None:
    with pytest.raises(UsageError, match="keep="):
        topic("order.*", keep=keep)


def test_payload_event_is_not_an_option_of_job() -> None:
    with pytest.raises(UsageError, match="payload="):
        job(payload="event")  # type: ignore[call-overload]
