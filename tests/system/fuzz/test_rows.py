"""Rows of any content, inserted by hand: refused, or a dead letter with a clear error. Other jobs continue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from pgjobs import enqueue, enqueue_many
from tests.support.rows import letters_of
from tests.support.worker import scalar, wait_done, work
from tests.system.fuzz import tasks
from tests.system.fuzz.bad_rows import HARMLESS, PAYLOADS, REFUSED, TASK, damaged
from tests.system.fuzz.contents import contents
from tests.system.fuzz.profile import EXAMPLES
from tests.system.fuzz.test_command_line import check, run

if TYPE_CHECKING:
    from pathlib import Path

REFUSED_CASES = [(column, value) for column, values in REFUSED.items() for value in values]


def insert(conn: psycopg.Connection, good: bytes, **columns: Any) -> int:
    """Write a row as it is given, and give its id."""
    row = {"task": TASK, "payload": good, "max_attempts": 1, **columns}
    statement = sql.SQL("INSERT INTO pgjobs.jobs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join([sql.Placeholder()] * len(row))
    )
    found = conn.execute(statement, list(row.values())).fetchone()
    assert found is not None
    return int(found[0])


@pytest.fixture
def payload(conn: psycopg.Connection) -> bytes:
    """A good payload."""
    with conn.transaction(force_rollback=True):
        job = enqueue(conn, tasks.healthy, 1).id
        return bytes(scalar(conn, "SELECT payload FROM pgjobs.jobs WHERE id = %s", [job]))


def test_a_row_that_would_stop_a_worker_does_not_get_in(conn: psycopg.Connection, payload: bytes) -> None:
    before = contents(conn)
    for column, value in REFUSED_CASES:
        with pytest.raises((psycopg.IntegrityError, psycopg.DataError)) as caught:
            insert(conn, payload, **{column: value})
        reason = str(caught.value)
        assert column in reason or "no partition" in reason or "worker_id_check" in reason or "json" in reason, reason
    assert contents(conn) == before


@pytest.mark.timeout(600)
def test_a_worker_ends_every_bad_row_and_completes_every_good_one(
    conn: psycopg.Connection, database_url: str, payload: bytes
) -> None:
    bad = [insert(conn, each) for each in PAYLOADS.values()]
    broken = [insert(conn, each) for each in damaged(payload, EXAMPLES * 4)]
    odd = [insert(conn, payload, **{name: value}) for name, values in HARMLESS.items() for value in values]
    slow = insert(conn, payload, timeout="1e-45")
    own = [insert(conn, payload, executor="process"), insert(conn, payload, isolate=True)]
    good = [handle.id for handle in enqueue_many(conn, tasks.healthy, [(n,) for n in range(100)])]
    with work(database_url, "-q", "default:8") as running:
        members = running.members()
        wait_done(conn, 30 + EXAMPLES / 10, log=lambda: running.output[-3000:])
        assert running.members() == members, "no process was replaced"
        output = running.output
    assert "Traceback" not in "".join(line for line in output.splitlines() if not line.startswith("{"))

    def ends(ids: list[int]) -> dict[str, int]:
        found = conn.execute("SELECT status, count(*) FROM pgjobs.jobs WHERE id = ANY (%s) GROUP BY 1", [ids])
        return dict(found.fetchall())

    assert ends(good) == {"completed": 100}
    assert ends(odd) == {"completed": len(odd)}
    assert ends(own) == {"completed": 2}
    assert set(ends([slow])) <= {"completed", "failed"}  # no time at all is over before or after the job
    assert ends(bad) == {"failed": len(bad)}
    assert set(ends(broken)) <= {"completed", "failed"}  # a changed number is as good as another
    assert sum(ends(broken).values()) == len(broken)
    letters = conn.execute("SELECT id, error, errors FROM pgjobs.dead_jobs").fetchall()
    failed = scalar(conn, "SELECT array_agg(id) FROM pgjobs.jobs WHERE status = 'failed'")
    assert {row[0] for row in letters} == set(failed)
    for _, error, errors in letters:
        assert 10 < len(error) <= 500
        assert len(error.splitlines()) == 1
        assert errors[-1]["error"] == error


def test_rows_written_by_hand_can_be_listed_and_shown(
    conn: psycopg.Connection, database_url: str, payload: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGJOBS_DATABASE_URL", database_url)
    ids = [insert(conn, payload, **{name: value}) for name, values in HARMLESS.items() for value in values]
    letters = "INSERT INTO pgjobs.dead_jobs {} WHERE f.id % 2 {}"
    conn.execute(letters.format(letters_of("pgjobs.jobs", "'infinity'::timestamptz"), "= 0"))
    conn.execute(letters.format(letters_of("pgjobs.jobs", "'-infinity'::timestamptz"), "<> 0"))
    for queues in ("5", '"x"', "null", "[1]", '{"a": {}}'):
        conn.execute(
            "INSERT INTO pgjobs.workers (host, pid, queues, version, started_at, heartbeat_at) "
            "VALUES ('h', 1, %s, 'v', '-infinity', 'infinity'), ('h', 1, %s, 'v', 'infinity', '-infinity')",
            [queues, queues],
        )
    before = contents(conn)
    commands = [["jobs", "list"], ["dead", "list"], ["status"], ["queues", "list"], ["history", "list"]]
    commands += [[*command, "--json"] for command in commands]
    commands += [[kind, "show", str(job)] for kind in ("jobs", "dead") for job in ids if job >= 0]
    for command in commands:
        code, out, err = run(command)
        check(command, code, out, err)
        assert code == 0, (command, err)
        assert all(line.isprintable() for line in out.splitlines()) or "--json" in command
    assert contents(conn) == before
