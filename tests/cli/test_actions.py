from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.rows import count, put_dead, put_job, row_of

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli


def test_retry_of_a_completed_job_says_that_it_runs_again(cli: Cli, conn: Connection) -> None:
    now = datetime.now(UTC)
    done, failed = put_job(conn, status="completed", started_at=now, finished_at=now), put_dead(conn)
    result = cli("jobs", "retry", done, failed)
    assert (result.code, result.out) == (0, "2 jobs queued, due now.\n")
    assert result.err == f"pgjobs: Job {done} had completed: it runs again.\n"


def test_a_retry_of_several_jobs_says_how_many(cli: Cli, conn: Connection) -> None:
    jobs = [put_job(conn, status="failed"), put_job(conn, status="cancelled")]
    result = cli("jobs", "retry", *jobs)
    assert (result.code, result.out, result.err) == (0, "2 jobs queued, due now.\n", "")
    assert [row_of(conn, job)["status"] for job in jobs] == ["queued", "queued"]


def test_a_cancel_that_is_refused_in_part_does_the_rest_and_exits_with_1(cli: Cli, conn: Connection) -> None:
    queued, running, ended = put_job(conn), put_job(conn, status="running", worker_id=1), put_job(conn, status="failed")
    result = cli("jobs", "cancel", queued, running, ended)
    assert (result.code, result.out) == (1, "1 job cancelled.\n1 running job asked to end.\n")
    assert result.err == f"pgjobs: Job {ended} is already failed: there is nothing to cancel.\n"


def test_waiting_for_a_job_that_does_not_end_exits_with_1(cli: Cli, conn: Connection) -> None:
    running = put_job(conn, status="running", worker_id=1)
    result = cli("jobs", "cancel", running, "--wait", "0.2")
    assert (result.code, result.out) == (1, "1 running job asked to end, 0 did.\n")
    assert result.err.startswith(f"pgjobs: Job {running} still runs: ")


@pytest.mark.parametrize(
    ("command", "options", "changed"),
    [
        ("cancel", ["--task", "a"], {"mail a:f", "mail a:g"}),
        ("cancel", ["--queue", "mail", "--status", "waiting"], set()),
        ("cancel", ["--queue", "other"], {"other b:f"}),
        ("set", ["--priority", "1", "--queue", "mail"], {"mail a:f", "mail a:g"}),
        ("set", ["--delay", "60", "--task", "*:f", "--status", "queued"], {"mail a:f", "other b:f"}),
    ],
    ids=["a task", "a status", "a queue", "set by queue", "set by task"],
)
def test_jobs_are_changed_by_filter_after_a_yes(
    cli: Cli, conn: Connection, command: str, options: list[str], changed: set[str]
) -> None:
    for queue, task in (("mail", "a:f"), ("mail", "a:g"), ("other", "b:f")):
        put_job(conn, queue=queue, task=task)
    put_job(conn, queue="mail", task="a:f", status="completed")
    if changed:
        refused = cli("jobs", command, *options)
        assert (refused.code, refused.out) == (2, "")
        assert "There is no terminal to ask on: give --yes" in refused.err
    before = conn.execute("SELECT queue || ' ' || task, j::text FROM pgjobs.jobs AS j").fetchall()
    assert cli("jobs", command, *options, "--yes").code == 0
    after = conn.execute("SELECT queue || ' ' || task, j::text FROM pgjobs.jobs AS j").fetchall()
    assert {row[0] for row in set(after) - set(before)} == changed


@pytest.mark.parametrize("command", ["cancel", "retry", "set"])
@pytest.mark.parametrize("arguments", [[], ["1", "--queue", "x"]], ids=["nothing", "both"])
def test_which_jobs_must_be_said_in_one_way(cli: Cli, command: str, arguments: list[str]) -> None:
    result = cli("jobs", command, *arguments, *(["--priority", "1"] if command == "set" else []))
    assert result.code == 2
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["--priority", "10"], ["--run-at", "soon"], ["--delay", "1", "--run-at", "2030-01-01"]]
)
def test_set_with_invalid_value_is_refused(cli: Cli, conn: Connection, arguments: list[str]) -> None:
    job = put_job(conn)
    result = cli("jobs", "set", job, *arguments)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1


def test_everything_is_paused_and_resumed(cli: Cli) -> None:
    assert cli("resume").out == "Nothing was paused: queues and tasks are paused separately.\n"
    assert cli("pause").out == "Everything is paused: `pgjobs resume` resumes it.\n"
    assert cli("pause").out == "Everything was paused already.\n"
    assert cli("resume").out == "Everything is resumed.\n"


def test_tasks_are_paused_listed_and_resumed(cli: Cli, conn: Connection) -> None:
    assert cli("tasks", "pause", "shop.*", "a:f").out == "shop.* is paused.\na:f is paused.\n"
    assert cli("tasks", "pause", "a:f").out == "a:f was paused already.\n"
    put_job(conn, task="shop.x:f", status="waiting", held="task")
    assert [(row["task"], row["parked"]) for row in json.loads(cli("tasks", "list", "--json").out)] == [
        ("a:f", 0),
        ("shop.*", 1),
    ]
    assert cli("tasks", "resume", "shop.*").out == "shop.* is resumed.\n"
    assert cli("tasks", "resume", "shop.*").out == "shop.* was not paused.\n"
    assert cli("tasks", "pause", " ").code == 2


def test_a_drain_waits_for_what_is_due_and_says_what_is_left(cli: Cli, conn: Connection) -> None:
    assert cli("drain").out == "No job is due, and none runs.\n"
    put_job(conn, queue="mail")
    put_job(conn, queue="slow", status="running", worker_id=1)
    result = cli("drain", "--timeout", "0")
    assert (result.code, result.err) == (
        1,
        "pgjobs: queue mail: 1 due, 0 running.\npgjobs: queue slow: 0 due, 1 running.\n",
    )
    assert cli("drain", "--timeout", "0", "--queue", "other").code == 0
    cli("pause")
    assert cli("drain", "--timeout", "0", "--queue", "mail").code == 0
    assert [row["running"] for row in json.loads(cli("drain", "--timeout", "0", "--json").out)] == [1]


def test_a_drain_names_a_job_whose_turn_may_not_come(cli: Cli, conn: Connection) -> None:
    dead = put_dead(conn, queue="bank", lane="\x1f\x1fa\x1f", sequence="a", on_failure="block")
    waits = {"status": "waiting", "queue": "bank", "lane": "\x1f\x1fa\x1f", "sequence": "a"}
    first = put_job(conn, **waits)
    left = (
        "pgjobs: queue bank: {} due, 0 running.\n"
        "pgjobs: a job that waits for its turn may need help: see `pgjobs why {}`.\n"
    )
    result = cli("drain", "--timeout", "0")
    assert (result.code, result.err) == (1, left.format(1, first))
    # Due since a moment ago: workers let it into its lane when they look the next time.
    put_job(conn, **waits, held="later", run_at=datetime.now(UTC) - timedelta(seconds=1))
    put_job(conn, **waits, held="later", run_at=datetime.now(UTC) + timedelta(hours=1))
    put_job(conn, status="waiting", queue="other", held="needs", needs=1)
    assert cli("drain", "--timeout", "0").err == left.format(2, first)
    (row,) = json.loads(cli("drain", "--timeout", "0", "--json").out)
    assert row == {"queue": "bank", "due": 2, "running": 0, "turns": 2, "turn": first}
    assert str(dead) in cli("why", first).out


@pytest.mark.parametrize(
    ("arguments", "done"),
    [(["--all"], 3), (["--queue", "mail"], 2), (["--task", "b"], 2), (["--queue", "mail", "--task", "b"], 1)],
)
def test_letters_are_replayed_by_queue_task_or_all(cli: Cli, conn: Connection, arguments: list[str], done: int) -> None:
    put_dead(conn, queue="mail", task="a:f")
    put_dead(conn, queue="mail", task="b:f")
    put_dead(conn, queue="other", task="b:g")
    result = cli("dead", "replay", *arguments)
    assert result.code == 0
    assert result.out == f"{done} dead job{'s' * (done > 1)} queued, due now.\n"
    assert count(conn, "dead_jobs") == 3 - done


def test_letters_are_replayed_by_id(cli: Cli, conn: Connection) -> None:
    first, second = put_dead(conn), put_dead(conn)
    assert cli("dead", "replay", second).code == 0
    assert row_of(conn, first)["status"] == "failed"
    assert row_of(conn, second)["status"] == "queued"


def test_an_id_without_a_letter_is_a_failure(cli: Cli) -> None:
    result = cli("dead", "replay", 4711)
    assert (result.code, result.out, result.err) == (1, "", "pgjobs: There is no dead letter 4711.\n")


def test_a_filter_that_finds_nothing_is_not_a_failure(cli: Cli) -> None:
    result = cli("dead", "replay", "--queue", "mail")
    assert (result.code, result.out) == (0, "No such dead letters: nothing to do.\n")


@pytest.mark.parametrize(
    "arguments", [[], ["1", "--all"], ["--all", "--queue", "x"], ["1", "--task", "x"], ["--all", "--task", "x"]]
)
@pytest.mark.parametrize("command", ["replay", "discard"])
def test_which_letters_must_be_said_in_one_way(cli: Cli, conn: Connection, command: str, arguments: list[str]) -> None:
    put_dead(conn)
    result = cli("dead", command, *arguments)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert count(conn, "dead_jobs") == 1


def test_discard_all_without_terminal_needs_yes(cli: Cli, conn: Connection) -> None:
    put_dead(conn)
    result = cli("dead", "discard", "--all")
    assert (result.code, result.err) == (
        2,
        "pgjobs: Discard 1 dead letter for good? There is no terminal to ask on: give --yes.\n",
    )
    assert count(conn, "dead_jobs") == 1
    assert cli("dead", "discard", "--all", "--yes").out == "1 dead letter discarded.\n"
    assert count(conn, "dead_jobs") == 0


def test_discarding_by_id_or_queue_asks_nothing(cli: Cli, conn: Connection) -> None:
    first = put_dead(conn)
    put_dead(conn, queue="mail")
    assert cli("dead", "discard", first).code == 0
    assert cli("dead", "discard", "--queue", "mail").code == 0
    assert count(conn, "dead_jobs") == 0
    assert row_of(conn, first)["status"] == "failed"


def test_pausing_and_resuming_can_be_repeated(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail")
    put_job(conn, queue="news")
    assert cli("queues", "pause", "mail", "news").out == "mail is paused.\nnews is paused.\n"
    assert cli("queues", "pause", "mail").out == "mail was paused already.\n"
    assert cli("queues", "resume", "mail", "news").out == "mail is resumed.\nnews is resumed.\n"
    result = cli("queues", "resume", "mail")
    assert (result.code, result.out) == (0, "mail was not paused.\n")


def test_pause_of_unknown_queue_works_with_a_note(cli: Cli) -> None:
    result = cli("queues", "pause", "mial")
    assert (result.code, result.out) == (0, "mial is paused.\n")
    assert "queue 'mial' has no jobs and no workers" in result.err


def test_what_a_queue_keeps_can_be_said_and_is_seen(cli: Cli, conn: Connection) -> None:
    put_job(conn, queue="mail")
    assert cli("queues", "keep", "mail", "nothing").out == "mail keeps no completed jobs.\n"
    assert cli("queues", "keep", "mail", "nothing").out == "mail keeps no completed jobs already.\n"
    assert "nothing" in cli("queues", "list").out.splitlines()[1].split()
    assert json.loads(cli("queues", "list", "--json").out)[0]["keep_completed"] is False
    line = cli("status").out.splitlines()[1]
    assert line.split()[6] == "-"
    assert line.endswith("keeps nothing")
    result = cli("queues", "keep", "mail", "everything")
    assert (result.code, result.out, result.err) == (0, "mail keeps completed jobs.\n", "")
    assert "everything" in cli("queues", "list").out.splitlines()[1].split()
    assert cli("queues", "keep", "mail", "something").code == 2
    assert "queue 'mial' has no jobs" in cli("queues", "keep", "mial", "nothing").err


def test_pause_of_invalid_name_is_wrong_usage(cli: Cli) -> None:
    result = cli("queues", "pause", " mail")
    assert result.code == 2
    assert result.err.startswith("pgjobs: queue=' mail' ")


@pytest.mark.parametrize("command", [("dead", "discard"), ("jobs", "cancel")])
def test_who_waits_for_what_is_discarded_or_cancelled_is_said(
    cli: Cli, conn: Connection, command: tuple[str, str]
) -> None:
    needed = put_dead(conn) if command[0] == "dead" else put_job(conn)
    job = put_job(conn, status="waiting", held="needs", needs=1)
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    result = cli(*command, needed)
    assert result.code == 0
    assert f"{job} waits for {needed}" in result.err
    assert f"`pgjobs jobs retry {needed}`; or cancel what waits: `pgjobs jobs cancel {job}`" in result.err
    assert cli("jobs", "retry", needed).code == 0
    assert "what it waits for" not in cli(*command, 9_999).err


def test_an_unused_queue_is_removed(cli: Cli, conn: Connection) -> None:
    cli("queues", "pause", "*")
    put_dead(conn, queue="*")
    result = cli("queues", "remove", "*")
    assert (result.code, result.out) == (0, "* is removed.\n")
    assert "1 dead letter of * is left: `pgjobs dead discard --queue '*'`" in result.err
    assert cli("queues", "remove", "*").code == 1
