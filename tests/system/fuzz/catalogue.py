"""The bad inputs that `docs/how-it-is-tested/bad-input.md` lists by name, tried for real: what each of them got."""

from __future__ import annotations

import contextlib
import io
import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import create_engine

from pgjobs import (
    ExponentialBackoff,
    Limit,
    PgjobsError,
    Retry,
    Sequence,
    Snooze,
    Unique,
    configure,
    enqueue,
    enqueue_many,
    job,
)
from pgjobs.cli.main import main
from pgjobs.core.config import Settings, forget_settings
from pgjobs.core.text import shorten_repr
from tests.support.worker import drain
from tests.system.fuzz import tasks
from tests.system.fuzz.bad_rows import PAYLOADS, REFUSED, TASK
from tests.system.fuzz.contents import contents
from tests.system.fuzz.values import VALUES, Mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 200  # characters of a message on the page
# What differs between machines, and between versions of Python, of PostgreSQL and of libpq.
DIFFERS = [
    (re.compile(r"(cannot be pickled|cannot be loaded, it is damaged or was made by other code): .*"), r"\1: …"),
    (re.compile(r"(the payload cannot be loaded): (?!ModuleNotFound).*"), r"\1: …"),
    (re.compile(r"(cannot connect to [^:]+:1/d): .*?(\. A password.*)?$"), r"\1: …\2"),
    (re.compile(r" object at 0x[0-9a-f]+"), " object"),
    (re.compile(r"(Invalid value for [^:]+): .*?(\. See )"), r"\1: …\2"),
    (re.compile(r"pgjobs in \S+\. Go on"), "pgjobs in …. Go on"),
]


class Tried(NamedTuple):
    """`what` was tried, and `got` this."""

    what: str
    got: str


def shorten(message: str) -> str:
    """Cut a message to what is the same everywhere, and is short enough for a table."""
    line = " ".join(message.split())
    for pattern, instead in DIFFERS:
        line = pattern.sub(instead, line)
    return line if len(line) <= LIMIT else f"{line[: LIMIT - 1]}…"


def refusal(what: str, call: Callable[[], Any]) -> Tried:
    """Try a call that must be refused by one of our own errors."""
    try:
        call()
    except PgjobsError as error:
        return Tried(what, f"{type(error).__name__}: {shorten(str(error))}")
    raise AssertionError(f"accepted: {what}")


OPTIONS = {
    "queue": ["''", "' '", "'a\\0b'", "'\\ud800' (half of a surrogate pair)", "a million characters", "None", "b'x'"],
    "priority": ["-1", "1.5", "True", "None"],
    "max_attempts": ["0", "-1", "1.5", "a number of 5,001 digits"],
    "timeout": ["0", "NaN", "infinity", "1e308", "Decimal(5)"],
    "delay": ["-1", "NaN", "infinity", "None"],
    "run_at": ["a naive datetime", "a date", "the year 1", "the year 9999 in UTC-14", "a time zone that raises"],
    "executor": ["''", "a million characters", "an object that raises when it is asked anything"],
    "summary": ["None", "''", "an object that raises when it is asked anything"],
    "limit": ["''", "'a\\0b'", "a million characters", "b'x'"],
    "fair_by": ["' '", "0"],
    "breaker": ["''", "an object that raises when it is asked anything"],
    "expires": ["0", "a naive datetime"],
    "unique": ["''", "0"],
    "after": ["0", "'a\\0b'", "an object that raises when it is asked anything"],
    "nonsense": ["0"],
}
PARTS: dict[str, tuple[Any, list[str]]] = {
    "Limit": (Limit, ["concurrency -1", "rate ''", "burst 0", "cost 0", "cost NaN"]),
    "Unique": (Unique, ["until 0", "until None", "until infinity", "on_conflict None"]),
    "Sequence": (Sequence, ["on_failure None", "on_failure ''"]),
}
SETTINGS = {
    "database_url": ["0", "b'x'"],
    "schema": ["''", "'a\\0b'", "a million characters", "None"],
    "signing_keys": ["b'x'", "''", "None"],
    "max_payload": ["0", "-1", "1.5", "infinity", "True"],
    "summaries": ["None", "0"],
    "allow": ["0", "' '", "'a\\0b'", "{}"],
    "nonsense": ["0"],
}


def of_enqueue(url: str) -> Iterator[Tried]:
    """Try connections, callables and arguments."""
    lite = create_engine("sqlite://")
    with psycopg.connect(url) as conn:
        conns: dict[str, Any] = {
            "None": None,
            "a URL": "postgresql://h/d",
            "an Engine": create_engine("postgresql+psycopg://h/d"),
            "a connection to SQLite": lite.connect(),
            "a cursor": conn.cursor(),
        }
        for name, value in (*conns.items(), *((name, VALUES[name]) for name in list(VALUES)[:2])):
            yield refusal(f"`enqueue` on {name}", partial(enqueue, value, tasks.healthy, 1))
        conns["a connection to SQLite"].close()
        lite.dispose()
        for name in ("None", "'a\\0b'", "a generator", "a proxy that stands for nothing"):
            yield refusal(f"`enqueue` of {name}", partial(enqueue, conn, VALUES[name]))

        def function() -> None: ...

        function.__module__ = tasks.__name__
        function.__qualname__ = "a\0b"
        yield refusal("`enqueue` of a function whose name has a NUL", partial(enqueue, conn, function))
        yield refusal("`enqueue` of a generator function", partial(enqueue, conn, of_enqueue, url))
        yield refusal("`enqueue` with an argument too few", partial(enqueue, conn, tasks.healthy))
        yield refusal("`enqueue` with an argument too many", partial(enqueue, conn, tasks.healthy, 1, 2))
        yield refusal("`enqueue` with an unknown keyword", partial(enqueue, conn, tasks.healthy, 1, copy=True))
        for name in ("a lock", "a generator", "an object that raises when it is asked anything"):
            yield refusal(f"`enqueue` with {name} as argument", partial(enqueue, conn, tasks.healthy, VALUES[name]))
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        yield refusal("`enqueue` with a list in a list, 100,000 times", partial(enqueue, conn, tasks.healthy, deep))
        yield refusal("`enqueue` with 2 MB", partial(enqueue, conn, tasks.healthy, bytes(2_000_000)))
        for name in ("None", "0", "'a\\0b'", "{}", "a proxy that stands for nothing"):
            yield refusal(f"`enqueue_many` of {name}", partial(enqueue_many, conn, tasks.healthy, VALUES[name]))
        items: dict[str, Any] = {"5": 5, "'ab'": "ab", "{1: 2}": {1: 2}, "a mapping that raises": Mapping(a=1)}
        for name, value in items.items():
            yield refusal(
                f"`enqueue_many` with the item {name}", partial(enqueue_many, conn, tasks.healthy, [(1,), value])
            )
        assert conn.execute("SELECT 1").fetchone() == (1,), "the caller's transaction continues"


def of_options(_: str) -> Iterator[Tried]:
    """Try options, at enqueue and of the decorator, and what a job may raise."""
    for name, values in OPTIONS.items():
        for value in values:
            yield refusal(f"`options({name}=…)` with {value}", partial(tasks.healthy.options, **{name: VALUES[value]}))
    for name, (kind, parts) in PARTS.items():
        for part, value in (each.split(" ", 1) for each in parts):
            yield refusal(f"`{name}('a', {part}=…)` with {value}", partial(kind, "a", **{part: VALUES[value]}))
    for name in ("backoff", "retry_on", "give_up_on", "payload"):
        make: Any = partial(job, **{name: VALUES["'\\x1b[31m'"]})
        yield refusal(f"`@job({name}=…)` with '\\x1b[31m'", make)
    for value in ("0", "'a\\0b'", "object", "an object that raises when it is asked anything"):
        yield refusal(f"`@job` of {value}", partial(job, VALUES[value]))
    for name, make in (("Snooze", Snooze), ("Retry", Retry), ("ExponentialBackoff", ExponentialBackoff)):
        for value in ("-1", "NaN", "Decimal(5)"):
            yield refusal(f"`{name}` with {value}", partial(make, VALUES[value]))


def of_settings(_: str) -> Iterator[Tried]:
    """Try settings, by `configure` and by the environment."""
    for name, values in SETTINGS.items():
        for value in values:
            yield refusal(f"`configure({name}=…)` with {value}", partial(configure, **{name: VALUES[value]}))
    for variable, text in (
        ("PGJOBS_SCHEMA", 'x"; DROP SCHEMA public; --'),
        ("PGJOBS_SCHEMA", "pg_catalog"),
        ("PGJOBS_MAX_PAYLOAD", "1 MB"),
        ("PGJOBS_MAX_PAYLOAD", "9" * 5000),
        ("PGJOBS_ALLOW", "shop.*;mail"),
    ):
        yield refusal(f"`{variable}` = {shorten_repr(text)}", partial(Settings.from_environment, {variable: text}))


COMMANDS: dict[str, list[str]] = {
    "jobs show 1.5": ["jobs", "show", "1.5"],
    "jobs show 99999999999999999999": ["jobs", "show", "9" * 20],
    "jobs list --limit -1": ["jobs", "list", "--limit", "-1"],
    "jobs list --queue (no UTF-8)": ["jobs", "list", "--queue", "\udcff"],
    "jobs list --status done": ["jobs", "list", "--status", "done"],
    "jobs cancel 4711 (no such job)": ["jobs", "cancel", "4711"],
    "why 4711 (no such job)": ["why", "4711"],
    "jobs cancel": ["jobs", "cancel"],
    "jobs cancel 1 --queue mail": ["jobs", "cancel", "1", "--queue", "mail"],
    "jobs set 4711 (nothing to change)": ["jobs", "set", "4711"],
    "jobs set 4711 --priority 10": ["jobs", "set", "4711", "--priority", "10"],
    "jobs set 4711 --run-at soon": ["jobs", "set", "4711", "--run-at", "soon"],
    "jobs set 4711 --to-queue ''": ["jobs", "set", "4711", "--to-queue", ""],
    "tasks pause ' '": ["tasks", "pause", " "],
    "dead replay": ["dead", "replay"],
    "dead replay 1 --all": ["dead", "replay", "1", "--all"],
    "queues pause ' '": ["queues", "pause", " "],
    "breakers show stripe (no such breaker)": ["breakers", "show", "stripe"],
    "breakers open ' '": ["breakers", "open", " "],
    "breakers open stripe --for -1": ["breakers", "open", "stripe", "--for", "-1"],
    "breakers open stripe --for nan": ["breakers", "open", "stripe", "--for", "nan"],
    "schedules add x '0 9 * *' shop.tasks:report": [
        *("schedules", "add", "x", "0 9 * *", "tests.system.fuzz.tasks:healthy"),
    ],
    "schedules add x '0 0 30 2 *' shop.tasks:report": [
        *("schedules", "add", "x", "0 0 30 2 *", "tests.system.fuzz.tasks:healthy"),
    ],
    "schedules add x '0 9 * * *' shop.tasks:report --tz Mars": [
        *("schedules", "add", "x", "0 9 * * *", "tests.system.fuzz.tasks:healthy", "--args", "[1]", "--tz", "Mars"),
    ],
    "schedules add x '0 9 * * *' shop.tasks:report --args 1": [
        *("schedules", "add", "x", "0 9 * * *", "tests.system.fuzz.tasks:healthy", "--args", "1"),
    ],
    "schedules add x '0 9 * * *' nowhere:report": ["schedules", "add", "x", "0 9 * * *", "nowhere:report"],
    "schedules run x (no such schedule)": ["schedules", "run", "x"],
    "queues limit mail": ["queues", "limit", "mail"],
    "queues limit mail --rate fast": ["queues", "limit", "mail", "--rate", "fast"],
    "queues aging mail soon": ["queues", "aging", "mail", "soon"],
    "limits set 'tenant*' --concurrency 1": ["limits", "set", "tenant*", "--concurrency", "1"],
    "limits remove 4711 (no such limit)": ["limits", "remove", "4711"],
    "tenants set big 0": ["tenants", "set", "big", "0"],
    "history keep -5": ["history", "keep", "--", "-5"],
    "history keep soon": ["history", "keep", "soon"],
    "migrate --downgrade ''": ["migrate", "--downgrade", ""],
    "migrate --downgrade base (no terminal to ask)": ["migrate", "--downgrade", "base"],
    "work -q mail:x": ["work", "-q", "mail:x"],
    "work -q mail:0": ["work", "-q", "mail:0"],
    "work -q a -q a": ["work", "-q", "a", "-q", "a"],
    "work -q mail:99…9 (5,000 digits)": ["work", "-q", "mail:" + "9" * 5000],
    "work --grace nan": ["work", "--grace", "nan"],
    "work --rescue-after 1": ["work", "--rescue-after", "1"],
    "work --allow 'os; system'": ["work", "--allow", "os; system"],
    "status --schema 'No Name'": ["status", "--schema", "No Name"],
    "status x": ["status", "x"],
    "nonsense": ["nonsense"],
}
URLS = [
    "postgresql://u:secret@127.0.0.1:1/d",
    "postgresql://u:secret/more@127.0.0.1:1/d",
    "postgresql://u:secret%zz@127.0.0.1:1/d",
    "postgresql://u:secret more@127.0.0.1:1/d",
    "postgresql://u:se@cret@127.0.0.1:1/d",
    "postgresql://u:secret@[::1/d",
    "postgresql://u:secret@127.0.0.1:1/d?nonsense=1",
    "host=127.0.0.1 port=1 password=secret more",
    "host=127.0.0.1 port=1 password='secret",
    "mysql://u:secret@h/d",
    "u:secret@h/d",
]


def of_commands(url: str) -> Iterator[Tried]:
    """Try the command line; the exit code stands before the message."""
    for shown, arguments in COMMANDS.items():
        yield Tried(f"`pgjobs {shown}`", _run(url, arguments))
    for bad in URLS:
        got = _run(bad, ["status"])
        assert "cret" not in got, "a password, or a piece of it"
        yield Tried(f"`pgjobs status`, database `{bad}`", got)


def _run(url: str, arguments: list[str]) -> str:
    out, err = io.StringIO(), io.StringIO()
    before = os.environ.get("PGJOBS_DATABASE_URL")
    os.environ["PGJOBS_DATABASE_URL"] = url
    forget_settings()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        if before is None:
            del os.environ["PGJOBS_DATABASE_URL"]
        else:
            os.environ["PGJOBS_DATABASE_URL"] = before
        forget_settings()
    assert code in (1, 2), (arguments, out.getvalue())
    assert len(err.getvalue().splitlines()) == 1, err.getvalue()
    return f"{code}: {shorten(err.getvalue())}"


def of_rows(url: str) -> Iterator[Tried]:
    """Try rows that PostgreSQL must refuse."""
    with psycopg.connect(url, autocommit=True) as conn:
        for column, values in REFUSED.items():
            for value in values:
                row = {"task": TASK, "payload": b"x", column: value}
                statement = sql.SQL("INSERT INTO pgjobs.jobs ({}) VALUES ({})").format(
                    sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join([sql.Placeholder()] * len(row))
                )
                try:
                    conn.execute(statement, list(row.values()))
                except psycopg.Error as error:
                    shown = "NULL" if value is None else shorten_repr(value)
                    yield Tried(f"`{column}` = {shown}", f"refused: {shorten(str(error).splitlines()[0])}")
                else:
                    raise AssertionError(f"accepted: {column} = {value!r}")


def of_payloads(url: str) -> Iterator[Tried]:
    """Try payloads that are none: a worker runs them all, and each ends as a dead letter."""
    with psycopg.connect(url, autocommit=True) as conn:
        for payload in PAYLOADS.values():
            conn.execute(
                "INSERT INTO pgjobs.jobs (task, payload, max_attempts) VALUES (%s, %s, 1)", [TASK, payload], binary=True
            )
        drain(url)
        rows = conn.execute("SELECT error FROM pgjobs.dead_jobs ORDER BY id").fetchall()
        assert len(rows) == len(PAYLOADS)
        for name, (error,) in zip(PAYLOADS, rows, strict=True):
            yield Tried(name, f"failed: {shorten(error)}")


GROUPS: dict[str, Callable[[str], Iterator[Tried]]] = {
    "Enqueue": of_enqueue,
    "Options, and what a job may raise": of_options,
    "Settings": of_settings,
    "The command line": of_commands,
    "Rows written by SQL": of_rows,
    "Payloads, on a worker without an allow-list": of_payloads,
}
WRITING = {of_payloads}


def try_all(url: str) -> dict[str, list[Tried]]:
    """Try everything, in a database with nothing in it; nothing may be written, but by what is there to be written."""
    found = {}
    with psycopg.connect(url, autocommit=True) as conn:
        before = contents(conn)
        for title, group in GROUPS.items():
            forget_settings()
            found[title] = list(group(url))
            assert group in WRITING or contents(conn) == before, f"something was written: {title}"
    return found
