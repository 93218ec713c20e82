"""`schedule()`: what a declaration holds, what is refused, and that nothing of it needs a database."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from json import loads
from typing import Any

import pytest

from pgjobs import EnqueueError, UsageError, configure, schedule
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.signing import signed_fields, verify
from pgjobs.schedules.schedule import _declared, declared_schedules
from pgjobs.schedules.stored_call import StoredSchedule, columns_of
from tests.schedules import tasks

KEY = b"for the tests alone"


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    before = dict(_declared)
    _declared.clear()
    yield
    _declared.clear()
    _declared.update(before)


def test_a_declaration_holds_the_job_that_is_enqueued() -> None:
    made = schedule("0 9 * * MON-FRI", tasks.report, tz="Europe/Berlin")

    assert (made.name, made.app, made.cron, made.tz) == (
        "tests.schedules.tasks:report",
        "tests",
        "0 9 * * MON-FRI",
        "Europe/Berlin",
    )
    assert (made.missed, made.overlap, made.task) == ("once", "allow", "tests.schedules.tasks:report")
    (stored,) = declared_schedules()
    assert (stored.name, stored.cron, stored.columns.queue, stored.columns.max_attempts) == (
        made.name,
        made.cron,
        "reports",
        2,
    )
    assert (stored.payload, stored.summary) == (b"[]", "report()")


def test_arguments_and_options_travel_with_it() -> None:
    made = schedule("* * * * *", tasks.sync.options(queue="slow", priority=9), args=(7,), name="sync all")

    assert (made.name, made.args, made.kwargs) == ("sync all", (7,), {})
    (stored,) = declared_schedules()
    assert (stored.name, stored.columns.queue, stored.columns.priority, stored.summary) == (
        "sync all",
        "slow",
        9,
        "sync(7)",
    )
    assert pickle.loads(stored.payload) == (tasks.sync, (7,), {})
    by_name = schedule("* * * * *", tasks.report, kwargs={"kind": "x", "copy": True})
    assert by_name.kwargs == {"kind": "x", "copy": True}
    assert declared_schedules()[-1].payload == b'{"kind":"x","copy":true}'
    schedule("* * * * *", partial(tasks.sync, 7))
    assert pickle.loads(declared_schedules()[-1].payload)[0].args == (7,)


def test_it_comes_back_from_a_message_as_it_was() -> None:
    configure(signing_keys=(KEY,))
    schedule("* * * * *", tasks.sync, args=(7,))
    (made,) = declared_schedules()

    assert StoredSchedule.from_message(made.to_message()) == made
    assert made.signature is not None
    verify([KEY], made.signature, signed_fields(made.columns), made.payload)


def test_it_is_signed_with_the_key_of_when_it_is_written() -> None:
    schedule("* * * * *", tasks.tidy)
    assert declared_schedules()[0].signature is None
    configure(signing_keys=(KEY,))

    assert declared_schedules()[0].signature is not None


def test_the_columns_of_a_job_are_those_that_enqueue_would_have_used() -> None:
    schedule("* * * * *", tasks.sync.options(timeout=5), args=(7,))
    (made,) = declared_schedules()
    row = {"columns": loads(made.row_values()["columns"])}

    assert columns_of(row) == made.columns == encoder_for(tasks.sync.options(timeout=5)).columns


@pytest.mark.parametrize(("given", "owner"), [({}, "tests"), ({"app": "shop"}, "shop")])
def test_the_application_is_what_is_given_or_the_package(given: dict[str, Any], owner: str) -> None:
    assert schedule("* * * * *", tasks.tidy, **given).app == owner


def test_the_setting_names_the_application_of_all_schedules() -> None:
    configure(app="billing")

    assert schedule("* * * * *", tasks.tidy).app == "billing"


def test_a_module_that_is_loaded_again_may_declare_the_same() -> None:
    assert schedule("* * * * *", tasks.tidy) == schedule("* * * * *", tasks.tidy)
    assert len(declared_schedules()) == 1


def test_two_schedules_of_one_name_are_refused() -> None:
    schedule("0 9 * * *", tasks.tidy)

    with pytest.raises(UsageError, match="name of its own"):
        schedule("0 10 * * *", tasks.tidy)


LATER = tasks.tidy


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: schedule("0 9 * *", tasks.tidy), "five fields"),
        (lambda: schedule("0 9 * * *", tasks.tidy, tz="Mars/Olympus"), "tz="),
        (lambda: schedule("0 9 * * *", tasks.tidy, name=" "), "name="),
        (lambda: schedule("0 9 * * *", tasks.tidy, name="a\nb"), "name="),
        (lambda: schedule("0 9 * * *", tasks.tidy, name="x" * 201), "name="),
        (lambda: schedule("0 9 * * *", tasks.tidy, app=""), "app="),
        (lambda: schedule("0 9 * * *", tasks.tidy, missed="never"), "missed="),  # type: ignore[call-overload]  # wrong
        (lambda: schedule("0 9 * * *", tasks.tidy, overlap=True), "overlap="),  # type: ignore[call-overload]  # wrong
        (lambda: schedule("0 9 * * *", tasks.sync, args=7), "args="),  # type: ignore[call-overload]  # wrong
        (lambda: schedule("0 9 * * *", tasks.sync, kwargs=[7]), "kwargs="),  # type: ignore[call-overload]  # wrong
    ],
    ids=["cron", "tz", "no name", "name of two lines", "long name", "app", "missed", "overlap", "args", "kwargs"],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused_in_one_line(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        call()

    assert len(str(refused.value).splitlines()) == 1
    assert declared_schedules() == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: schedule("0 9 * * *", tasks.sync), "missing a required argument"),  # type: ignore[arg-type]  # wrong
        (lambda: schedule("0 9 * * *", tasks.sync, args=(1, 2)), "too many"),  # type: ignore[arg-type]  # wrong
        (lambda: schedule("0 9 * * *", tasks.tidy, kwargs={"x": 1}), "unexpected"),
        (lambda: schedule("0 9 * * *", tasks.sync.options(delay=5), args=(1,)), "a schedule itself says when"),
        (lambda: schedule("0 9 * * *", tasks.sync.options(after=[1]), args=(1,)), "after="),
        (lambda: schedule("0 9 * * *", tasks.one_at_a_time, args=("\n",)), "limit="),  # type: ignore[arg-type]  # wrong
        (lambda: schedule("0 9 * * *", None), "not callable"),  # type: ignore[call-overload]  # wrong
        (lambda: schedule("0 9 * * *", lambda: open), "lambda"),
        (lambda: schedule("0 9 * * *", tasks.report, args=(b"x",)), "JSON"),  # type: ignore[arg-type]  # wrong
    ],
    ids=["too few", "too many", "unknown", "delay", "after", "key", "None", "lambda", "no JSON"],
)
def test_calls_that_enqueue_would_refuse_are_refused(call: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cloudpickle", None)
    with pytest.raises(EnqueueError, match=says):
        call()

    assert declared_schedules() == []
