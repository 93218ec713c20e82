"""What can be a pipeline, and how declarations are written, changed and retired as those of schedules are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from pgjobs import (
    PayloadError,
    Pipeline,
    Stages,
    UsageError,
    Workflow,
    admin,
    broadcast,
    enqueue,
    job,
    pipeline,
    subscribe,
)
from pgjobs.core.allowlist import parse_allow
from pgjobs.events import subscribe as subscriptions
from pgjobs.jobs import pipeline as declarations
from pgjobs.jobs.pipeline import declared_pipelines, find_pipeline
from pgjobs.payload.pickling import load
from pgjobs.pipelines.stored import StoredPipeline
from pgjobs.pipelines.sync import DeclaredPipelines
from pgjobs.schedules.sync import Declaration
from tests.events import tasks as events
from tests.support import tasks_pipelines as tasks

if TYPE_CHECKING:
    import psycopg


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test without the declarations of others, and forget its own."""
    monkeypatch.setattr(declarations, "_pipelines", {})
    monkeypatch.setattr(subscriptions, "_subscriptions", {})


def declare(conn: psycopg.Connection, declaration: Declaration | None = None, role: str = "shop") -> Declaration:
    """Write the declarations of this process, as a supervisor does."""
    declaration = declaration or Declaration(role)
    found = [StoredPipeline.from_message(StoredPipeline.of(each).to_message()) for each in declared_pipelines()]
    declaration.send_heartbeat(conn, {}, [DeclaredPipelines.of(found)])
    return declaration


def rows(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT p.name, p.app, p.at_most, p.retired_at IS NULL, "
        "array_agg(s.name || ':' || s.queue || '>' || coalesce(s.next, '') ORDER BY s.place) "
        "FROM pgjobs.pipelines AS p JOIN pgjobs.pipeline_stages AS s ON s.pipeline = p.name GROUP BY p.name ORDER BY 1"
    ).fetchall()


def test_a_declaration_is_written_and_changed(conn: psycopg.Connection) -> None:
    pipeline("a", tasks.double >> tasks.store, at_most=5)
    old = declare(conn)
    assert rows(conn) == [("a", "tests", 5, True, ["double:default>a/store", "store:default>"])]
    declarations._pipelines.clear()
    pipeline("a", tasks.double.options(queue="x") >> tasks.negate >> tasks.negate >> tasks.store, at_most=6)
    new = declare(conn)
    assert rows(conn) == [
        (
            "a",
            "tests",
            6,
            True,
            ["double:x>a/negate", "negate:default>a/negate-2", "negate-2:default>a/store", "store:default>"],
        )
    ]
    declarations._pipelines.clear()
    old.end(conn)
    declare(conn, new)
    assert [row[:4] for row in rows(conn)] == [("a", "tests", 6, False)]


def test_one_of_another_application_is_not_taken_over(
    conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline("a", tasks.double >> tasks.store, app="shop")
    declare(conn)
    declarations._pipelines.clear()
    pipeline("a", tasks.negate >> tasks.store, app="mail")
    declare(conn, role="mail")
    assert rows(conn)[0][:2] == ("a", "shop")
    assert "the application shop has one of that name" in caplog.text


def test_a_supervisor_that_knows_nothing_of_pipelines_retires_none(conn: psycopg.Connection) -> None:
    pipeline("a", tasks.double >> tasks.store)
    declare(conn).end(conn)
    Declaration("shop").send_heartbeat(conn, {})
    assert rows(conn)[0][3]


def test_a_pipeline_that_was_retired_long_ago_is_forgotten_with_its_stages(conn: psycopg.Connection) -> None:
    pipeline("a", tasks.double >> tasks.store)
    declare(conn).end(conn)
    conn.execute("UPDATE pgjobs.pipelines SET retired_at = now() - interval '31 days'")
    declarations._pipelines.clear()
    declare(conn)
    assert conn.execute("SELECT FROM pgjobs.pipelines").fetchall() == []
    assert conn.execute("SELECT FROM pgjobs.pipeline_stages").fetchall() == []


def test_a_module_that_is_loaded_again_declares_the_same() -> None:
    pipeline("a", tasks.double >> tasks.store, at_most=5)
    again = pipeline("a", tasks.double >> tasks.store, at_most=6)
    assert declared_pipelines() == [again]
    with pytest.raises(UsageError, match="another pipeline 'a'"):
        pipeline("a", tasks.negate >> tasks.store)


@job(unique="{item}")
def once(item: int) -> int:
    return item


@job
def of_two(item: int, other: int) -> int:
    return item + other


@job
def yields(item: int) -> Iterator[int]:
    yield item


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pipeline("a/b", tasks.double >> tasks.store), "give a name of 1 to 60 letters"),
        (lambda: pipeline(cast("Any", 7), tasks.double >> tasks.store), "give a name of 1 to 60 letters"),
        (lambda: pipeline("a", cast("Any", tasks.double)), "give at least two jobs"),
        (lambda: pipeline("a", Stages([tasks.double])), "has 1 stages"),
        (lambda: pipeline("a", tasks.double >> tasks.store, at_most=0), "at_most"),
        (lambda: pipeline("a", tasks.double >> cast("Any", len)), "give a job, made by @job"),
        (lambda: pipeline("a", cast("Any", tasks.store_many) >> tasks.store), "has batch=, and only the last stage"),
        (
            lambda: pipeline("a", cast("Any", tasks.store_within) >> tasks.store),
            "has transaction=True, and only the last stage",
        ),
        (lambda: pipeline("a", tasks.double >> once), "has unique=, and only the first stage"),
        (lambda: pipeline("a", tasks.double >> cast("Any", of_two)), "cannot be called with an item alone"),
        (lambda: pipeline("a", tasks.double >> yields), "yields values, and is the last stage"),
        (lambda: pipeline("a", tasks.double >> tasks.numbers), "cannot be a stage of 'a': give its jobs"),
        (lambda: pipeline("a", job(lambda: 1) >> tasks.store), "is made inside of a function"),
        (lambda: pipeline("a", subscribe("x")(events.nothing) >> tasks.store), "is a subscription"),
        (lambda: pickle.dumps(pipeline("a", tasks.double >> tasks.store)), "cannot be an argument of a job"),
    ],
)
def test_what_cannot_be_a_pipeline_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def payload_of(conn: psycopg.Connection, made: Pipeline[..., Any], *args: Any) -> bytes:
    handle = enqueue(conn, made, *args)
    row = conn.execute("SELECT payload, lane FROM pgjobs.jobs WHERE id = %s", [handle.id]).fetchone()
    assert row is not None
    assert row[1].endswith("\x1fa/double")
    return bytes(row[0])


def test_an_item_says_in_which_stage_it_is(conn: psycopg.Connection) -> None:
    payload = payload_of(conn, pipeline("a", tasks.double >> tasks.store), 7)
    call = load(payload, "x")
    assert call.args == (7,)
    assert call.callable.following.__name__ == "store"  # type: ignore[attr-defined]  # a StageJob
    declarations._pipelines.clear()
    with pytest.raises(PayloadError, match="--import MODULE, the module that declares it"):
        load(payload, "x")
    pipeline("a", tasks.negate >> tasks.store)
    with pytest.raises(PayloadError, match="has no stage 'double' here; there are negate, store"):
        load(payload, "x")


def test_an_item_whose_stage_is_the_last_one_now_goes_nowhere(conn: psycopg.Connection) -> None:
    payload = payload_of(conn, pipeline("a", tasks.double >> tasks.store), 7)
    declarations._pipelines.clear()
    pipeline("a", tasks.negate >> tasks.double)
    assert load(payload, "x").callable is tasks.double


def test_the_module_of_a_pipeline_has_to_be_allowed(conn: psycopg.Connection) -> None:
    payload = payload_of(conn, pipeline("a", tasks.double >> tasks.store), 7)
    task = "tests.support.tasks_pipelines:double"
    with pytest.raises(PayloadError, match="test_declare, with the pipeline a, may not be used"):
        load(payload, task, parse_allow(["tests.support.tasks_pipelines"]))
    assert load(payload, task, parse_allow(["tests.*"])).args == (7,)


def test_a_module_is_imported_for_its_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "tests.support.tasks_pipelines")
    assert find_pipeline("numbers", "tests.support.tasks_pipelines").stage_names()[0] == "double"


def test_a_sequence_is_one_of_its_stage_alone(conn: psycopg.Connection) -> None:
    """Else a stage would wait for items that wait for room in it."""
    made = pipeline("a", tasks.of_key >> tasks.in_order)
    handle = enqueue(conn, made, 7, 1)
    row = conn.execute("SELECT sequence FROM pgjobs.jobs WHERE id = %s", [handle.id]).fetchone()
    assert row == ("a/of_key:7",)


def test_keys_that_are_too_long_with_the_stage_are_refused(conn: psycopg.Connection) -> None:
    keys: dict[str, Any] = {"limit": "l" * 100, "sequence": "s" * 20, "breaker": "b" * 100, "fair_by": "{meta.t}"}
    long = pipeline("p" * 60, tasks.double.options(**keys, meta={"t": "t" * 100}) >> tasks.store)
    with pytest.raises(UsageError, match="420 are allowed: make shorter keys"):
        enqueue(conn, long, 1)


def test_a_pipeline_is_neither_a_step_nor_broadcast_and_may_be_scheduled(conn: psycopg.Connection) -> None:
    made = pipeline("a", tasks.double >> tasks.store)
    with pytest.raises(UsageError, match="cannot be a step of a workflow: enqueue its items in a step"):
        Workflow("flow").add(made, 1)
    with pytest.raises(UsageError, match="cannot be a step of a workflow"):
        Workflow("flow").add(made.options(priority=1), 1)
    with pytest.raises(UsageError, match="cannot be broadcast"):
        broadcast(conn, made, 1)
    admin.add_schedule(conn, "nightly", "0 0 * * *", made, (1,))
    admin.run_schedule(conn, "nightly")
    assert conn.execute("SELECT lane FROM pgjobs.jobs").fetchall() == [("\x1f\x1f\x1f\x1f\x1fa/double",)]
