"""A database, a role and an environment that set what they can: workers, commands and callers work as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgjobs import admin, enqueue, enqueue_many
from pgjobs.cli.main import main
from pgjobs.core.errors import ConfigurationError
from pgjobs.db import migrations as migrate
from pgjobs.db.connection import STATEMENT_TIMEOUT, STILL_WITHIN, connect, connect_hot
from pgjobs.db.limits import LimitWriter
from pgjobs.db.session_settings import SESSION
from pgjobs.db.statements import doorbell_channel, statement
from pgjobs.flow.limits import LimitSettings, declared_limits, declared_queue_limits
from pgjobs.flow.rates import Rate
from pgjobs.worker.runtime.registration import application_name, terminate_backends
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.maintenance import MaintenanceThread
from tests.support import tasks
from tests.support.callers import KINDS, settled
from tests.support.postgres import Server
from tests.support.rows import put_dead, put_worker
from tests.support.worker import QUICK, scalar, wait_for, work

# For all connections to the database. IST is India's time where it is written, and Israel's where it is read.
DATABASE = {
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "'sql_standard'",
    "TimeZone": "'Asia/Kolkata'",
    "bytea_output": "'escape'",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "search_path": "nowhere, pg_catalog",
    "row_security": "off",
    "plan_cache_mode": "'force_generic_plan'",
    "jit_above_cost": "0",
    "session_replication_role": "'replica'",
}
# For those that have it in their environment: workers and commands. With these an application could not write.
LIMITS = {
    "default_transaction_read_only": "on",
    "lock_timeout": "1",
    "statement_timeout": "2500",
    "idle_in_transaction_session_timeout": "50",
    "idle_session_timeout": "400",
    "exit_on_error": "on",
}
ENVIRONMENT = {
    "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in LIMITS.items()),
    "PGDATESTYLE": "German",
    "PGTZ": "America/St_Johns",
    "PGCLIENTENCODING": "LATIN1",
    "PGAPPNAME": "somebody",
}


@pytest.fixture(scope="module")
def hostile(server: Server) -> Iterator[str]:
    """The URL of a database with all of that, in which the tables were made under it."""
    url = server.create(migrated=False)
    name = conninfo_to_dict(url)["dbname"]
    settings = dict(DATABASE)
    if server.version < 19:  # the first one in which it is always on
        settings["standard_conforming_strings"] = "off"
    if server.version >= 17:  # the first one that has it
        settings["transaction_timeout"] = "'1h'"
    with psycopg.connect(server.url, autocommit=True) as conn:
        for setting, value in settings.items():
            conn.execute(f"ALTER DATABASE {name} SET {setting} = {value}".encode())
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch)
        migrate.upgrade(url)
    yield url
    server.drop(url)


def set_environment(patch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)


def test_own_connections_say_all_of_it_themselves(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(conn: psycopg.Connection) -> dict[str, str]:
        query = "SELECT name, setting FROM pg_catalog.pg_settings"
        names = {name.lower(): name for name in SESSION}
        return {names[name.lower()]: value for name, value in conn.execute(query) if name.lower() in names}

    with psycopg.connect(hostile) as conn:
        theirs = session(conn)
    set_environment(monkeypatch)
    with connect(hostile) as own:
        ours = session(own)
        assert (own.info.encoding, own.info.parameter_status("application_name")) == ("utf-8", "pgjobs")
        version = own.info.server_version // 10000
    assert {*DATABASE, *LIMITS} - set(SESSION) == {"session_replication_role", "jit_above_cost"}
    plain = {name: value.strip("'") for name, value in SESSION.items()}
    assert ours == {name: plain[name] for name in ours}
    assert set(plain) - set(ours) <= {"transaction_timeout"}, "PostgreSQL before 17 has no such limit"
    assert {ours[name] for name in LIMITS} == {"off", "0"}
    assert (ours["jit"], ours["standard_conforming_strings"]) == ("off", "on")
    assert version < 17 or ours["transaction_timeout"] == "0"
    changed = {name for name in theirs if theirs[name] != plain[name]}
    assert changed >= (set(DATABASE) & set(plain)), "the database has set something else"
    with connect_hot(hostile, application_name="hot") as hot:
        assert scalar(hot, "SELECT current_setting('statement_timeout')") == f"{STATEMENT_TIMEOUT:g}s"
        assert scalar(hot, "SELECT current_setting('plan_cache_mode')") == "force_generic_plan"
        assert scalar(hot, "SHOW idle_in_transaction_session_timeout") == f"{STILL_WITHIN:g}s"


def test_maintenance_waits_for_locks_and_statements_only_so_long(hostile: str) -> None:
    heartbeats = HeartbeatThread(hostile, 5.0, 30.0, list, lambda worker: None)
    thread = MaintenanceThread(hostile, 5.0, 30.0, heartbeats)
    with thread._connect() as own:
        assert scalar(own, "SELECT current_setting('lock_timeout')") == "5s"
        assert scalar(own, "SELECT current_setting('statement_timeout')") == "1min"


def test_connection_is_closed_where_a_setting_is_refused(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not every server that speaks PostgreSQL's protocol has all of them.
    monkeypatch.setitem(SESSION, "pg_catalog", "off")
    with pytest.raises(ConfigurationError, match="pg_catalog") as refused:
        connect(hostile, application_name="refused")
    with psycopg.connect(hostile, autocommit=True) as conn:
        # `refused` keeps the connection alive; PostgreSQL takes a moment to end its side.
        wait_for(conn, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'refused')", seconds=5)
    assert refused.value


def test_jobs_of_all_kinds_of_callers_run_and_lost_ones_are_rescued(hostile: str) -> None:
    async def enqueue_all() -> int:
        number = 0
        for opened in KINDS.values():
            async with opened(hostile) as caller:
                await settled(enqueue(caller.conn, tasks.nothing, 1.5))
                await settled(enqueue(caller.conn, tasks.nothing.options(limit="k"), 1))
                await settled(enqueue(caller.conn, tasks.nothing.options(unique=f"u{number}", expires=600), 1))
                await settled(enqueue_many(caller.conn, tasks.nothing, [(n,) for n in range(3)]))
                await caller.commit()
                number += 1
        return 6 * number

    environment = {**ENVIRONMENT, "TEST_SCHEDULES": "tick", "TEST_CRON": "* * * * * *"}
    with psycopg.connect(hostile, autocommit=True) as conn:
        worker = put_worker(conn, {"default": 1}, silent_for=60)
        lost = enqueue(conn, tasks.nothing).id
        conn.execute(
            "UPDATE pgjobs.jobs SET status = 'running', worker_id = %s, claims = 1, attempt = 1, started_at = now() "
            "WHERE id = %s",
            [worker, lost],
        )
        failing = enqueue(conn, tasks.fail_until.options(max_attempts=2), 9, "no").id
        with work(
            hostile, "-q", "default:4", "-q", "reports:1", "--import", "tests.schedules.tasks", *QUICK, env=environment
        ) as running:
            made = asyncio.run(enqueue_all()) + 1
            in_sql = scalar(
                conn, "SELECT pgjobs.enqueue('tests.schedules.tasks:report', '[\"a b\"]', queue => 'reports')"
            )
            done = f"(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed' AND task LIKE '%nothing') >= {made}"
            wait_for(conn, done, log=lambda: running.output)
            for condition in (
                f"EXISTS (SELECT FROM pgjobs.jobs WHERE id = {lost} AND status = 'completed')",
                f"EXISTS (SELECT FROM pgjobs.jobs WHERE id = {in_sql} AND status = 'completed')",
                f"EXISTS (SELECT FROM pgjobs.dead_jobs WHERE id = {failing})",
                "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'completed' AND task LIKE '%:sync')",
            ):
                wait_for(conn, condition, log=lambda: running.output)
            running.stop()
            outages = [
                line["event"]
                for line in running.lines()
                if line["logger"] in ("pgjobs.connection", "pgjobs.maintenance")
            ]
            assert outages == []
    with psycopg.connect(hostile) as conn:
        (error, trace) = conn.execute(
            "SELECT errors -> -1 ->> 'error', errors -> -1 ->> 'traceback' FROM pgjobs.dead_jobs WHERE id = %s",
            [failing],
        ).fetchall()[0]
        assert (error, "Traceback" in trace) == ("ValueError: no", True)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "status",
            "jobs list",
            "jobs list --json",
            "why JOB",
            "why JOB --json",
            "jobs show JOB",
            "doctor",
            "history list",
        ),
        *("schedules list", "queues list", "limits list", "breakers list", "dead list", "migrate"),
        *("queues pause spare && queues resume spare", "history keep 8"),
    ],
)
def test_commands_work(
    hostile: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(hostile) as conn:
        job = enqueue(conn, tasks.nothing).id
    set_environment(monkeypatch)
    for each in command.replace("JOB", str(job)).split(" && "):
        code = main(["--database-url", hostile, *each.split()])
        err = capsys.readouterr().err
        assert (code, "PostgreSQL" in err, "unexpected" in err) == (0, False, False), err


def test_operations_work_on_a_connection_of_the_caller(hostile: str) -> None:
    declared_limits["third"] = LimitSettings(rate=Rate(1.25, 3.0))
    try:
        with connect(hostile) as own:
            LimitWriter().write(own)
    finally:
        del declared_limits["third"]
    with psycopg.connect(hostile, row_factory=psycopg.rows.dict_row, cursor_factory=psycopg.RawCursor) as conn:
        job = enqueue(conn, tasks.nothing.options(delay=3600, meta={"x": 0.1}))
        shown = next(each for each in admin.list_jobs(conn) if each.id == job.id)
        assert shown.run_at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
        assert admin.why(conn, job.id).sentence
        assert {each.name: each.set_by for each in admin.list_limits(conn)}["third"] == "code"
        assert admin.doctor(conn).findings is not None
        assert admin.list_schedules(conn) is not None


def test_declared_limits_are_changed_and_shown_where_a_session_writes_few_digits(hostile: str) -> None:
    try:
        for count, opened in ((1.25, connect), (1.5, psycopg.connect)):
            declared_limits["fraction"] = declared_queue_limits["fraction"] = LimitSettings(rate=Rate(count, 3.0))
            with opened(hostile) as conn:
                LimitWriter().write(conn)
    finally:
        del declared_limits["fraction"], declared_queue_limits["fraction"]
    with psycopg.connect(hostile, autocommit=True) as conn:
        for table in ("limits", "queues"):
            assert scalar(conn, f"SELECT rate = 1.5 FROM pgjobs.{table} WHERE name = 'fraction'"), table
            conn.execute(f"DELETE FROM pgjobs.{table} WHERE name = 'fraction'".encode())


def test_doctor_sees_what_others_begin_with_although_its_own_session_says_something_else(
    hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch)
    with connect(hostile) as own:
        assert scalar(own, "SHOW default_transaction_read_only") == "off"
        assert "read_only_default" in {finding.name for finding in admin.doctor(own).findings}


def test_retention_counts_days_of_24_hours_whatever_the_time_zone_of_the_session(conn: psycopg.Connection) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL TimeZone = 'Europe/Berlin'")
        # Its clocks were set otherwise that number of days ago.
        days = scalar(
            conn,
            "SELECT min(d) FROM generate_series(30, 330, 30) AS d "
            "WHERE extract(timezone FROM now()) <> extract(timezone FROM now() - d * interval '24 hours')",
        )
        for minutes in (-30, 30):
            put_dead(conn, finished_at=datetime.now(UTC) - timedelta(days=days, minutes=minutes))
        assert admin.count_expired_dead(conn, days) == 1
        conn.execute(statement("purge_dead"), {"days": days, "batch": 10})
        assert admin.count_expired_dead(conn, days) == 0
        assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs") == 1


def test_the_doorbell_rings_in_sessions_without_triggers(hostile: str) -> None:
    with psycopg.connect(hostile, autocommit=True) as conn, connect(hostile) as listener:
        assert scalar(conn, "SHOW session_replication_role") == "replica"
        conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('bell', now() + interval '1 h')")
        listener.execute(f'LISTEN "{doorbell_channel("bell")}"'.encode())
        for job in (tasks.nothing.options(queue="bell"), tasks.nothing.options(queue="bell", limit="k")):
            enqueue(conn, job)
            assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        conn.execute("DELETE FROM pgjobs.jobs WHERE queue = 'bell'")


def test_a_day_of_history_takes_its_own_rows_from_the_default_partition(hostile: str) -> None:
    with psycopg.connect(hostile, autocommit=True) as conn:
        for hour in (
            "2031-02-02 23:59:59+00",
            "2031-02-03 00:00:00+00",
            "2031-02-03 23:59:59+00",
            "2031-02-04 00:00+00",
        ):
            conn.execute(
                "INSERT INTO pgjobs.jobs (status, finished_at, task, payload) VALUES ('completed', %s, 'a:b', '')",
                [hour],
            )
        conn.execute("SELECT pgjobs.create_history_partition('2031-02-03')")
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs_history_20310203") == 2
        conn.execute("DELETE FROM pgjobs.jobs_history WHERE finished_at > '2031-01-01'")


def test_functions_with_backslashes_say_what_these_mean(conn: psycopg.Connection) -> None:
    rows = conn.execute(
        r"""
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'pgjobs'::regnamespace AND strpos(prosrc, E'\\') > 0
          AND NOT coalesce('standard_conforming_strings=on' = ANY (proconfig), false)
        """
    ).fetchall()
    assert rows == []


def test_functions_that_write_times_into_statements_say_how_these_look(conn: psycopg.Connection) -> None:
    # PostgreSQL 18 reads back what it has written, whatever the settings; those before take IST for Israel's time.
    rows = conn.execute(
        """
        SELECT proname, proconfig FROM pg_proc
        WHERE pronamespace = 'pgjobs'::regnamespace
          AND strpos(prosrc, 'timestamptz :=') > 0 AND strpos(prosrc, '%L') > 0
        """
    ).fetchall()
    assert {name for name, _ in rows} >= {"create_history_partition", "create_results_partition"}
    assert all({"DateStyle=ISO", "TimeZone=UTC"} <= set(settings) for _, settings in rows)


def test_statements_have_no_backslash_that_a_setting_gives_a_meaning() -> None:
    folder = Path(migrate.__file__).parent / "sql"
    lines = [(file.name, line) for file in folder.rglob("*.sql") for line in file.read_text("utf-8").splitlines()]
    assert [each for each in lines if "\\" in each[1].partition("--")[0] and "E'" not in each[1]] == []


def test_what_a_gone_worker_left_is_ended_where_a_role_takes_another_one(hostile: str, server: Server) -> None:
    # ALTER ROLE … SET role: sessions show the role that has logged in, and have the rights of the other one.
    login, owner = f"{server.run}_login", f"{server.run}_group"
    with psycopg.connect(hostile, autocommit=True) as conn:
        conn.execute(
            f"CREATE ROLE {owner}; CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE {owner};"
            f"ALTER ROLE {login} SET role = {owner}"
        )
        try:
            with (
                psycopg.connect(hostile, user=login, password="x", application_name=application_name(77)) as gone,
                connect(psycopg.conninfo.make_conninfo(hostile, user=login, password="x")) as own,
            ):
                assert scalar(own, "SELECT current_user::text") == owner
                terminate_backends(own, [77])
                with pytest.raises(psycopg.OperationalError):
                    gone.execute("SELECT 1")
        finally:
            conn.execute(f"DROP ROLE {login}; DROP ROLE {owner}")
