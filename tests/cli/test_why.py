"""What `pgjobs why` and `pgjobs doctor` print, and how they end."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from pgjobs import admin
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    from collections.abc import Callable

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


def waits_for(conn: Connection, needed: int) -> int:
    job = put_job(conn, status="waiting", held="needs", needs=1, run_at="2999-01-01")
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    return job


def with_a_letter(conn: Connection) -> int:
    return waits_for(conn, put_dead(conn))


def with_a_letter_past_retention(conn: Connection) -> int:
    job = with_a_letter(conn)
    conn.execute("DELETE FROM pgjobs.jobs_history")
    return job


def with_a_discarded_letter(conn: Connection) -> int:
    needed = put_dead(conn)
    admin.discard_dead(conn, [needed])
    return waits_for(conn, needed)


def in_a_paused_queue(conn: Connection) -> int:
    admin.pause_queue(conn, "it's a *")
    return put_job(conn, queue="it's a *")


def in_a_paused_queue_that_looks_like_an_option(conn: Connection) -> int:
    admin.pause_queue(conn, "-x")
    return put_job(conn, queue="-x")


def of_a_paused_task(conn: Connection) -> int:
    admin.pause_task(conn, "shop:f.<locals>.g h")
    return put_job(conn, task="shop:f.<locals>.g h")


def behind_a_breaker(conn: Connection) -> int:
    admin.open_breaker(conn, "the bank & co")
    return put_job(conn, status="waiting", lane="\x1f\x1f\x1fthe bank & co")


def behind_a_breaker_for_a_minute(conn: Connection) -> int:
    admin.open_breaker(conn, "the bank & co", 60)
    return put_job(conn, status="waiting", lane="\x1f\x1f\x1fthe bank & co")


@pytest.mark.parametrize(
    "build",
    [
        with_a_letter,
        with_a_letter_past_retention,
        with_a_discarded_letter,
        lambda conn: waits_for(conn, put_job(conn, status="cancelled")),
        lambda conn: waits_for(conn, 9_999),
        lambda conn: waits_for(conn, put_job(conn)),
        in_a_paused_queue,
        in_a_paused_queue_that_looks_like_an_option,
        of_a_paused_task,
        behind_a_breaker,
        behind_a_breaker_for_a_minute,
        put_dead,
        lambda conn: put_job(conn, status="completed"),
        lambda conn: put_job(conn, run_at="2999-01-01", error="ValueError: no", attempt=1),
        lambda conn: put_job(conn, expires_at="2020-01-01"),
    ],
)
def test_each_command_that_why_gives_works(cli: Cli, conn: Connection, build: Callable[[Connection], int]) -> None:
    put_worker(conn, {"default": 1, "it's a *": 1, "-x": 1})
    seen = 0
    while True:
        answer = json.loads(cli("why", build(conn), "--json").out)
        steps = [answer["next_step"], *(each["next_step"] for each in answer["also"])]
        commands = [command for step in steps for command in re.findall("`pgjobs (.*?)`", step)]
        assert commands
        if seen == len(commands):
            break
        result = cli(*shlex.split(commands[seen]))
        assert result.code == 0, (commands[seen], result.err)
        assert "was not" not in result.out, (commands[seen], "names something else")
        seen += 1


def test_what_waits_for_a_job_whose_letter_was_discarded_can_have_it_run_again(cli: Cli, conn: Connection) -> None:
    said = cli("why", with_a_discarded_letter(conn)).out
    assert "its dead letter was discarded: run it again, `pgjobs jobs retry" in " ".join(said.split())


def test_what_waits_for_a_dead_letter_whose_job_is_past_retention_waits_for_one_that_failed(
    cli: Cli, conn: Connection
) -> None:
    said = " ".join(cli("why", with_a_letter_past_retention(conn)).out.split())
    assert "(failed)" in said
    assert "Replay what failed" in said
