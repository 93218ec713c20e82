"""`pgjobs broadcasts`: what it prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pgjobs import broadcast
from tests.support import functions
from tests.support.rows import put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


def test_broadcasts_are_listed_and_shown(cli: Cli, conn: Connection) -> None:
    assert cli("broadcasts", "list").err == "No broadcasts.\n"
    assert cli("broadcasts", "show", 1).code == 1
    worker = put_worker(conn, {"mail": 1})
    first = broadcast(conn, functions.add, 1, on="queue:mail")
    second = broadcast(conn, functions.add, 2, on="hosts")
    conn.execute(
        "UPDATE pgjobs.broadcast_runs SET state = 'failed', error = 'ValueError: no', finished_at = now()"
        " WHERE broadcast_id = %s",
        [first.id],
    )

    header, *lines = cli("broadcasts", "list").out.splitlines()
    assert header.split() == ["ID", "CALL", "ON", "COMMITTED", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "GONE"]
    assert [line.split()[:3] for line in lines] == [
        [str(second.id), "add(2)", "hosts"],
        [str(first.id), "add(1)", "queue:mail"],
    ]
    assert len(json.loads(cli("broadcasts", "list", "-n", 1, "--json").out)) == 1

    shown = cli("broadcasts", "show", first.id).out
    assert "state      1 failed" in shown
    assert f"web1  {worker:>6}  4711  failed" in shown
    assert "ValueError: no" in shown
    as_json = json.loads(cli("broadcasts", "show", second.id, "--json").out)
    assert (as_json["queued"], as_json["runs"][0]["worker_id"], as_json["runs"][0]["state"]) == (1, None, "queued")
