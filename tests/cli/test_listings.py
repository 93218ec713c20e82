from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.rows import ERRORS, put_dead, put_job, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


def test_jobs_are_a_table_with_a_line_for_each(cli: Cli, conn: Connection) -> None:
    job = put_job(conn, queue="mail", summary="send_receipt(42)", status="failed", attempt=2, error="ValueError: no")
    result = cli("jobs", "list")
    assert result.code == 0
    title, line = result.out.splitlines()
    assert title.split() == ["ID", "STATUS", "QUEUE", "TRY", "WHEN", "JOB", "ERROR"]
    assert line.split()[:4] == [str(job), "failed", "mail", "2/5"]
    assert line.endswith("send_receipt(42)  ValueError: no")


def test_list_says_what_its_times_mean_and_no_old_error_of_a_completed_job(cli: Cli, conn: Connection) -> None:
    put_job(conn, status="queued", attempt=1, error="ValueError: once", run_at=datetime.now(UTC) + timedelta(hours=3))
    now = datetime.now(UTC)
    put_job(conn, status="completed", attempt=2, error="ValueError: once", started_at=now, finished_at=now)
    _, completed, queued = cli("jobs", "list").out.splitlines()
    assert " due in " in queued
    assert "ValueError: once" in queued
    assert " due " not in completed
    assert "ValueError" not in completed
    assert json.loads(cli("jobs", "list", "--json").out)[0]["error"] == "ValueError: once"


def test_jobs_are_listed_by_their_meta(cli: Cli, conn: Connection) -> None:
    found = put_job(conn, meta='{"user": 7, "team": "shop"}')
    put_job(conn, meta='{"user": 7}')
    assert [
        job["id"] for job in json.loads(cli("jobs", "list", "--meta", "user=7", "--meta", "team=shop", "--json").out)
    ] == [found]
    refused = cli("jobs", "list", "--meta", "user")
    assert (refused.code, "give KEY=VALUE" in refused.err) == (2, True)


def test_attempts_are_counted_since_the_last_replay(cli: Cli, conn: Connection) -> None:
    put_job(conn, attempt=6, max_attempts=10, prior_attempts=5)
    assert " 1/5 " in cli("jobs", "list").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "list"),
        ("dead", "list"),
        ("queues", "list"),
        ("jobs", "list", "--status", "failed", "--queue", "x", "--task", "a*", "--limit", 1, "--before", 9),
        ("dead", "list", "--queue", "x", "--task", "a*", "--limit", 1, "--before", 9),
    ],
)
def test_an_empty_listing_is_an_empty_array_in_json_and_a_remark_elsewhere(cli: Cli, arguments: tuple[object]) -> None:
    assert json.loads(cli(*arguments, "--json").out) == []
    result = cli(*arguments)
    assert (result.code, result.out) == (0, "")
    assert len(result.err.splitlines()) == 1


def test_jobs_in_json_have_all_columns_and_iso_timestamps(cli: Cli, conn: Connection) -> None:
    soon = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    job = put_job(conn, run_at=soon, summary="f('é')")
    result = cli("jobs", "list", "--json")
    (row,) = json.loads(result.out)
    assert (row["id"], row["status"], row["summary"]) == (job, "queued", "f('é')")
    assert datetime.fromisoformat(row["run_at"]) == soon
    assert row["finished_at"] is None
    assert "payload" not in row
    assert result.err == ""


def test_filters_reach_the_listing(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="a", task="x:f")
    wanted = put_job(conn, queue="b", task="y:f")
    for filters in (["-q", "b"], ["-t", "y"], ["--queue=b", "--task=*:f"]):
        assert [row["id"] for row in json.loads(cli("jobs", "list", *filters, "--json").out)] == [wanted]


def test_a_queue_may_be_a_glob_in_listings_and_for_dead_letters(cli: Cli, conn: Connection) -> None:
    mails = [put_job(conn, queue=queue) for queue in ("mail-eu", "mail-us")]
    put_job(conn, queue="mail")
    put_job(conn, queue="mail_eu")
    letter = put_dead(conn, queue="mail-eu")
    put_dead(conn, queue="mail%")
    assert sorted(row["id"] for row in json.loads(cli("jobs", "list", "-q", "mail-*", "--json").out)) == [
        *mails,
        letter,
    ]
    assert [row["id"] for row in json.loads(cli("jobs", "list", "-q", "mail-?s", "-n1", "--json").out)] == mails[1:]
    assert [row["id"] for row in json.loads(cli("dead", "list", "-q", "mail-*", "--json").out)] == [letter]
    assert cli("dead", "list", "-q", "mail_eu").err == "No dead letters.\n"
    assert cli("dead", "discard", "-q", "m*l-*").out == "1 dead letter discarded.\n"
    told = cli("jobs", "cancel", "-q", "mail-*", "--yes")
    assert told.out + told.err == ("No such jobs: nothing to do. --queue takes the name of one queue here.\n")


def test_a_task_without_its_module_is_not_found_and_those_that_end_like_that_are_named(
    cli: Cli, conn: Connection
) -> None:
    put_job(conn, task="shop.tasks:book")
    put_job(conn, task="shop.tasks:Desk.book", status="completed")
    put_dead(conn, task="old:book")
    put_job(conn, task="shop.tasks:rebook")
    hint = "Tasks that end like that: old:book, shop.tasks:Desk.book, shop.tasks:book."
    assert cli("jobs", "list", "--task", "book").err == f"No such jobs. {hint}\n"
    assert cli("dead", "list", "--task", "book").err == f"No dead letters. {hint}\n"
    for command in (("jobs", "retry", "--yes"), ("jobs", "cancel", "--yes"), ("dead", "replay"), ("dead", "discard")):
        told = cli(*command, "--task", "book")
        assert (told.out + told.err).endswith(f": nothing to do. {hint}\n"), command
    assert "shop.tasks:book" in cli("jobs", "list", "--task", "tasks:book").err
    assert cli("jobs", "list", "--task", "cook").err == "No such jobs.\n"
    assert cli("jobs", "list", "--task", "book", "--json").err == ""


def test_a_job_is_shown_with_every_error(cli: Cli, conn: Connection) -> None:
    job = put_dead(conn, summary="send_receipt(42)")
    for group in ("jobs", "dead"):
        result = cli(group, "show", job)
        assert result.code == 0
        assert "send_receipt(42)" in result.out
        assert "dead since" in result.out
        assert "  ValueError: no" in result.out.splitlines()
        assert json.loads(cli(group, "show", job, "--json").out)["errors"] == ERRORS


FLOW = (
    "limit key",
    "cost",
    "tenant",
    "sequence",
    "on failure",
    "breaker",
    "expires",
    "held",
    "waits for",
    "if failed",
    "awaited by",
)


def test_what_holds_a_job_up_is_shown_where_it_is_set(cli: Cli, conn: Connection) -> None:
    plain = put_job(conn)
    out = cli("jobs", "show", plain).out
    assert [name for name in FLOW if f"\n{name} " in out] == []
    job = put_job(
        conn,
        status="waiting",
        held="needs",
        needs=1,
        lane="acme\x1fapi:1\x1faccount:1\x1fstripe",
        limit_key="api:1",
        sequence="account:1",
        breaker="stripe",
        cost=2.5,
        on_failure="skip",
        expires_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    others = [put_job(conn, status="waiting", held="needs", needs=1) for _ in range(12)]
    for needs, waits in [(plain, job), *((job, other) for other in others)]:
        conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needs, waits])
    out = cli("jobs", "show", job).out
    pairs = {name: line[len(name) :].strip() for line in out.splitlines() for name in FLOW if line.startswith(name)}
    assert [pairs.pop(name) for name in FLOW[:6]] == ["api:1", "2.5", "acme", "account:1", "skip", "stripe"]
    assert pairs.pop("expires").startswith("2030-01-0")
    assert pairs == {
        "held": "needs",
        "waits for": str(plain),
        "if failed": "wait",
        "awaited by": f"the first 10: {', '.join(map(str, others[:10]))}",
    }
    shown = json.loads(cli("jobs", "show", job, "--json").out)
    assert (shown["tenant"], shown["cost"], shown["held"]) == ("acme", 2.5, "needs")
    assert (shown["waits_for"], shown["awaited_by"]) == ([plain], others[:10])
    empty = json.loads(cli("jobs", "show", plain, "--json").out)
    assert (empty["tenant"], empty["waits_for"], empty["awaited_by"]) == (None, [], [job])


def test_list_with_control_characters_escapes_them(cli: Cli, conn: Connection) -> None:
    put_dead(conn, summary="f('\x1b[2J\r\n')", error="E: \x1b]0;x\x07")
    for arguments in (["jobs", "list"], ["dead", "list"], ["jobs", "show", 1]):
        out = cli(*arguments).out
        assert "\x1b" not in out
        assert "\x07" not in out
        assert "\\x1b[2J" in out


def test_status_shows_queues_letters_and_workers(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail", run_at=datetime.now(UTC) - timedelta(minutes=10))
    put_dead(conn, queue="mail")
    put_worker(conn, {"mail": 20}, silent_for=1000)
    lines = cli("status").out.splitlines()
    assert lines[0].split() == ["QUEUE", "DUE", "LATER", "WAITING", "RUNNING", "LATENCY", "RATE", "DEAD"]
    assert lines[1].split() == ["mail", "1", "0", "0", "0", "10m", "1/min", "1"]
    assert lines[2] == "1 dead letter: see `pgjobs dead list`."
    assert "unheard" in lines[-1]
    assert "mail:20" in lines[-1]


def test_status_in_json_has_figures_in_named_units(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail")
    put_worker(conn, {"mail": 20})
    state = json.loads(cli("status", "--json").out)
    (queue,) = state["queues"]
    assert (queue["queue"], queue["due"], queue["due_capped"], queue["rate_per_second"]) == ("mail", 1, False, 0)
    assert queue["latency_seconds"] >= 0
    assert state["workers"][0]["queues"] == {"mail": 20}
    assert datetime.fromisoformat(state["at"]).tzinfo is not None


def test_status_of_nothing_says_what_to_do(cli: Cli) -> None:
    result = cli("status")
    assert (result.code, result.out) == (0, "")
    assert "start one with `pgjobs work`" in result.err


def test_paused_queues_are_seen_in_status_and_list(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail")
    assert cli("queues", "pause", "mail").out == "mail is paused.\n"
    assert cli("status").out.splitlines()[1].endswith("paused")
    assert cli("queues", "list").out.splitlines()[1].split()[:2] == ["mail", "paused"]
    assert json.loads(cli("queues", "list", "--json").out)[0]["paused"] is True


def test_status_names_jobs_that_are_stuck(cli: Cli, conn: Connection) -> None:
    letter, job = put_dead(conn), put_job(conn, status="waiting", held="needs", needs=1)
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [letter, job])
    said = f"1 job waits for one that did not complete: {job} waits for {letter} (a dead letter): see `pgjobs doctor`."
    assert said in cli("status").out.splitlines()
