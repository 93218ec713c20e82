"""What can be called as f(…) can be enqueued as f, …: with decorators below `@job`, and above it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, UsageError, enqueue, job, schedule
from pgjobs.core.allowlist import AllowList
from pgjobs.core.errors import NotAllowedError
from pgjobs.jobs.job import options_of
from pgjobs.payload.json_format import JsonDumper
from pgjobs.payload.pickling import load
from tests.support import functions_decorated as functions
from tests.support.rows import row_of

old_name = functions.moved  # a job that has moved, under the name that it had here


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (functions.send, (42,)),
        (functions.send_json, (42,)),
        (functions.report, ("acme", "monday")),
        (functions.Sender().below, (1,)),
        (functions.Sender().deliver, (1,)),
        (functions.Sender().above, (1,)),
        (functions.Sender().send, (1,)),
    ],
    ids=lambda value: None,
)
def test_what_a_decorator_takes_is_what_can_be_enqueued(
    conn: psycopg.Connection, function: Any, args: tuple[Any, ...]
) -> None:
    function(*args)
    enqueue(conn, function, *args)
    schedule("0 0 * * *", function, args=args)


def test_what_a_decorator_does_not_take_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(EnqueueError, match="missing a required argument: 'tenant'"):
        enqueue(conn, functions.report)


def test_keys_know_the_names_of_the_decorator_and_of_the_function_inside(conn: psycopg.Connection) -> None:
    first = enqueue(conn, functions.report, "acme", "monday")
    assert enqueue(conn, functions.report, "acme", day="monday") == first
    assert enqueue(conn, functions.report, "acme", "friday") != first


def test_a_key_of_an_argument_that_a_decorator_shifts_is_refused_and_works_by_name(conn: psycopg.Connection) -> None:
    with pytest.raises(EnqueueError, match="give it by name"):
        enqueue(conn, functions.send_once, 42)
    enqueue(conn, functions.send_once, order_id=42)
    # Here the second argument has the place of the key's in the function inside.
    with pytest.raises(EnqueueError, match="give it by name"):
        enqueue(conn, functions.pay_once, 42, 100)
    first = enqueue(conn, functions.pay_once, order_id=42, cents=100)
    assert enqueue(conn, functions.pay_once, order_id=42, cents=200) == first


def test_a_secret_that_a_decorator_shifts_is_not_shown(conn: psycopg.Connection) -> None:
    row = row_of(conn, enqueue(conn, functions.log_in, "swordfish").id)
    assert row["summary"] == "log_in(***)"


def test_options_are_found_below_a_decorator(conn: psycopg.Connection) -> None:
    first = enqueue(conn, functions.above, 1)
    assert enqueue(conn, functions.above, 1) == first
    row = row_of(conn, first.id)
    assert (row["queue"], row["max_attempts"], row["timeout"]) == ("mail", 1, 30.0)
    assert options_of(functions.above).policy.retry_on == (OSError,)
    assert options_of(functions.Sender().above).queue == "mail"


@pytest.mark.parametrize("function", [functions.above_json, functions.above_named])
def test_a_decorator_that_a_job_found_by_its_name_would_lose_is_refused(
    conn: psycopg.Connection, function: Any
) -> None:
    with pytest.raises(EnqueueError, match="put @job above the decorator"):
        enqueue(conn, function, 1)


def test_job_twice_with_a_decorator_between_is_refused() -> None:
    with pytest.raises(UsageError, match="@job twice"):
        job(functions.above)


# -- JSON names its function, and deployments rename functions.


def test_json_of_an_old_name_runs_what_has_moved_if_the_list_has_it() -> None:
    task, payload = f"{__name__}:old_name", JsonDumper(functions.moved, 100).dump((3,), {})
    assert load(payload, task)() == 3
    both = AllowList((__name__, "tests.support.functions_decorated:moved"))
    assert load(payload, task, both)() == 3
    with pytest.raises(NotAllowedError, match="functions_decorated:moved"):
        load(payload, task, AllowList((__name__,)))
