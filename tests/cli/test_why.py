"""What `pgjobs why` and `pgjobs doctor` print, and how they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.rows import put_job, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


def test_why_says_the_reason_the_next_step_and_what_holds_it_up_besides(cli: Cli, conn: Connection) -> None:
    job = put_job(conn, queue="mail")
    cli("queues", "pause", "mail")
    result = cli("why", job)
    assert (result.code, result.err) == (0, "")
    first, step, besides = result.out.splitlines()
    assert first.startswith(f"Job {job} is not claimed, because its queue mail was paused ")
    assert step == "Next: Resume the queue: `pgjobs queues resume mail`."
    assert besides.startswith(f"Also: Job {job} waits because no worker listens to its queue mail; no worker runs")


def test_why_in_json_has_the_figures(cli: Cli, conn: Connection) -> None:
    put_worker(conn, {"default": 1})
    answer = json.loads(cli("why", put_job(conn, run_at="2999-01-01"), "--json").out)
    assert (answer["reason"], answer["also"]) == ("later", [])
    assert answer["facts"]["run_at"].startswith("2999-01-01T00:00:00")


def test_a_job_that_is_not_there_is_an_error_in_one_line(cli: Cli, conn: Connection) -> None:
    for arguments in (["why", 4711], ["why", 4711, "--json"]):
        result = cli(*arguments)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("pgjobs: There is no job 4711 yet: the newest id that was given out is 0.")


def test_a_job_that_was_rolled_back_is_an_error_in_one_line(cli: Cli, conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        job = put_job(conn)
    assert cli("why", job).err.startswith(f"pgjobs: Job {job} no longer exists: the transaction")


def test_the_doctor_says_each_finding_with_what_to_do(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail")
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    found = [line.startswith("warning: Queue mail has jobs that are due") for line in lines]
    assert lines[found.index(True) + 1].startswith("    Start one: `pgjobs work -q mail`")
    assert "Checked: schema, PostgreSQL's version" in lines[-1]


def test_the_doctor_exits_with_one_when_something_is_an_error(cli: Cli, conn: Connection) -> None:
    conn.execute("UPDATE pgjobs.migrations SET version_num = '0000'")
    result = cli("doctor", "--json")
    assert result.code == 1
    (finding,) = json.loads(result.out)["findings"]
    assert (finding["name"], finding["level"]) == ("schema", "error")
    assert cli("doctor").out.startswith("error: The tables are at revision 0000")
