"""Why a job does not run: what is decided from plain values, and what is found in PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import pgjobs
from pgjobs import admin
from pgjobs.core.config import configure
from pgjobs.core.errors import UsageError
from pgjobs.db import migrations as migrate
from pgjobs.db.plan_settings import INDEX_SCANS
from pgjobs.db.query import local_settings
from pgjobs.db.statements import statement
from pgjobs.db.stuck_jobs import stuck_jobs
from pgjobs.db.url import sqlalchemy_url
from pgjobs.diagnose.rows import Holder
from pgjobs.diagnose.text import NEVER
from pgjobs.diagnose.why import look, turns, why
from pgjobs.diagnose.why.decide import ENDS, HOLDS, PLACES, decide
from pgjobs.diagnose.why.snapshot import BreakerSnapshot, JobSnapshot, LimitSnapshot, QueueSnapshot
from pgjobs.flow.limits import LimitSettings
from pgjobs.worker.runtime.registration import application_name
from tests.diagnose.why_samples import NOW, PAGE, SAMPLES, WAITS, ago, page, seen
from tests.support.rows import put_dead, put_job, put_pipeline, put_worker
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection

QUEUE = {"queue": "mail"}
TENANT = "acme\x1f\x1f\x1f"
LANE = "acme\x1fapi:acme\x1faccount:1\x1fstripe"


# -- What is decided --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", SAMPLES)
def test_each_reason_has_a_sentence_of_its_own_and_a_next_step(reason: str) -> None:
    answer = decide(SAMPLES[reason])
    assert answer.reason == reason
    assert answer.also == ()
    for text in (answer.sentence, answer.next_step):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "None" not in text


def test_there_is_a_sample_of_everything_that_is_looked_at() -> None:
    assert len(SAMPLES) == len(ENDS) + len(HOLDS) + len(PLACES)


def test_the_page_shows_what_is_said() -> None:
    assert page() == PAGE.read_text(), "python -m tests.diagnose.why_samples writes it"


def test_of_several_reasons_the_first_is_the_answer_and_the_others_are_told() -> None:
    answer = decide(
        replace(
            seen({**WAITS, "run_at": NOW + timedelta(hours=1)}),
            queue=QueueSnapshot("mail", paused=True),
            workers=(),
            breaker=BreakerSnapshot("stripe", "open", NEVER),
        )
    )
    assert (answer.reason, *(other.name for other in answer.also)) == (
        "later",
        "queue_paused",
        "no_worker",
        "breaker_open",
    )
    assert "until it is closed by hand" in answer.also[-1].sentence


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"workers": ()}, "no_worker"),
        ({"breaker": BreakerSnapshot("stripe", "open", ago(1))}, "next"),
        ({"breaker": BreakerSnapshot("stripe", "half_open", ago(1), probes=2, probing=(1,))}, "next"),
        ({"breaker": BreakerSnapshot("stripe", "closed", NOW + timedelta(seconds=9))}, "next"),
        ({"key_limit": LimitSnapshot("k", concurrency=2, holders=(1,))}, "next"),
        ({"key_limit": LimitSnapshot("k", concurrency=0)}, "limit"),
        ({"key_limit": LimitSnapshot("k", rate=10.0, period=1.0, tokens=10.0)}, "next"),
        ({"key_limit": LimitSnapshot("k", rate=10.0, period=1.0, tokens=2.0)}, "next"),
        ({"key_limit": LimitSnapshot("k", rate=10.0, period=1.0, tokens=0.5)}, "rate"),
        ({"ahead": 5, "rate": 3.0, "last_start": 0.0}, "behind"),
        ({"ahead": 5, "rate": None}, "behind"),
        ({"cap": 0, "running": 0, "dead_rows": 0}, "next"),  # counting took too long, for an unknown reason
    ],
    ids=str,
)
def test_what_just_lets_it_through_does_not_hold_it_up(changes: dict[str, Any], reason: str) -> None:
    assert decide(seen({"run_at": ago(20) if "ahead" in changes else ago(1)}, **changes)).reason == reason


@pytest.mark.parametrize(("cost", "seconds"), [(0.5, 0.05), (1.0, 0.1), (5.0, 0.1), (1000.0, 0.1)])
def test_rate_holds_up_a_job_until_one_token_is_there_whatever_it_costs(cost: float, seconds: float) -> None:
    limit = LimitSnapshot("k", rate=10.0, period=1.0, tokens=0.0)
    answer = decide(seen({"limit_key": "k", "cost": cost}, key_limit=limit))
    assert answer.facts["next_at"] == NOW + timedelta(seconds=seconds)
    one = LimitSnapshot("k", rate=10.0, period=1.0, tokens=1.0)
    assert decide(seen({"limit_key": "k", "cost": cost}, key_limit=one)).reason == "next"


@pytest.mark.parametrize(
    ("limit", "command"),
    [
        (LimitSnapshot("a:*", 2, holders=(1, 2)), "pgjobs limits set 'a:*' --concurrency 4"),
        (LimitSnapshot("a:*", 0), "pgjobs limits set 'a:*' --concurrency 1"),
        (
            LimitSnapshot("a b", 1, 100.0, 60.0, 20.0, holders=(1,)),
            "pgjobs limits set 'a b' --concurrency 2 --rate 100/min --burst 20",
        ),
        (LimitSnapshot("k", 3, 2.5, 30.0, tokens=0.0), "pgjobs limits set k --concurrency 3 --rate 5/30s"),
        (LimitSnapshot("k", None, 1.0, 1.0, 1.0, tokens=0.0), "pgjobs limits set k --rate 2/s --burst 1"),
        (LimitSnapshot("-k", 1, holders=(1,)), "pgjobs limits set --concurrency 2 -- -k"),
    ],
    ids=["concurrency", "none", "both", "rate", "burst", "name like an option"],
)
def test_the_command_that_raises_a_limit_keeps_the_rest_of_it(limit: LimitSnapshot, command: str) -> None:
    of_key = decide(seen({"limit_key": "k"}, key_limit=limit))
    assert f"`{command}`" in of_key.next_step
    of_queue = decide(seen(queue_limit=limit))
    assert f"`{command.replace('limits set', 'queues limit')}`" in of_queue.next_step


def test_a_queue_that_continues_is_not_reported_as_not_claiming_however_long_a_job_has_been_due() -> None:
    waiting = {"run_at": ago(900)}
    assert decide(seen(waiting, ahead=9, rate=0.5, last_finish=2.0)).reason == "behind"
    assert decide(seen(waiting, ahead=9, rate=0.5, last_finish=20.0)).reason == "not_claiming"
    assert decide(seen(waiting, ahead=9, rate=0.5, last_start=2.0, last_finish=20.0)).reason == "behind"


def test_an_error_that_only_mentions_an_import_is_not_a_missing_code() -> None:
    error = "ImportError: no driver"
    later = NOW + timedelta(seconds=9)
    assert decide(seen({"error": error, "error_kind": "exception", "run_at": later})).reason == "retried"
    damaged = "PayloadError: the payload cannot be loaded, it is damaged or was made by other code: EOFError"
    assert decide(seen({"error": damaged, "error_kind": "payload", "run_at": later})).reason == "retried"


def test_a_failed_job_whose_code_is_missing_is_to_be_replayed_once_it_is_there() -> None:
    error = SAMPLES["cannot_import"].job
    assert isinstance(error, JobSnapshot)
    row = {"status": "failed", "finished_at": ago(9), "error": error.error, "error_kind": error.error_kind}
    answer = decide(seen(row, died_at=ago(9)))
    assert answer.next_step.startswith("Install the code of shop.tasks:send_receipt where the workers run")


# -- What PostgreSQL says ---------------------------------------------------------------------------------------------


def test_an_id_that_was_never_given_out(conn: Connection) -> None:
    assert why(conn, 1).reason == "never"
    job = put_job(conn)
    assert why(conn, job + 1).reason == "never"
    assert why(conn, 2**63 - 1).facts == {"newest_id": job}


def test_the_transaction_that_enqueues_it_is_named_while_it_is_open(conn: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, application_name="web") as caller:
        job = put_job(caller)
        answer = why(conn, job)
        assert answer.reason == "uncommitted"
        assert f"the transaction of pid {caller.info.backend_pid}, web, idle in transaction, open" in answer.sentence
        assert [each["pid"] for each in answer.facts["transactions"]] == [caller.info.backend_pid]
        caller.rollback()
    assert why(conn, job).reason == "gone"


def test_a_worker_of_the_same_installation_is_not_taken_for_what_enqueues(conn: Connection, database_url: str) -> None:
    configure(schema="warehouse")
    migrate.upgrade(database_url)
    conn.execute("SELECT nextval('warehouse.jobs_id_seq')")
    locked = "LOCK TABLE warehouse.jobs_live IN ROW EXCLUSIVE MODE"
    for name, reason in ((application_name(1, "claim"), "gone"), ("pgjobs worker 1 claim", "uncommitted")):
        with psycopg.connect(database_url, application_name=name) as writer:
            writer.execute(locked)
            assert why(conn, 1).reason == reason


def test_a_prepared_transaction_is_named_by_its_gid(conn: Connection, database_url: str) -> None:
    if conn.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("this server has no prepared transactions")
    with psycopg.connect(database_url) as caller:
        job = put_job(caller)
        caller.execute("PREPARE TRANSACTION 'of the shop'")
    assert "the prepared transaction of the shop" in why(conn, job).sentence
    conn.execute("ROLLBACK PREPARED 'of the shop'")


def test_a_transaction_in_another_database_has_nothing_to_do_with_it(
    conn: Connection, server: Any, database_url: str
) -> None:
    job = put_job(conn)
    conn.execute("DELETE FROM pgjobs.jobs")
    other = server.create()
    with psycopg.connect(other) as caller:
        put_job(caller)
        assert why(conn, job).reason == "gone"
    server.drop(other)


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_a_finished_job(conn: Connection, status: str) -> None:
    assert why(conn, put_job(conn, status=status)).reason == status


def test_a_failed_job_with_and_without_its_letter_and_its_row(conn: Connection) -> None:
    job = put_dead(conn)
    assert f"pgjobs dead replay {job}" in why(conn, job).next_step
    conn.execute("DELETE FROM pgjobs.jobs")
    assert why(conn, job).reason == "failed"
    discarded = put_job(conn, status="failed", error="ValueError: no")
    assert f"pgjobs jobs retry {discarded}" in why(conn, discarded).next_step


def test_a_job_that_runs_and_one_whose_worker_is_gone(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    job = put_job(conn, status="running", worker_id=worker, started_at=_now(conn), timeout=30.0, attempt=1)
    answer = why(conn, job)
    assert (answer.reason, answer.facts["worker_id"]) == ("running", worker)
    conn.execute("DELETE FROM pgjobs.workers")
    assert why(conn, job).reason == "orphaned"


def test_a_wait_for_a_job_of_its_own_full_queue_counts_only_for_the_attempt_that_waits(conn: Connection) -> None:
    """Not one that an earlier attempt has left."""
    worker = put_worker(conn, {"mail": 1})
    columns = {"queue": "mail", "status": "running", "worker_id": worker, "started_at": _now(conn), "claims": 2}
    job, other = put_job(conn, **columns), put_job(conn, queue="mail")
    assert (why(conn, job).reason, why(conn, other).reason) == ("running", "busy")
    conn.execute("INSERT INTO pgjobs.progress (job_id, waits_for, waits_claim) VALUES (%s, %s, 2)", [job, [other]])
    assert (why(conn, job).reason, why(conn, other).reason) == ("awaits", "awaited")
    assert why(conn, job).facts == {"queue": "mail", "id": other, "waiters": [job], "slots": 1}
    conn.execute("UPDATE pgjobs.progress SET waits_claim = 1")
    assert (why(conn, job).reason, why(conn, other).reason) == ("running", "busy")
    conn.execute("UPDATE pgjobs.progress SET waits_claim = 2")
    conn.execute("UPDATE pgjobs.jobs SET run_at = now() + interval '1 hour' WHERE id = %s", [other])
    assert (why(conn, job).reason, why(conn, other).reason) == ("running", "later")
    conn.execute("UPDATE pgjobs.jobs SET run_at = now() WHERE id = %s", [other])
    put_worker(conn, {"mail": 1})
    assert (why(conn, job).reason, why(conn, other).reason) == ("running", "next")


def test_silent_worker_and_when_its_jobs_are_taken_back(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1}, silent_for=20)
    job = put_job(conn, status="running", worker_id=worker, started_at=_now(conn))
    answer = why(conn, job)
    assert (answer.reason, answer.facts["rescued_in_seconds"]) == ("silent", None)
    put_worker(conn, {"other": 1})
    answer = why(conn, job)
    assert answer.facts["rescued_in_seconds"] == pytest.approx(10, abs=2)
    conn.execute("UPDATE pgjobs.workers SET rescue_after = 60")
    assert why(conn, job).reason == "running"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"run_at": "2999-01-01"}, "later"),
        ({"run_at": "2999-01-01", "error": "ValueError: no", "attempt": 1}, "retried"),
        ({"expires_at": "2020-01-01"}, "expired"),
        ({"status": "waiting", "held": "needs", "needs": 1}, "needs"),
        ({"status": "waiting", "held": "task"}, "task_paused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_row_itself_waits_for(conn: Connection, columns: dict[str, Any], reason: str) -> None:
    put_worker(conn, {"mail": 1})
    assert why(conn, put_job(conn, **QUEUE, **columns)).reason == reason


def test_needs_are_listed_with_their_status(conn: Connection) -> None:
    job = put_job(conn, status="waiting", held="needs", needs=3)
    others = [put_job(conn), put_dead(conn), 10_000]
    conn.cursor().executemany(
        "INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [(other, job) for other in others]
    )
    answer = why(conn, job)
    assert answer.facts["needs"] == {str(others[0]): "queued", str(others[1]): "failed", "10000": None}
    assert f"pgjobs dead replay {others[1]}" in answer.next_step


def test_one_that_waits_for_a_cancelled_job_says_so_and_how_it_continues(conn: Connection) -> None:
    job, needed = put_job(conn, status="waiting", held="needs", needs=1), put_job(conn, status="cancelled")
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    answer = why(conn, job)
    assert f"{needed} (cancelled)" in answer.sentence
    assert f"`pgjobs jobs retry {needed}`; or `pgjobs jobs cancel {job}`" in answer.next_step
    conn.execute("UPDATE pgjobs.dependencies SET on_failure = 'run'")
    assert "retry" not in why(conn, job).next_step, "it continues by itself"


def test_a_needed_job_that_may_have_completed_without_a_trace_is_not_called_lost(conn: Connection) -> None:
    job = put_job(conn, status="waiting", held="needs", needs=1)
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id, in_doubt) VALUES (10000, %s, 0)", [job])
    answer = why(conn, job)
    assert "10000 (completed without a trace, or not committed yet)" in answer.sentence
    assert "cancel" not in answer.next_step
    assert stuck_jobs(conn) == []
    conn.execute("UPDATE pgjobs.dependencies SET in_doubt = NULL")
    assert "no longer exists" in why(conn, job).next_step
    assert [each.state for each in stuck_jobs(conn)] == ["gone"]


def test_a_paused_queue(conn: Connection) -> None:
    put_worker(conn, {"mail": 1})
    admin.pause_queue(conn, "mail")
    answer = why(conn, put_job(conn, **QUEUE))
    assert (answer.reason, answer.facts["queue"]) == ("queue_paused", "mail")


def test_everything_paused_and_a_paused_task(conn: Connection) -> None:
    put_worker(conn, {"mail": 1})
    conn.execute("INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES ('shop.tasks', '{shop.tasks:%}')")
    job = put_job(conn, **QUEUE)
    answer = why(conn, job)
    assert (answer.reason, answer.facts["task"]) == ("task_paused", "shop.tasks")
    assert answer.next_step == "Resume the task: `pgjobs tasks resume shop.tasks`."
    conn.execute("UPDATE pgjobs.switch SET paused = true, paused_at = now()")
    answer = why(conn, job)
    assert [answer.reason, answer.also[0].name] == ["everything_paused", "task_paused"]


def test_a_job_that_runs_and_is_to_be_cancelled(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    job = put_job(conn, status="running", worker_id=worker, started_at=_now(conn), cancel_reason="not needed")
    assert "its cancel was asked for (not needed)" in why(conn, job).sentence


def test_workers_that_listen_to_others_or_are_silent(conn: Connection) -> None:
    job = put_job(conn, **QUEUE)
    assert "no worker runs at all" in why(conn, job).sentence
    put_worker(conn, {"default": 4, "vip": 1})
    assert "those that run listen to default, vip" in why(conn, job).sentence
    put_worker(conn, {"mail": 1}, silent_for=20)
    assert why(conn, job).reason == "workers_silent"


def test_a_sequence_its_first_job_and_the_letter_that_blocks_it(conn: Connection) -> None:
    put_worker(conn, {"mail": 9})
    waiting = {**QUEUE, "status": "waiting", "lane": LANE, "sequence": "account:1"}
    first, second, third = (put_job(conn, **waiting) for _ in range(3))
    put_job(conn, **{**waiting, "queue": "b", "lane": LANE.replace("account:1", "account:2"), "sequence": "account:2"})
    answer = why(conn, third)
    assert (answer.reason, answer.facts["before"], answer.facts["head"]) == ("sequence", 2, first)
    assert why(conn, first).reason == "next"
    dead = put_dead(conn, **QUEUE, lane=LANE, sequence="account:1")
    assert why(conn, first).facts["dead"] == dead
    assert [why(conn, second).reason, why(conn, second).also[0].name] == ["sequence_blocked", "sequence"]
    conn.execute("UPDATE pgjobs.dead_jobs SET on_failure = 'skip'")
    assert why(conn, first).reason == "next"


def test_a_sequence_whose_first_job_runs(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 9})
    first = put_job(conn, **QUEUE, status="running", worker_id=worker, sequence="account:1", lane=LANE)
    answer = why(conn, put_job(conn, **QUEUE, status="waiting", sequence="account:1", lane=LANE))
    assert (answer.reason, answer.facts["head"], answer.facts["head_state"]) == ("sequence", first, "running")


def test_a_limit_and_who_holds_it(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 9})
    job = put_job(conn, **QUEUE, status="waiting", lane=LANE, limit_key="api:acme")
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('api:*', 1), ('api:other', 0)")
    assert why(conn, job).reason == "next"
    holder = put_job(conn, **QUEUE, status="running", worker_id=worker, limit_key="api:acme")
    put_job(conn, **QUEUE, status="running", worker_id=worker, limit_key="api:b")
    answer = why(conn, job)
    assert (answer.reason, answer.facts["holders"], answer.facts["limit"]) == ("limit", [holder], "api:*")
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('api:acme', 2)")
    assert why(conn, job).reason == "next"


def test_a_rate_and_when_the_next_token_is_there(conn: Connection) -> None:
    put_worker(conn, {"mail": 9})
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period) VALUES ('api:*', 6, '1 min')")
    job = put_job(conn, **QUEUE, status="waiting", lane=LANE, limit_key="api:acme")
    assert why(conn, job).reason == "next"
    conn.execute("INSERT INTO pgjobs.buckets (kind, name, tokens, at) VALUES ('limit', 'api:acme', 0, now())")
    answer = why(conn, job)
    assert answer.reason == "rate"
    assert (answer.facts["next_at"] - _now(conn)).total_seconds() == pytest.approx(10, abs=2)


def test_the_limit_and_the_rate_of_a_queue(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 9})
    conn.execute("INSERT INTO pgjobs.queues (name, concurrency, rate, period) VALUES ('mail', 1, 6, '1 min')")
    job = put_job(conn, **QUEUE)
    assert why(conn, job).reason == "next"
    conn.execute("INSERT INTO pgjobs.buckets (kind, name, tokens, at) VALUES ('queue', 'mail', 0.5, now())")
    assert why(conn, job).reason == "queue_rate"
    holder = put_job(conn, **QUEUE, status="running", worker_id=worker, counted_queue="mail")
    answer = why(conn, job)
    assert (answer.reason, answer.facts["holders"], answer.also[0].name) == ("queue_limit", [holder], "queue_rate")


def test_a_breaker_that_is_open_and_one_that_tries_again(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 9})
    job = put_job(conn, **QUEUE, status="waiting", lane=LANE, breaker="stripe")
    conn.execute(
        "INSERT INTO pgjobs.breakers (name, state, until, probes) VALUES ('stripe', 'open', now() + interval '40 s', 1)"
    )
    answer = why(conn, job)
    assert (answer.reason, answer.facts["breaker"]) == ("breaker_open", "stripe")
    assert (answer.facts["until"] - _now(conn)).total_seconds() == pytest.approx(40, abs=2)
    conn.execute("UPDATE pgjobs.breakers SET until = now() - interval '1 s'")
    assert why(conn, job).reason == "next"
    probe = put_job(conn, **QUEUE, status="running", worker_id=worker, breaker="stripe")
    answer = why(conn, job)
    assert (answer.reason, answer.facts["probes"]) == ("breaker_half_open", [probe])
    conn.execute("UPDATE pgjobs.breakers SET state = 'open', until = 'infinity'")
    assert "until it is closed by hand" in why(conn, job).sentence


def test_turns_are_taken_with_other_lanes_and_after_those_of_its_own(conn: Connection) -> None:
    put_worker(conn, {"mail": 9})
    for lane in (TENANT, TENANT, "b\x1f\x1f\x1f", "c\x1f\x1f\x1f"):
        put_job(conn, **QUEUE, status="waiting", lane=lane)
    put_job(conn, **QUEUE, status="waiting", lane="later\x1f\x1f\x1f", held="later", run_at="2999-01-01")
    answer = why(conn, put_job(conn, **QUEUE, status="waiting", lane=TENANT))
    assert (answer.reason, answer.facts) == ("turn", {"tenant": "acme", "before": 2, "others": 2})


def test_those_before_it_are_counted_up_to_a_cap_and_the_rate_is_of_the_last_minute(conn: Connection) -> None:
    put_worker(conn, {"mail": 1})
    for _ in range(30):
        put_job(conn, **QUEUE, status="completed")
    put_job(conn, **QUEUE, status="completed", finished_at=_now(conn) - timedelta(minutes=5))
    put_job(conn, queue="other", status="completed")
    for priority in (0, 4, 5, 5):
        put_job(conn, **QUEUE, priority=priority)
    job = put_job(conn, **QUEUE, priority=5)
    put_job(conn, **QUEUE, priority=5)
    put_job(conn, **QUEUE, priority=6)
    put_job(conn, **QUEUE, priority=0, run_at="2999-01-01")
    put_job(conn, queue="other", priority=0)
    answer = why(conn, job)
    assert answer.reason == "behind"
    assert answer.facts == {"ahead": 4, "rate_per_second": 0.5, "seconds": 8.0}
    assert decide(look(conn, job, cap=3)).sentence.startswith(f"Job {job} is behind 3 jobs or more of its queue")
    admin.keep_completed(conn, "mail", False)
    assert why(conn, job).facts["rate_per_second"] is None


def test_all_slots_are_taken(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 2})
    taken = [put_job(conn, **QUEUE, status="running", worker_id=worker, started_at=_now(conn)) for _ in range(2)]
    answer = why(conn, put_job(conn, **QUEUE))
    assert (answer.reason, answer.facts["ids"]) == ("busy", taken)


def test_no_worker_claims_although_slots_are_free(conn: Connection) -> None:
    put_worker(conn, {"mail": 2})
    job = put_job(conn, **QUEUE, run_at=_now(conn) - timedelta(seconds=20))
    answer = why(conn, job)
    assert (answer.reason, answer.facts["pooled"]) == ("not_claiming", False)
    conn.execute("UPDATE pgjobs.workers SET pooled = true")
    assert "behind a connection pooler" in why(conn, job).sentence
    conn.execute("UPDATE pgjobs.workers SET started_at = now() - interval '1 second'")
    assert why(conn, job).reason == "next"  # it has just registered, and claims in a moment
    put_worker(conn, {"mail": 2})
    assert why(conn, job).reason == "not_claiming"  # another one could have claimed it


def test_rows_written_by_hand_get_an_answer(conn: Connection) -> None:
    for queues_ in ('["mail"]', '"mail"', "7", '{"mail": "x"}', "{}"):
        conn.execute("INSERT INTO pgjobs.workers (host, pid, queues, version) VALUES ('h', 1, %s, '')", [queues_])
    conn.execute("UPDATE pgjobs.workers SET heartbeat_at = 'infinity' WHERE id = 1") if _server(conn) >= 17 else None
    job = put_job(conn, **QUEUE, expires_at="infinity")
    conn.execute("UPDATE pgjobs.jobs SET errors = '{\"a\": 1}' WHERE id = %s", [job])
    assert why(conn, job).reason in ("next", "workers_silent")


@pytest.mark.parametrize("analyzed", [False, True], ids=["never analyzed", "analyzed"])
def test_what_is_read_does_not_grow_with_the_backlog_or_the_history(conn: Connection, analyzed: bool) -> None:
    put_worker(conn, {"mail": 2})
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload, status, lane, run_at, finished_at) "
        "SELECT 'mail', 'a:b', 'x', status, CASE status WHEN 'waiting' THEN 'a' || n % 100 || repeat(chr(31), 3) END, "
        "now() - interval '1 h', CASE status WHEN 'completed' THEN now() - interval '1 h' END "
        "FROM generate_series(1, 40000) AS n, unnest('{queued,waiting,completed}'::text[]) AS status"
    )
    if analyzed:
        conn.execute("ANALYZE pgjobs.jobs_live, pgjobs.jobs_waiting, pgjobs.jobs_history")
    for job in (put_job(conn, **QUEUE, priority=9), put_job(conn, **QUEUE, status="waiting", lane="a7" + 3 * "\x1f")):
        times = {"ended_at": [], "moment": _now(conn), "since": _now(conn) - timedelta(seconds=60)}
        parameters = {"id": job, "cap": 100, "seen": 100, "workers": "pgjobs worker ", **times}
        with local_settings(conn, INDEX_SCANS):
            row = conn.execute(
                b"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + statement("why").encode(), parameters, prepare=False
            ).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1_500, row


def test_counting_that_takes_too_long_is_left_out(conn: Connection) -> None:
    put_worker(conn, {"mail": 2})
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload) SELECT 'mail', 'a:b', 'x' FROM generate_series(1, 20000)"
    )
    job = put_job(conn, **QUEUE)
    assert look(conn, job, cap=100_000).ahead == 20_000
    hasty = look(conn, job, cap=100_000, timeout_ms=1)
    assert (hasty.cap, hasty.ahead) == (0, 0)
    assert conn.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_it_can_be_asked_on_any_connection_with_psycopg_below(conn: Connection, database_url: str) -> None:
    job = put_job(conn, run_at="2999-01-01")
    engine = create_engine(sqlalchemy_url(database_url))
    with Session(engine) as session, engine.connect() as connection:
        for caller in (conn, session, connection):
            assert pgjobs.why(caller, job).reason == "later"
    engine.dispose()
    with pytest.raises(UsageError, match=r"why takes a psycopg Connection, .* and got a str"):
        pgjobs.why("postgresql:///", 1)  # type: ignore[arg-type]  # that is the subject
    with pytest.raises(UsageError, match="is not the id of a job"):
        why(conn, -1)


def test_who_may_only_read_gets_an_answer(conn: Connection, database_url: str) -> None:
    job = put_job(conn)
    conn.execute("CREATE ROLE why_reader LOGIN")
    try:
        conn.execute("GRANT USAGE ON SCHEMA pgjobs TO why_reader")
        conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA pgjobs TO why_reader")
        conn.execute("SET ROLE why_reader")
        assert why(conn, job).reason == "no_worker"
        assert why(conn, job + 1).reason == "gone"
        conn.execute("RESET ROLE")
    finally:
        conn.execute("RESET ROLE")
        conn.execute("DROP OWNED BY why_reader")
        conn.execute("DROP ROLE why_reader")


def _server(conn: Connection) -> int:
    return conn.info.server_version // 10000


def _now(conn: Connection) -> datetime:
    row = conn.execute("SELECT now()").fetchone()
    assert row is not None
    moment: datetime = row[0].astimezone(UTC)
    return moment


# -- Locks of keys, and limits that were set while jobs ran -----------------------------------------------------------


def test_of_a_limit_that_was_lowered_the_advice_lets_the_job_run() -> None:
    limit = LimitSnapshot("api:*", concurrency=2, holders=(31, 32, 33, 34, 35))
    answer = decide(seen({**WAITS, "limit_key": "api:acme"}, key_limit=limit))
    assert "2 may run at once, and 5 run" in answer.sentence
    assert "Wait for 4 of them to end" in answer.next_step
    assert "--concurrency 6`" in answer.next_step


@pytest.mark.parametrize("key", ["limit:api:acme", "sequence:account:1", "breaker:stripe", "queue:mail", "batch:"])
def test_who_has_the_lock_of_a_key_is_named_and_no_worker_that_can_do_nothing_about_it(
    conn: Connection, database_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOCK_MATTERS_AFTER", 0.2)
    put_worker(conn, {"mail": 2})
    admin.set_queue_limit(conn, "mail", LimitSettings(9))
    job = put_job(conn, **QUEUE, status="waiting", lane=LANE, run_at=datetime.now(UTC) - timedelta(minutes=1))
    kind, _, name = key.partition(":")
    said = key.replace(":", " ", 1).strip()
    if kind == "batch":
        name = scalar(conn, "SELECT pgjobs.batch_lock(queue, priority, lane) FROM pgjobs.jobs WHERE id = %s", [job])
    conn.execute("INSERT INTO pgjobs.key_locks VALUES (%s, %s), ('limit', 'another')", [kind, name])
    with psycopg.connect(database_url, application_name="report") as other:
        lock = "SELECT FROM pgjobs.key_locks WHERE kind = %s AND name = %s FOR NO KEY UPDATE"
        other.execute(lock, [kind, name])
        time.sleep(0.3)
        answer = why(conn, job)
        assert answer.reason == "key_locked"
        assert f"its {said} is locked" in answer.sentence
        assert f"the transaction of pid {other.info.backend_pid}, report, idle in transaction" in answer.sentence
        assert f"pg_terminate_backend({other.info.backend_pid})" in answer.next_step
        other.rollback()
        other.execute(lock, ["limit", "another"])
        time.sleep(0.3)
        answer = why(conn, job)
        assert "key_locked" not in (answer.reason, *(other.name for other in answer.also))


def test_the_lock_of_a_queue_without_a_limit_holds_up_nothing() -> None:
    holder = Holder("session", "psql", 815, "idle in transaction", 12.0, key_kind="queue", key="mail")
    assert decide(seen(key_locks=(holder,))).reason == "next"
    limited = seen(key_locks=(holder,), queue=QueueSnapshot("mail", concurrency=9))
    assert decide(limited).reason == "key_locked"


def test_a_claim_that_has_the_lock_of_a_key_for_a_moment_holds_up_nothing() -> None:
    holder = Holder("session", "pgjobs worker 7 q", 815, "active", 0.4, key_kind="limit", key="api")
    assert decide(seen(key_locks=(holder,))).reason == "next"


def test_the_room_in_the_next_stage_of_a_pipeline(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 9})
    put_pipeline(conn, at_most=3)
    job = put_job(conn, **QUEUE, status="waiting", lane="\x1f\x1f\x1f\x1f\x1findex/parse")
    last = put_job(conn, **QUEUE, status="waiting", lane="\x1f\x1f\x1f\x1f\x1findex/store")
    put_job(conn, **QUEUE, status="waiting", lane="\x1f\x1f\x1f\x1f\x1findex/store")
    assert why(conn, job).reason != "no_room"
    put_job(conn, **QUEUE, status="running", worker_id=worker, counted_queue="\x1findex/parse")
    answer = why(conn, job)
    assert (answer.reason, answer.facts["waiting"]) == ("no_room", 2)
    assert "waits for room in store: 2 items of the pipeline index wait there, 1 more is on" in answer.sentence
    assert why(conn, last).reason != "no_room"
    admin.pause_pipeline(conn, "index")
    assert why(conn, job).reason == "pipeline_paused"
    assert why(conn, last).reason != "pipeline_paused"
