"""Every command with arguments of any kind: exit code 0, 1 or 2, a few lines, nothing written, no password shown."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pgjobs.cli.main import main
from pgjobs.core.config import forget_settings
from tests.support.processes import environment
from tests.support.rows import put_dead, put_job
from tests.system.fuzz.contents import contents
from tests.system.fuzz.profile import fuzz

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = "sekret9"
UNEXPECTED = ("Traceback", "unexpected AttributeError", "unexpected TypeError", "unexpected ValueError", "run it again")

NUMBER = st.one_of(
    st.sampled_from(["-1", "0", "1e9", "9" * 30, "9" * 5000, "nan", "inf", "-inf", "²", "١٢", "0x10", "1_0", "1.5"]),
    st.integers().map(str),
    st.floats().map(str),
)
TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", " ", "\udcff", "a\0b", "q" * 101, "x" * 100_000, "'; DROP TABLE pgjobs.jobs; --", "%", "\x1b[31m", "a:b:c"]
    ),
    NUMBER,
)
READING = st.sampled_from(
    [
        *(
            ["jobs", "list"],
            ["jobs", "show"],
            ["dead", "list"],
            ["dead", "show"],
            ["queues", "list"],
            ["history", "list"],
            ["breakers", "list"],
            ["breakers", "show"],
            ["limits", "list"],
            ["tenants", "list"],
            ["schedules", "list"],
            ["schedules", "show"],
            ["subscriptions", "list"],
            ["subscriptions", "show"],
            ["subscriptions", "topics"],
            ["broadcasts", "list"],
            ["broadcasts", "show"],
            ["pipelines", "list"],
            ["pipelines", "show"],
            ["tasks", "list"],
            ["workflows", "list"],
            ["workflows", "show"],
        ),
        *(["status"], ["why"], ["metrics", "--once"], ["migrate", "--sql"], ["nonsense"], ["jobs"], []),
        ["tenants", "remove"],  # it does not exist: the command says so, and succeeds
    ]
)
# With what they are given here, these must find nothing to do.
REFUSING = st.sampled_from(
    [
        *(["jobs", "retry"], ["jobs", "cancel"], ["dead", "replay"], ["dead", "discard"], ["history", "keep"]),
        *(["dead", "keep"], ["migrate", "--downgrade"], ["work", "--drain", "--allow"], ["work", "--drain", "--grace"]),
        *(["jobs", "set"], ["drain", "--timeout"]),
        *(["work", "--drain", "--processes"], ["work", "--drain", "--rescue-after"]),
        *(["subscriptions", "pause"], ["subscriptions", "resume"], ["subscriptions", "remove"]),
        *(["subscriptions", "replay"], ["subscriptions", "replay", "x"]),
        *(["pipelines", "pause"], ["pipelines", "resume"], ["pipelines", "remove"]),
        *(["schedules", "pause"], ["schedules", "resume"], ["schedules", "remove"], ["schedules", "run"]),
        *(["workflows", "retry"], ["workflows", "cancel"], ["workflows", "pause"], ["workflows", "resume"]),
        *(["limits", "set"], ["limits", "remove"], ["queues", "limit"]),
        *(["schedules", "add"], ["schedules", "add", "x"], ["schedules", "add", "x", "0 9 * * *"]),
    ]
)
OPTION = st.sampled_from(["-q", "-t", "-n", "-s", "--before", "--queue", "--limit", "--json", "--schema", "--debug=1"])


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run the command line in this process, and give its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    forget_settings()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    forget_settings()
    return code, out.getvalue(), err.getvalue()


def check(arguments: Sequence[str], code: int, out: str, err: str) -> None:
    shown = f"{[argument[:60] for argument in arguments]!r}: {code} {err[:1000]!r}"
    assert code in (0, 1, 2), shown
    is_help = "Usage: " in err
    assert is_help or not any(word in err for word in UNEXPECTED), shown
    assert is_help or (len(err.splitlines()) <= 3 and len(err) < 1500), shown
    assert code == 0 or out == "" or is_help or "Usage: " in out, shown
    assert SECRET not in out + err, shown


def is_number(word: str) -> bool:
    try:
        return float(word) >= 0
    except ValueError:
        return False


@pytest.fixture
def url(database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database, with a job of each kind in it, as the one that commands use."""
    monkeypatch.setenv("PGJOBS_DATABASE_URL", database_url)
    put_job(conn, queue="mail")
    put_dead(conn, queue="mail")
    return database_url


@given(command=READING, words=st.lists(st.one_of(TEXT, OPTION), max_size=4))
@example(command=["jobs", "list"], words=["-q", "\udcff"])
@example(command=["jobs", "list"], words=["-t", "a\0b"])
@example(command=["dead", "list"], words=["--before", "9" * 30])
@example(command=["status"], words=["x" * 100_000])
@fuzz
def test_what_only_reads_takes_or_refuses_any_words(
    command: list[str], words: list[str], url: str, conn: psycopg.Connection
) -> None:
    before = contents(conn)
    arguments = [*command, *words]
    check(arguments, *run(arguments))
    assert contents(conn) == before


@given(command=REFUSING, word=TEXT)
@example(command=["migrate", "--downgrade"], word="")
@example(command=["work", "--drain", "-q"], word="a:" + "9" * 5000)
@fuzz
def test_what_changes_something_does_nothing_without_a_meaning(
    command: list[str], word: str, url: str, conn: psycopg.Connection
) -> None:
    # These have a meaning: numbers of jobs, of days, of seconds; revisions; patterns.
    assume(not is_number(word))
    assume(word not in ("-1", "base", "forever", "inf") and not (command[-1] == "--allow" and word.strip()[:1] != "-"))
    before = contents(conn)
    arguments = [*command, word]
    code, out, err = run(arguments)
    check(arguments, code, out, err)
    assert code in (1, 2), (arguments, out, err)
    assert contents(conn) == before


@given(
    name=TEXT.filter(lambda name: not name.startswith("-")),
    verb=st.sampled_from(["pause", "resume"]),
    kind=st.sampled_from(["queues", "tasks"]),
)
@example(name=":", verb="resume", kind="tasks")
@fuzz
def test_a_queue_or_task_is_paused_under_exactly_that_name_or_not_at_all(
    name: str, verb: str, kind: str, url: str, conn: psycopg.Connection
) -> None:
    before = contents(conn)
    arguments = [kind, verb, name]
    code, out, err = run(arguments)
    check(arguments, code, out, err)
    table, column = {"queues": ("queues", "name"), "tasks": ("paused_tasks", "task")}[kind]
    names = [row[0] for row in conn.execute(f"SELECT {column} FROM pgjobs.{table}").fetchall()]
    assert names == ([name] if code == 0 and verb == "pause" else [])
    conn.execute(f"DELETE FROM pgjobs.{table}")
    assert contents(conn) == before


URLS = [
    "postgresql://u:{}/x@127.0.0.1:1/d",
    "postgresql://u:a?{}@127.0.0.1:1/d",
    "postgresql://u:12?{}@127.0.0.1:1/d",
    "postgresql://u:a#{}@127.0.0.1:1/d",
    "postgresql://u:p w{}@127.0.0.1:1/d",
    "postgresql://u:50%zz{}@127.0.0.1:1/d",
    "postgresql://u:{}＠x@127.0.0.1:1/d",  # noqa: RUF001 (a sign that looks like another is the subject)
    "postgresql://u:p@{}:x@127.0.0.1:1/d",
    "postgresql://u:{}@[::1/d",
    "postgresql://u:{}@127.0.0.1:99999/d",
    "postgresql://u:{}@127.0.0.1:abc/d",
    "postgresql://u:{}@127.0.0.1:1,127.0.0.1:2/d",
    "postgresql://u:{}@127.0.0.1:1/d?sslmode=sometimes",
    "postgresql://u:{}@127.0.0.1:1/d?nonsense=1",
    "postgresql://u:{}@127.0.0.1:1/d?sslpassword=%z{}",
    "postgresql://127.0.0.1:1/d?user=u&password=50%zz{}",
    "postgresql://u:{}@127.0.0.1:1/\udcff",
    "postgresql+asyncpg://u:{}@127.0.0.1:1/d",
    "host=127.0.0.1 port=1 password = {} user=u",
    "host=127.0.0.1 port=1 password='a {}",
    "host=127.0.0.1 port=x password={}",
    "host=127.0.0.1 port=1 password=a {}",
    "mysql://u:{}@h/d",
    "POSTGRESQL://u:{}@h/d",
    "postgresql:/u:{}@h/d",
    "u:{}@h/d",
    "jdbc:postgresql://127.0.0.1:1/d?user=u&password={}",
]


@pytest.mark.parametrize("debug", [False, True], ids=["", "--debug"])
@pytest.mark.parametrize("pattern", URLS, ids=ascii)
def test_no_url_shows_its_password(pattern: str, debug: bool) -> None:
    arguments = ["status", "--database-url", pattern.replace("{}", SECRET), *["--debug"] * debug]
    code, out, err = run(arguments)
    assert code in (1, 2)
    assert SECRET not in out + err, err
    if not debug:
        check(arguments, code, out, err)
        assert len(err.splitlines()) == 1


@given(
    before=st.text("ab:/?#%@ []'=&2f", max_size=8),
    after=st.text("ab:/?#%@ []'=&2f", max_size=8),
    kind=st.sampled_from(["postgresql://u:{}@127.0.0.1:1/d", "postgresql://u:{}@127.0.0.1:1/d?sslmode=disable"]),
    debug=st.booleans(),
)
@fuzz
def test_no_password_of_whatever_characters_is_shown(before: str, after: str, kind: str, debug: bool) -> None:
    arguments = ["status", "--database-url", kind.format(before + SECRET + after), *["--debug"] * debug]
    code, out, err = run(arguments)
    assert code in (1, 2)
    assert SECRET not in out + err, err


@pytest.mark.parametrize(
    "arguments",
    [["jobs", "list", "-q", b"\xff"], ["jobs", "show", "9" * 30], ["work", "--drain", "-q", "a:b:c"]],
    ids=["no UTF-8", "an id beyond bigint", "no number of slots"],
)
def test_a_process_of_its_own_says_the_same(arguments: list[str | bytes], url: str) -> None:
    command = [os.fsencode(word) for word in (sys.executable, "-m", "pgjobs", *arguments)]
    env = {**environment(), "PGJOBS_DATABASE_URL": url}
    done = subprocess.run(command, capture_output=True, env=env, check=False, timeout=60)
    check(["a process"], done.returncode, done.stdout.decode(), done.stderr.decode())
    assert done.returncode == 2
