"""Payloads in JSON: what can travel, what is refused, and what a row in JSON may call."""

from __future__ import annotations

import functools
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Limit, Sequence, configure, enqueue, enqueue_many, job
from pgjobs.core.allowlist import AllowList
from pgjobs.core.errors import EnqueueError, NotAllowedError, PayloadError, UsageError
from pgjobs.jobs.outcome import ErrorKind
from pgjobs.jobs.registry import import_job
from pgjobs.jobs.retry import kind_of
from pgjobs.payload.json_format import JsonDumper, load_json
from pgjobs.payload.pickling import load
from tests.support import functions
from tests.support.rows import row_of

if TYPE_CHECKING:
    from pathlib import Path

TASK = "tests.support.functions:tell"
TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=2), st.dictionaries(st.sampled_from(["c", "d", "e"]), JSON))
def test_what_json_has_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    payload = JsonDumper(functions.tell, 100_000).dump(tuple(args), kwargs)
    assert load_json(payload, TASK, None) == (functions.tell, tuple(args), kwargs)


class Color(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [(1,)],
        {1: 2},
        {1},
        b"x",
        1j,
        Decimal(1),
        datetime(2026, 1, 1, tzinfo=UTC),
        float("nan"),
        "\ud800",
        Color.RED,
        object(),
    ],
    ids=lambda value: type(value).__name__,  # no repr: addresses are others in each process
)
def test_what_json_has_not_is_refused_with_the_name_of_the_argument(conn: psycopg.Connection, value: object) -> None:
    refusal = r"argument 'b' of tell is .*, which JSON does not have"
    with pytest.raises(EnqueueError, match=refusal):
        enqueue(conn, functions.tell, 0, value)
    with pytest.raises(EnqueueError, match=refusal):
        enqueue(conn, functions.tell, 0, b=value)
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)


def test_a_row_has_the_arguments_alone_in_plain_text(conn: psycopg.Connection) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((1, "ü"), {}, '[1,"ü"]'),
        ((), {"a": [1]}, '{"a":[1]}'),
        ((1,), {"b": None}, '{"*":[1],"b":null}'),
    ]
    for args, kwargs, text in calls:
        handle = enqueue(conn, functions.tell, *args, **kwargs)
        row = conn.execute("SELECT task, convert_from(payload, 'UTF8') FROM pgjobs.jobs WHERE id = %s", [handle.id])
        assert row.fetchone() == (TASK, text)


def test_many_are_enqueued_as_one(conn: psycopg.Connection) -> None:
    enqueue_many(conn, functions.tell, [(number,) for number in range(3)])
    rows = conn.execute("SELECT convert_from(payload, 'UTF8'), summary FROM pgjobs.jobs ORDER BY id").fetchall()
    assert rows == [(f"[{number}]", f"tell({number})") for number in range(3)]


def test_one_that_is_too_large_is_refused(conn: psycopg.Connection) -> None:
    configure(max_payload=10)
    with pytest.raises(EnqueueError, match="13 bytes, and 10 are allowed"):
        enqueue(conn, functions.tell, "123456789")


class Holder:
    @job(payload="json")
    def method(self) -> None: ...

    @staticmethod
    @job(payload="json")
    def static(number: int) -> int:
        return number


def test_only_what_is_found_by_its_name_can_be_called_by_a_name(conn: psycopg.Connection) -> None:
    @job(payload="json")
    def local() -> None: ...

    for function in (local, Holder().method, functools.partial(functions.tell, 1)):
        with pytest.raises(EnqueueError, match="payload='json'"):
            enqueue(conn, function)
    payload = JsonDumper(Holder.static, 100).dump((1,), {})
    assert load(payload, "tests.payload.test_json_format:Holder.static")() == 1


def test_another_kind_of_payload_is_refused() -> None:
    with pytest.raises(UsageError, match="'pickle' or 'json'"):
        job(payload="xml")  # type: ignore[call-overload]  # the mistake is the subject


@pytest.mark.parametrize(
    ("task", "payload", "error"),
    [
        ("os:system", '["true"]', NotAllowedError),
        ("os.path:getsize", '["x"]', NotAllowedError),
        ("tests.support.functions:add", "[1, 2]", PayloadError),  # a job, but of pickles: it may change
        ("tests.support.functions:plain", "[1]", PayloadError),  # no job, yet
        ("tests.support.functions:tell.function", "[1]", NotAllowedError),
        ("tests.payload.test_json_format:functions.tell", "[1]", NotAllowedError),  # by another name
        ("no.such.module:f", "[]", PayloadError),
        (TASK, "[", PayloadError),
        (TASK, '{"*": 1}', PayloadError),
        (TASK, '{"*": [1], "a": 1}', PayloadError),
        (TASK, "[1, 2, 3]", PayloadError),
        ("", "[]", PayloadError),
        (TASK, "[" * 100_000, PayloadError),
    ],
)
def test_a_row_in_json_calls_nothing_but_what_declares_it(task: str, payload: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        load(payload.encode(), task)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_the_allow_list_holds_for_json_as_well() -> None:
    assert load(b"[1]", TASK, AllowList(("tests.*",))).args == (1,)
    with pytest.raises(NotAllowedError, match="--allow"):
        load(b"[1]", TASK, AllowList(("shop.*",)))


def test_name_that_no_job_has_here_counts_as_code_that_cannot_be_imported() -> None:
    with pytest.raises(PayloadError, match="no module that was imported here declares it") as caught:
        load(b"[1]", "shop.sync")
    assert kind_of(caught.value) == ErrorKind.NAME_MISSING
    for module in ("__main__", "json"):
        with pytest.raises(PayloadError, match=r"this worker knows no job 'shop\.sync'") as caught:
            import_job("shop.sync", module)
        assert kind_of(caught.value) == ErrorKind.NAME_MISSING


def test_worker_that_takes_json_alone_imports_no_module_that_a_row_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_mail.py").write_text(
        'from pgjobs import job\n@job(payload="json")\ndef send(n): ...\nplain = len\n'
    )
    (tmp_path / "drop_everything.py").write_text("raise SystemExit('the code of a script ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for task in ("drop_everything:main", "shop_mail:send", "nowhere:f"):
        with pytest.raises(PayloadError, match="--import") as caught:
            load(b"[1]", task, pickles=False)
        assert kind_of(caught.value) == ErrorKind.MODULE_MISSING, "it is retried: a deployment may be under way"
    assert "shop_mail" not in sys.modules
    load(b"[1]", "shop_mail:send", AllowList(("shop_mail",)), pickles=False)
    sys.modules.pop("shop_mail")
    import_module("shop_mail")  # as --import does
    try:
        assert load(b"[1]", "shop_mail:send", pickles=False).args == (1,)
        with pytest.raises(NotAllowedError, match="takes no JSON payload"):
            load(b"[1]", "shop_mail:plain", pickles=False)
    finally:
        sys.modules.pop("shop_mail")


# -- in SQL ----------------------------------------------------------------------------------------------------------


def test_sql_enqueues_with_all_options(conn: psycopg.Connection) -> None:
    row = conn.execute(
        """
        SELECT pgjobs.enqueue('tests.support.functions:tell', '{"a": 42, "api_key": "x"}', queue => 'mail',
                              priority => 2, delay => '1 hour', max_attempts => 3, timeout => '1500 ms',
                              executor => 'thread')
        """
    ).fetchone()
    assert row is not None
    found = conn.execute(
        """
        SELECT queue, priority, max_attempts, timeout, executor, summary, status,
               run_at > now() + interval '59 min', payload FROM pgjobs.jobs WHERE id = %s
        """,
        row,
    ).fetchone()
    assert found is not None
    assert found[:-1] == ("mail", 2, 3, 1.5, "thread", "tell(a=42, api_key=***)", "queued", True)
    assert json.loads(found[-1]) == {"a": 42, "api_key": "x"}


def test_sql_enqueues_with_defaults_like_python(conn: psycopg.Connection) -> None:
    conn.execute("SELECT pgjobs.enqueue('tests.support.functions:tell', '[1, \"x\"]')")
    enqueue(conn, functions.tell, 1, "x")
    columns = "queue, priority, max_attempts, timeout, executor, task, status, attempt"
    rows = conn.execute(f"SELECT {columns} FROM pgjobs.jobs").fetchall()
    assert rows[0] == rows[1]


def in_sql(conn: psycopg.Connection, arguments: str = "") -> int:
    row = conn.execute(f"SELECT pgjobs.enqueue('tests.support.functions:tell', '[1]'{arguments})".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_sql_enqueues_what_waits_like_python(conn: psycopg.Connection) -> None:
    options = (
        ", limit_key => 'a', tenant => 't', sequence => 's', breaker => 'b', cost => 2, on_failure => 'end', "
        "expires => '1 min', delay => '1 hour'"
    )
    rows = [row_of(conn, in_sql(conn, options))]
    changed = functions.tell.options(
        limit=Limit("a", cost=2),
        fair_by="{a}",
        sequence=Sequence("s", on_failure="end"),
        breaker="b",
        expires=60,
        delay=3600,
    )
    rows.append(row_of(conn, enqueue(conn, changed, "t").id))
    for row in rows:
        row["expires_at"] -= row["run_at"]
        for name in ("id", "run_at", "enqueued_at", "summary", "payload"):
            del row[name]
    assert rows[0] == rows[1]
    assert (rows[0]["status"], rows[0]["held"], rows[0]["lane"]) == ("waiting", "later", "t\x1fa\x1fs\x1fb")
    # What may expire waits, too, so that what is too late is seen when its turn comes.
    alone = [
        row_of(conn, in_sql(conn, ", expires => '1 min'")),
        row_of(conn, enqueue(conn, functions.tell.options(expires=60), 1).id),
    ]
    assert [(row["status"], row["held"], row["lane"]) for row in alone] == [("waiting", None, "\x1f\x1f\x1f")] * 2
    plain = row_of(conn, in_sql(conn))
    assert (plain["status"], plain["lane"]) == ("queued", None)


def test_sql_and_python_meet_at_the_same_unique_key(conn: psycopg.Connection) -> None:
    first = in_sql(conn, ", unique_key => 'x'")
    assert in_sql(conn, ", unique_key => 'x'") == first
    assert enqueue(conn, functions.tell.options(unique="x"), 2).id == first
    assert in_sql(conn, ", unique_key => 'x', on_conflict => 'replace', priority => 1, after => '{}'") == first
    assert row_of(conn, first)["priority"] == 1
    with pytest.raises(psycopg.errors.UniqueViolation, match=f"job {first} has the key 'x'"):
        in_sql(conn, ", unique_key => 'x', on_conflict => 'raise'")
    last = in_sql(conn, f", after => '{{{first}}}', if_failed => 'run'")
    assert row_of(conn, last)["needs"] == 1
    edges = conn.execute("SELECT needs_id, job_id, on_failure FROM pgjobs.dependencies").fetchall()
    assert edges == [(first, last, "run")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("NULL", "NULL is not the name of a function"),
        ("'two words'", "'two words' is not the name of a function"),
        ("'a:b', '1'", "neither an array nor an object"),
        ("'a:b', NULL", "neither an array nor an object"),
        ("'a:b', '{\"*\": 1}'", "are not an array"),
        ("'a:b', run_at => now(), delay => '1 s'", "both given"),
        ("'a:b', delay => '-1 s'", "delay is negative"),
        ("'a:b', priority => 10", "job_priority"),
        ("'a:b', queue => ''", "job_queue"),
        ("'a:b', max_attempts => 0", "job_max_attempts"),
        ("'a:b', timeout => '0 s'", "job_timeout"),
        ("'a:b', executor => 'gpu'", "job_executor"),
        ("'a:b', limit_key => ''", "key '' cannot be used"),
        ("'a:b', sequence => repeat('x', 101)", "cannot be used"),
        ("'a:b', unique_key => E'a\\x1f'", "cannot be used"),
        ("'a:b', tenant => E'a\\n'", "cannot be used"),
        ("'a:b', cost => 0", "above 0"),
        ("'a:b', cost => 'NaN'", "above 0"),
        ("'a:b', expires => '0 s'", "above 0"),
        ("'a:b', unique_key => 'x', unique_for => '-1 s'", "above 0"),
        ("'a:b', unique_key => 'x', unique_until => 'never'", "unique_until is"),
        ("'a:b', unique_key => 'x', on_conflict => NULL", "on_conflict is"),
        ("'a:b', on_failure => 'stop'", "on_failure is"),
        ("'a:b', after => '{1}', if_failed => 'stop'", "if_failed is"),
        ("'a:b', after => '{4711}'", "there is no job 4711"),
        ("'a:b', after => '{1}', unique_key => 'x', on_conflict => 'replace'", "use one"),
    ],
)
def test_sql_refuses_what_python_refuses(conn: psycopg.Connection, arguments: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message):
        conn.execute(f"SELECT pgjobs.enqueue({arguments})".encode())
    conn.rollback()
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)
