"""What is wrong with an installation: what plain values mean, and what is found in PostgreSQL."""

from __future__ import annotations

import inspect
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import broadcast
from pgjobs.core.config import configure
from pgjobs.diagnose.doctor import (
    Installation,
    doctor,
    examine,
    failures,
    look,
    server,
    surroundings,
    tables,
    workers,
)
from pgjobs.diagnose.doctor import signatures as signatures
from pgjobs.diagnose.doctor import stale as stale
from pgjobs.diagnose.doctor.examine import CHECKS, uncounted
from pgjobs.diagnose.doctor.installation import DetachedDay, DueJob, QueueState
from pgjobs.diagnose.rows import Holder
from pgjobs.diagnose.why import why
from tests.diagnose.doctor_samples import PAGE, SAMPLES, WELL, but, finding_of, page
from tests.support import functions
from tests.support.rows import flush_statistics, put_dead, put_job, put_pipeline, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

VERSION = "0.1.0"
OF_THE_TESTS = {"fsync", "full_page_writes", "synchronous_commit"}  # their servers need not survive a crash


# -- What plain values mean -------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    diagnosis = examine(WELL)
    assert diagnosis.findings == ()
    assert not diagnosis.has_errors
    assert len(diagnosis.checks) == len(CHECKS)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_thing_is_found_alone_with_a_sentence_and_what_to_do(name: str) -> None:
    finding = finding_of(name)
    assert finding.name == name
    for text in (finding.sentence, finding.next_step):
        assert text.endswith(".")
        assert "None" not in text


def test_there_is_a_sample_of_every_finding() -> None:
    source = "".join(
        inspect.getsource(each)
        for each in (failures, stale, server, surroundings, tables, signatures, workers, uncounted)
    )
    names = set(re.findall(r'Finding\(\s*"(\w+)"', source)) | {"fsync", "full_page_writes"}
    assert names | {"unused_limits", "unused_tenants", "unused_breakers"} == set(SAMPLES)


def test_the_page_shows_what_is_said() -> None:
    assert page() == PAGE.read_text(), "python -m tests.diagnose.doctor_samples writes it"


def test_the_worst_comes_first_and_only_errors_are_illness() -> None:
    notes = but(in_default=1, replica=True, connections=99)
    assert [finding.level for finding in examine(notes).findings] == ["error", "warning", "note"]
    assert examine(notes).has_errors
    assert not examine(but(in_default=1, connections=99)).has_errors


@pytest.mark.parametrize("revision", [None, "0000", "9999"])
def test_with_other_tables_nothing_else_is_looked_at(revision: str | None) -> None:
    diagnosis = examine(replace(SAMPLES["autovacuum"], revision=revision))
    assert [finding.name for finding in diagnosis.findings] == ["schema"]
    assert diagnosis.checks == ("schema",)


@pytest.mark.parametrize(
    "fine",
    [
        but(clock_ahead=30.0, clock_error=29.0),  # the network may be as slow as that
        but(snapshots=(Holder("session", "pg_dump", 1, "active", 60.0, 100),)),
        but(snapshots=(Holder("slot", "standby", 1, "active", None, 100),)),
        but(queues=(QueueState("mail", paused=True, paused_for=60.0, due=(DueJob(42, 60.0),)),)),
        but(workers=(), queues=(), retention_age=1e6),
        but(missing_days=()),
        but(signed=5),
    ],
    ids=["slow clock", "short dump", "slot that keeps up", "short pause", "no worker to do it", "days", "signed"],
)
def test_what_is_as_it_should_be_is_not_found(fine: Installation) -> None:
    assert examine(fine).findings == ()


def test_a_slot_that_falls_behind_is_found_by_its_transactions() -> None:
    (finding,) = examine(but(snapshots=(Holder("slot", "standby", None, "inactive", None, 5_000_000),))).findings
    assert finding.sentence.startswith("The inactive replication slot standby has kept VACUUM from")
    assert "pg_drop_replication_slot('standby')" in finding.next_step


# -- What is found in PostgreSQL --------------------------------------------------------------------------------------


def found(conn: Connection) -> dict[str, Any]:
    return {
        finding.name: finding for finding in doctor(conn, version=VERSION).findings if finding.name not in OF_THE_TESTS
    }


def test_fresh_tables_are_well(conn: Connection) -> None:
    assert found(conn) == {}


def test_no_tables(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        assert list(found(conn)) == ["schema"]


def test_settings_that_hurt(database_url: str) -> None:
    wrong = {"synchronous_commit": "off", "track_activities": "off", "default_transaction_read_only": "on"}
    with psycopg.connect(database_url, options=" ".join(f"-c {name}={value}" for name, value in wrong.items())) as conn:
        names = {finding.name for finding in doctor(conn, version=VERSION).findings}
    assert {"synchronous_commit", "track_activities", "read_only_default"} <= names


def test_a_table_without_autovacuum_and_its_dead_rows(conn: Connection, database_url: str) -> None:
    conn.execute("ALTER TABLE pgjobs.jobs_live SET (autovacuum_enabled = off)")
    conn.execute("INSERT INTO pgjobs.jobs_live (task, payload) SELECT 'x', 'x' FROM generate_series(1, 60000)")
    conn.execute("DELETE FROM pgjobs.jobs_live")
    flush_statistics(conn)
    names = found(conn)
    assert names["autovacuum_of_table"].facts["table"] == "jobs_live"
    assert names["dead_rows"].facts["dead"] >= 60_000


def test_foreign_keys_of_others_and_tables_that_a_crash_empties(conn: Connection) -> None:
    conn.execute("CREATE TABLE public.orders (job_id bigint REFERENCES pgjobs.jobs_live (id))")
    conn.execute("ALTER TABLE pgjobs.jobs_waiting SET UNLOGGED")
    names = found(conn)
    assert names["foreign_keys"].facts["keys"] == ["orders to jobs_live"]
    assert names["unlogged"].facts["tables"] == ["jobs_waiting"]


def test_who_holds_a_snapshot(conn: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "OLD_SNAPSHOT", 0.0)
    with psycopg.connect(database_url, application_name="report") as holder:
        holder.execute("SELECT pg_current_xact_id()")
        assert found(conn)["held_snapshot"].facts["pid"] == holder.info.backend_pid


def test_days_of_history_that_are_missing_and_what_lies_in_the_default(conn: Connection) -> None:
    day = _scalar(conn, "SELECT to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD')")
    conn.execute(f"DROP TABLE pgjobs.jobs_history_{day}")
    put_job(conn, status="completed", finished_at="2999-01-01")
    conn.execute("UPDATE pgjobs.retention SET applied_at = now() - interval '1 day'")
    put_worker(conn, {"mail": 1})
    names = found(conn)
    assert [each.replace("-", "") for each in names["missing_days"].facts["days"]] == [day]
    assert names["history_default"].facts["jobs"] == 1
    assert names["retention"].facts["seconds"] > 80_000


def test_a_day_of_history_that_was_detached_is_named_and_can_be_attached_as_is_said(conn: Connection) -> None:
    today, old = (
        _scalar(conn, f"SELECT to_char((now() AT TIME ZONE 'UTC')::date - {days}, 'YYYYMMDD')") for days in (0, 9)
    )
    conn.execute(f"SELECT pgjobs.create_history_partition('{old}')".encode())
    for day, level in ((old, "note"), (today, "warning")):
        conn.execute(f"ALTER TABLE pgjobs.jobs_history DETACH PARTITION pgjobs.jobs_history_{day}".encode())
        finding = found(conn)["detached_days"]
        assert (finding.facts["tables"][0], finding.level) == (f"jobs_history_{day}", level)
    assert "missing_days" not in found(conn)
    for _ in range(2):
        attach, away, _ = found(conn)["detached_days"].next_step.partition("; or keep it elsewhere: ")
        assert away
        conn.execute(attach.encode())
    assert "detached_days" not in found(conn)


def test_a_day_of_history_whose_detachment_was_interrupted_is_named() -> None:
    (finding,) = examine(but(detached=(DetachedDay("jobs_history_20261122", pending=True),))).findings
    assert "DETACH PARTITION pgjobs.jobs_history_20261122 FINALIZE; then attach it again" in finding.next_step
    (finding,) = examine(but(detached=(DetachedDay("jobs_history_99999999"),))).findings
    assert finding.next_step == "Keep it elsewhere: ALTER TABLE pgjobs.jobs_history_99999999 SET SCHEMA …."


def test_workers_that_are_silent_of_another_version_or_behind_a_pooler(conn: Connection) -> None:
    put_worker(conn, {"mail": 1})
    put_worker(conn, {"mail": 1}, silent_for=25)
    conn.execute("UPDATE pgjobs.workers SET version = '0.0.1', pooled = true, clock_ahead = 40")
    names = found(conn)
    assert {"silent_workers", "versions", "pooler", "worker_clock"} <= set(names)
    assert len(names["silent_workers"].facts["workers"]) == 1


def test_a_clock_that_is_not_ours(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60)
    assert found(conn)["clock"].facts["seconds_ahead"] == pytest.approx(60, abs=2)


def test_doctor_finds_orphaned_jobs_and_queues_without_workers(conn: Connection) -> None:
    put_job(conn, status="running", worker_id=99)
    put_job(conn, queue="mail")
    put_job(conn, queue="turns", status="waiting", lane="a\x1f\x1f\x1f")
    put_job(conn, queue="later", run_at="2999-01-01")
    diagnosis = doctor(conn, version=VERSION)
    unserved = {finding.facts["queue"] for finding in diagnosis.findings if finding.name == "no_worker"}
    assert unserved == {"mail", "turns"}
    assert found(conn)["orphans"].facts == {"jobs": 1, "workers": [99]}


def test_more_workers_are_advised_only_where_they_would_help(conn: Connection) -> None:
    ago = {"run_at": conn.execute("SELECT now() - interval '10 minutes'").fetchone()[0]}  # type: ignore[index]
    worker = put_worker(conn, {"mail": 1})
    turn = {"queue": "mail", "sequence": "account:1", "lane": "\x1f\x1faccount:1\x1f"}
    first = put_job(conn, **turn, status="running", worker_id=worker)
    second = put_job(conn, **turn, status="waiting", **ago)
    held = found(conn)["held_up"]
    assert held.facts == {"queue": "mail", "id": second, "due_seconds": pytest.approx(600, abs=5), "reason": "sequence"}
    assert f"behind 1 job of its sequence account:1; the first of them is job {first} (running)" in held.sentence
    assert held.next_step == why(conn, second).next_step
    assert "latency" not in found(conn)

    third = put_job(conn, queue="mail", **ago)  # for which the only slot is not free
    assert found(conn)["latency"].facts["id"] == third
    assert found(conn)["held_up"].facts["id"] == second

    conn.execute("UPDATE pgjobs.workers SET started_at = now() - interval '1 second'")
    assert found(conn).keys() & {"latency", "held_up"} == set()  # it has only begun


def test_switches_that_were_forgotten(conn: Connection) -> None:
    conn.execute("UPDATE pgjobs.switch SET paused = true, paused_at = now()")
    conn.execute("INSERT INTO pgjobs.queues (name, paused, paused_at) VALUES ('mail', true, now() - interval '3 days')")
    conn.execute("INSERT INTO pgjobs.paused_tasks VALUES ('a:b', '{a:b}', now() - interval '3 days')")
    conn.execute("INSERT INTO pgjobs.breakers (name, state, until) VALUES ('stripe', 'open', 'infinity')")
    assert set(found(conn)) == {"everything_paused", "paused_queue", "paused_task", "open_breaker"}


def test_settings_that_nothing_uses(conn: Connection) -> None:
    old = "now() - interval '31 days'"
    for name in ("api:*", "used:*", "key"):
        conn.execute(f"INSERT INTO pgjobs.limits (name, concurrency, updated_at) VALUES ('{name}', 1, {old})")
    conn.execute(f"INSERT INTO pgjobs.tenants (name, weight, updated_at) VALUES ('acme', 2, {old}), ('b', 2, {old})")
    conn.execute(f"INSERT INTO pgjobs.breakers (name, created_at) VALUES ('stripe', {old}), ('mail', {old})")
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('new', 1)")
    worker = put_worker(conn, {"default": 1})
    put_job(conn, status="running", worker_id=worker, limit_key="key", lane="\x1fkey\x1f\x1f")
    put_job(conn, status="waiting", limit_key="used:7", breaker="mail", lane="acme\x1fused:7\x1f\x1fmail")
    names = found(conn)
    assert names["unused_limits"].facts == {"limits": ["api:*"]}
    assert names["unused_tenants"].facts == {"tenants": ["b"]}
    assert names["unused_breakers"].facts == {"breakers": ["stripe"]}


def test_schedules_that_do_not_fire(conn: Connection) -> None:
    def put(name: str, **columns: str) -> None:
        row = {
            "name": name,
            "cron": "* * * * *",
            "columns": '{"task": "a:b", "queue": "mail", "priority": 5}',
            "payload": "x",
            **columns,
        }
        values = ", ".join(f"'{value}'" for value in row.values())
        conn.execute(f"INSERT INTO pgjobs.schedules ({', '.join(row)}) VALUES ({values})")

    put("broken", error="no module named shop")
    put("late", next_at="2020-01-01")
    put("soon", next_at="2999-01-01")
    put("paused", next_at="2020-01-01", paused_at="2020-01-01")
    put("retired", next_at="2020-01-01", retired_at="2020-01-01")
    schedules = {f.name: f.facts["schedule"] for f in doctor(conn, version=VERSION).findings if "schedule" in f.facts}
    assert schedules == {"schedule_error": "broken", "late_schedule": "late", "paused_schedule": "paused"}
    assert found(conn)["retired_schedules"].facts["schedules"] == ["retired"]


def test_doctor_finds_jobs_whose_needs_never_complete(conn: Connection) -> None:
    letter, failed, running = put_dead(conn), put_job(conn, status="failed"), put_job(conn, run_at="2999-01-01")
    cancelled = put_job(conn, status="cancelled")
    needs = (letter, failed, running, 10_000, cancelled)
    waiting = {each: put_job(conn, status="waiting", held="needs", needs=1) for each in needs}
    for needed, job in waiting.items():
        conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    assert found(conn)["waits_for_dead"].facts["jobs"] == {waiting[letter]: letter}
    assert f"`pgjobs dead replay {letter}`" in found(conn)["waits_for_dead"].next_step
    finding = found(conn)["unsatisfiable"]
    assert finding.facts["jobs"] == {waiting[each]: each for each in (failed, 10_000, cancelled)}
    assert f"`pgjobs jobs retry {failed} {cancelled}`" in finding.next_step
    conn.execute("UPDATE pgjobs.dependencies SET on_failure = 'run'")  # a worker is about to let them go on
    assert found(conn)["unsatisfiable"].facts["jobs"] == {waiting[10_000]: 10_000}


def test_unsigned_jobs_where_workers_have_a_key(conn: Connection) -> None:
    put_worker(conn, {"default": 1})
    conn.execute("UPDATE pgjobs.workers SET signs = true, version = '0.1.0'")
    put_job(conn, run_at="2999-01-01")
    put_job(conn, run_at="2999-01-01", signature=b"x")
    assert found(conn)["unsigned_jobs"].facts == {"unsigned": 1, "workers_with_key": 1}
    conn.execute("UPDATE pgjobs.workers SET signs = false")
    assert "unchecked_signatures" in found(conn)
    conn.execute("DELETE FROM pgjobs.jobs")
    assert "no_key" in found(conn)
    configure(signing_keys=(b"k",))
    assert "unchecked_signatures" in found(conn)


def test_what_takes_too_long_is_left_out_and_said(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (task, payload, run_at) SELECT 'a:b', 'x', '2999-01-01' FROM generate_series(1, 50000)"
    )
    assert look(conn, version=VERSION).counted
    hasty = look(conn, version=VERSION, timeout_ms=1)
    assert not hasty.counted
    assert "not_counted" in [finding.name for finding in examine(hasty).findings]


def test_it_can_be_written_as_json(conn: Connection) -> None:
    put_job(conn, queue="mail")
    assert json.dumps([finding.facts for finding in doctor(conn, version=VERSION).findings])


def _scalar(conn: Connection, query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_burst_of_dead_letters_is_found_and_a_few_or_old_ones_are_not(conn: Connection) -> None:
    for _ in range(9):
        put_dead(conn, task="shop.tasks:thumb", error="ValueError: no image")
    for _ in range(9):
        put_dead(conn, task="shop.tasks:mail", finished_at="2020-01-01")  # which is when it died
    assert "dead_letters" not in found(conn)
    put_dead(conn, task="shop.tasks:mail", error="OSError: no route")
    finding = found(conn)["dead_letters"]
    assert (finding.level, finding.facts["letters"], finding.facts["task"]) == ("warning", 10, "shop.tasks:thumb")
    assert "OSError: no route" in finding.sentence
    assert finding.next_step.endswith("`pgjobs dead replay --task shop.tasks:thumb`.")
    conn.execute("UPDATE pgjobs.dead_jobs SET task = 'make thumbs'")
    assert found(conn)["dead_letters"].next_step.endswith("`pgjobs dead replay --task 'make thumbs'`.")


def test_as_many_dead_letters_as_usual_are_a_note(conn: Connection) -> None:
    letters = (
        "INSERT INTO pgjobs.dead_jobs (id, status, queue, task, payload, attempt, claims, max_attempts, priority, "
        "run_at, enqueued_at, error, died_at) SELECT n, 'failed', 'default', 'a:b', 'x', 5, 5, 5, 5, now(), now(), "
        "'ValueError: no', now() - %s * interval '1 hour' FROM generate_series(%s::bigint, %s::bigint) AS n"
    )
    conn.execute(letters, [0, 1, 20])
    assert found(conn)["dead_letters"].level == "warning"
    conn.execute(letters, [5, 100, 339])
    finding = found(conn)["dead_letters"]
    assert (finding.level, finding.facts["usual"]) == ("note", 10)


def test_jobs_that_lose_their_own_connections_are_found(conn: Connection) -> None:
    for _ in range(2):
        put_dead(conn, error="OperationalError: consuming input failed: server closed the connection unexpectedly")
    put_job(conn, error="ValueError: no connection", attempt=1)
    put_job(conn, error="OperationalError: disk full", attempt=1)
    assert "lost_connections" not in found(conn)
    put_job(conn, error="InterfaceError: connection already closed", attempt=1)
    assert found(conn)["lost_connections"].facts["dead"] == 2
    assert found(conn)["lost_connections"].facts["retried"] == 1


def test_a_fan_in_that_nothing_releases_is_found(conn: Connection) -> None:
    past = datetime.now(UTC) - timedelta(minutes=5)
    stuck = put_job(conn, status="waiting", held="needs", needs=2, enqueued_at=past)
    waits = put_job(conn, status="waiting", held="needs", needs=1, enqueued_at=past)
    needed = put_job(conn)
    conn.execute(
        "INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure) VALUES (%s, %s, 'wait')", [needed, waits]
    )
    assert found(conn)["stuck_fan_ins"].facts == {"jobs": [stuck]}


def test_a_broadcast_that_does_not_end_is_found(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    hangs, _ = broadcast(conn, functions.add, 1), broadcast(conn, functions.add, 1)
    change = "UPDATE pgjobs.broadcast_runs SET state = 'running', started_at = now() - %s::interval"
    conn.execute(f"{change} WHERE broadcast_id = %s".encode(), ["9 minutes", hangs.id])
    assert "slow_broadcast" not in found(conn)
    conn.execute(f"{change} WHERE broadcast_id = %s".encode(), ["11 minutes", hangs.id])
    facts = found(conn)["slow_broadcast"].facts
    assert (facts["broadcast"], facts["worker"], facts["behind"]) == (hangs.id, worker, 1)


def test_a_pipeline_that_stands_still_is_found(conn: Connection) -> None:
    put_pipeline(conn, at_most=2)
    lane = "\x1f\x1f\x1f\x1f\x1findex/store"
    put_job(conn, status="waiting", lane=lane)
    assert "pipeline_jams" not in found(conn)
    put_job(conn, status="waiting", lane=lane)
    assert "pipeline_jams" in found(conn)
    worker = put_worker(conn, {"default": 1})
    running = put_job(conn, status="running", worker_id=worker, lane=lane, counted_queue="\x1findex/store")
    assert "pipeline_jams" not in found(conn)
    conn.execute("UPDATE pgjobs.jobs SET counted_queue = queue WHERE id = %s", [running])  # its queue has a limit
    assert "pipeline_jams" not in found(conn)
