"""`pgjobs pipelines`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.rows import put_dead, put_job, put_pipeline, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli

LANE = "\x1f\x1f\x1f\x1f\x1findex/"


def test_a_pipeline_is_listed_and_shown_with_where_it_jams(cli: Cli, conn: Connection) -> None:
    assert cli("pipelines", "list").err == "No pipelines.\n"
    put_pipeline(conn, at_most=2)
    worker = put_worker(conn, {"default": 1})
    for _ in range(3):
        put_job(conn, status="waiting", lane=f"{LANE}parse")
    put_job(conn, status="running", worker_id=worker, lane=f"{LANE}parse", counted_queue="\x1findex/parse")
    put_job(conn, status="waiting", lane=f"{LANE}store")
    for _ in range(30):
        put_job(conn, status="completed", lane=f"{LANE}store")
    put_job(conn, status="completed")
    conn.execute("UPDATE pgjobs.jobs SET finished_at = now() WHERE status = 'completed'")
    conn.execute("UPDATE pgjobs.dead_jobs SET lane = %s WHERE id = %s", [f"{LANE}store", put_dead(conn)])

    header, line = cli("pipelines", "list").out.splitlines()
    assert header.split() == ["NAME", "STATE", "WAITING", "RUNNING", "DEAD", "AT", "MOST", "JAMS", "AT", "STAGES"]
    assert line.split() == ["index", "active", "4", "1", "1", "2", "-", "parse", ">>", "store"]
    lines = cli("pipelines", "show", "index").out.splitlines()
    assert [part.split() for part in lines[-2:]] == [
        ["parse", "default", "3", "-", "1", "0.0", "0", "no", "room", "in", "store"],
        ["store", "default", "1", "0", "0", "0.5", "1", "-"],
    ]
    put_job(conn, status="waiting", lane=f"{LANE}store")
    (listed,) = json.loads(cli("pipelines", "list", "--json").out)
    assert listed["jam"] == "store"
    assert [stage["room"] for stage in listed["stages"]] == [None, -1]
    assert json.loads(cli("pipelines", "show", "index", "--json").out) == listed


def test_a_pipeline_is_paused_resumed_and_removed(cli: Cli, conn: Connection) -> None:
    put_pipeline(conn, at_most=2)
    assert cli("pipelines", "pause", "index").out == "index is paused at its first stage.\n"
    assert cli("pipelines", "pause", "index").out == "index is paused already.\n"
    assert "paused" in cli("pipelines", "list").out
    assert cli("pipelines", "resume", "index").out == "index is resumed.\n"
    assert cli("pipelines", "resume", "index").out == "index was not paused.\n"
    refused = cli("pipelines", "remove", "index")
    assert (refused.code, "declared in the code of shop" in refused.err) == (2, True)
    conn.execute("UPDATE pgjobs.pipelines SET retired_at = now()")
    assert cli("pipelines", "remove", "index").out == "index is removed.\n"
    assert conn.execute("SELECT FROM pgjobs.pipeline_stages").fetchall() == []
    gone = cli("pipelines", "show", "index")
    assert (gone.code, "There is no pipeline 'index'" in gone.err) == (1, True)
