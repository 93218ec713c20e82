"""Migrations: repeatable, one at a time, in a schema of their own, without effect on others."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from pgjobs.core.config import configure
from pgjobs.core.errors import ConfigurationError, SchemaError
from pgjobs.db import migrations as migrate
from pgjobs.db.revision import EXPECTED_REVISION, check_schema
from pgjobs.db.statements import doorbell_channel
from tests.support import postgres, processes

TABLES = {
    *("jobs", "jobs_live", "jobs_history", "jobs_history_default"),
    *("dead_jobs", "workers", "queues", "retention", "migrations"),
    *("jobs_waiting", "limits", "tenants", "buckets", "key_locks", "dependencies", "breakers"),
    *("progress", "job_steps"),
    *("schedules", "schedule_owners", "unique_keys", "paused_tasks", "switch"),
    *("results", "results_default"),
    *("workflows", "workflow_counts", "workflow_steps", "workflow_callbacks", "signals", "waits"),
    *("subscriptions", "topics", "events", "events_default"),
    *("broadcasts", "broadcast_runs"),
    *("pipelines", "pipeline_stages", "audit"),
    *("queue_minutes", "queue_minutes_default", "finished_totals"),
}
DAY = re.compile(r"(jobs_history|results|events|queue_minutes)_\d{8}")


def tables(url: str, schema: str = "pgjobs") -> set[str]:
    """List the tables of a schema, without those of single days."""
    with psycopg.connect(url) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
    return {name for (name,) in rows if not DAY.fullmatch(name)}


def shape(url: str) -> list[tuple[object, ...]]:
    """Describe columns, indexes, constraints and functions of the schema, for comparisons."""
    with psycopg.connect(url) as conn:
        return conn.execute(
            """
            SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
            FROM information_schema.columns WHERE table_schema = 'pgjobs'
            UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'pgjobs'
            UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'pgjobs'::regnamespace
            UNION ALL SELECT 'function', proname, pg_get_functiondef(oid)
            FROM pg_proc WHERE pronamespace = 'pgjobs'::regnamespace
            UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname FROM pg_trigger
            UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'pgjobs'
            UNION ALL SELECT 'table', relname, concat(relreplident, relpersistence, reloptions)
            FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relkind IN ('r', 'p')
            AND relname !~ '^jobs_history_'  -- days keep what a migration has given them
            ORDER BY 1, 2, 3
            """
        ).fetchall()


def test_an_upgrade_makes_the_tables_and_the_next_one_changes_nothing(empty_database_url: str) -> None:
    assert migrate.current(empty_database_url) is None
    migrate.upgrade(empty_database_url)
    assert tables(empty_database_url) == TABLES
    assert migrate.current(empty_database_url) == EXPECTED_REVISION
    before = shape(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert shape(empty_database_url) == before


def test_the_expected_revision_is_the_newest_migration() -> None:
    revisions = sorted(path.name[:4] for path in (migrate.migrations_directory() / "versions").glob("[0-9]*.py"))
    assert revisions[-1] == EXPECTED_REVISION
    assert all(re.fullmatch(r"\d{4}", revision) for revision in revisions), "they are compared as text"


def test_a_lock_is_waited_for_a_moment_and_then_its_holder_is_named(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(empty_database_url)
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr(migrate, "PAUSES", (0.01,))
    with psycopg.connect(empty_database_url, application_name="report") as idler:
        idler.execute("SELECT count(*) FROM pgjobs.retention")
        with pytest.raises(SchemaError, match=rf"pid {idler.info.backend_pid} \(report, idle in transaction\)"):
            migrate.downgrade(empty_database_url, "0002")
        assert migrate.current(empty_database_url) == EXPECTED_REVISION, "nothing was changed"
        monkeypatch.setattr(migrate, "PAUSES", (0.5,) * 9)
        later = threading.Timer(0.5, idler.rollback)
        later.start()
        migrate.downgrade(empty_database_url, "0001")  # which has tried again
        later.join()
    migrate.upgrade(empty_database_url)


def test_functions_keep_the_rights_that_roles_gave_them(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0001")
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("ALTER FUNCTION pgjobs.enqueue_after_checks SECURITY DEFINER")
        migrate.upgrade(empty_database_url)
        definers = conn.execute("SELECT prosecdef FROM pg_proc WHERE proname = 'enqueue_after_checks'").fetchall()
    assert definers == [(True,)]


def test_what_counted_as_started_before_still_does(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0006")
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("SELECT pgjobs.enqueue('x:y', unique_key => n::text) FROM generate_series(1, 4) AS n")
        conn.execute("UPDATE pgjobs.jobs SET claims = 1 WHERE id < 4")
        conn.execute("UPDATE pgjobs.jobs SET status = 'waiting', held = 'task' WHERE id = 3")
        migrate.upgrade(empty_database_url)
        rows = conn.execute("SELECT id, prior_attempts FROM pgjobs.jobs ORDER BY id").fetchall()
    assert rows == [(1, 0), (2, 0), (3, 0), (4, None)]


def test_what_was_forged_or_out_of_range_before_is_put_right(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0006")
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        lanes = [None, "", "a\x1f\x1f\x1f", "\x1fl\x1fs\x1fb", "\x1fl\x1f\x1f"]
        conn.cursor().executemany(
            "INSERT INTO pgjobs.jobs_waiting (task, payload, lane, limit_key) VALUES ('a:b', '', nullif(%s, ''), %s)",
            [(lane, key) for lane in lanes for key in (None, "l", "other")],
        )
        conn.execute(
            "INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('l', 1e308, '178000000 years', 1e16)"
        )
        conn.execute(
            "INSERT INTO pgjobs.queues (name, rate, period, aging) VALUES ('q', 1e308, '1 s', '178000000 years')"
        )
        conn.execute("INSERT INTO pgjobs.buckets VALUES ('limit', 'l', 'NaN', now()), ('queue', 'q', 1, 'infinity')")
        conn.execute(
            "INSERT INTO pgjobs.breakers (name, period, cooldown, probes, min_calls)"
            " VALUES ('b', '5 years', '1 us', 5000, 2000000)"
        )
        migrate.upgrade(empty_database_url)
        wrong = """
            SELECT count(*) FROM pgjobs.jobs_waiting
            WHERE concat_ws(E'\\x1f', coalesce(split_part(lane, E'\\x1f', 1), ''), coalesce(limit_key, ''),
                            coalesce(sequence, ''), coalesce(breaker, '')) <> coalesce(lane, E'\\x1f\\x1f\\x1f')
            """
        assert conn.execute(wrong).fetchone() == (0,)
        assert conn.execute("SELECT rate, period::text, burst FROM pgjobs.limits").fetchone() == (
            1e15,
            "1000 years",
            1e15,
        )
        assert conn.execute("SELECT rate, aging::text FROM pgjobs.queues").fetchone() == (1e15, "1000 years")
        assert conn.execute("SELECT count(*) FROM pgjobs.buckets").fetchone() == (0,)
        query = """
            SELECT extract(epoch FROM period)::int, extract(epoch FROM cooldown)::float8, probes, min_calls
            FROM pgjobs.breakers
            """
        assert conn.execute(query).fetchone() == (86_400, 0.1, 1000, 1_000_000)


@pytest.mark.in_turns(3)
def test_ten_that_start_at_once_all_succeed(empty_database_url: str) -> None:
    # Where snapshots last as long as transactions, who waited must not look with one from before the wait.
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    # One process imports what they need and forks ten, which wait at the door until all of them are there.
    program = (
        "import os, sys, alembic.command, sqlalchemy.dialects.postgresql.psycopg\n"
        "from pgjobs.db import migrations as migrate\n"
        "door, key = os.pipe()\n"
        "for _ in range(10):\n"
        "    if os.fork() == 0:\n"
        "        os.close(key); os.read(door, 1); migrate.upgrade(sys.argv[1]); sys.exit()\n"
        "os.close(key)\n"
        "print([os.wait()[1] for _ in range(10)])"
    )
    command = [sys.executable, "-c", program, empty_database_url]
    done = subprocess.run(command, env=processes.environment(), capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", f"{[0] * 10}\n")
    assert tables(empty_database_url) == TABLES


def test_a_downgrade_to_base_drops_everything_and_an_upgrade_brings_it_back(database_url: str) -> None:
    before = shape(database_url)
    migrate.downgrade(database_url, "base")
    assert tables(database_url) == {"migrations"}
    with psycopg.connect(database_url) as conn:
        query = """
            SELECT relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relkind <> 'i'
            UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'pgjobs'::regnamespace
            """
        assert conn.execute(query).fetchall() == [("migrations",)]
    assert migrate.current(database_url) is None
    migrate.upgrade(database_url)
    assert shape(database_url) == before


def test_a_downgrade_by_one_step_leaves_what_was_there_before_it(empty_database_url: str) -> None:
    numbers = sorted(file.name[:4] for file in (processes.ROOT / "migrations" / "versions").glob("0*.py"))
    assert numbers[-1] == EXPECTED_REVISION
    for number, following in pairwise(numbers):
        migrate.upgrade(empty_database_url, number)
        before = shape(empty_database_url)
        migrate.upgrade(empty_database_url, following)
        assert shape(empty_database_url) != before
        migrate.downgrade(empty_database_url, number)
        assert shape(empty_database_url) == before


def test_a_failing_migration_changes_nothing(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA pgjobs; CREATE TABLE pgjobs.queues ()")
    with pytest.raises(SchemaError, match='nothing was changed: relation "queues" already exists') as caught:
        migrate.upgrade(empty_database_url)
    assert "\n" not in str(caught.value)
    assert tables(empty_database_url) == {"queues"}


def test_the_printed_statements_do_the_same(empty_database_url: str, database_url: str) -> None:
    printed = io.StringIO()
    migrate.sql(output=printed)
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(printed.getvalue().encode())
        check_schema(conn)
    assert shape(empty_database_url) == shape(database_url)


def test_what_is_printed_for_a_database_is_what_it_lacks(empty_database_url: str, database_url: str) -> None:
    for url, text in ((empty_database_url, "CREATE TABLE pgjobs.jobs"), (database_url, "up to date")):
        printed = io.StringIO()
        migrate.sql(url, output=printed)
        assert text in printed.getvalue()
    assert tables(empty_database_url) == set(), "printing runs nothing"


def test_printing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    migrate.sql()
    printed = capsys.readouterr()
    assert printed.out.startswith("BEGIN;")
    assert printed.err == ""


def test_the_application_s_own_alembic_history_is_left_alone(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE alembic_version AS SELECT 'theirs'::varchar(32) AS version_num")
        conn.execute("CREATE TABLE migrations AS SELECT 'also theirs'::text AS version_num")
        migrate.upgrade(empty_database_url)
        migrate.downgrade(empty_database_url, "base")
        migrate.upgrade(empty_database_url)
        assert conn.execute("SELECT * FROM public.alembic_version").fetchall() == [("theirs",)]
        assert conn.execute("SELECT * FROM public.migrations").fetchall() == [("also theirs",)]


def test_another_schema_works_beside_the_first(database_url: str) -> None:
    migrate.upgrade(database_url, schema="second")
    assert tables(database_url, "second") == TABLES
    configure(schema="second")
    with psycopg.connect(database_url, autocommit=True) as conn:
        check_schema(conn)
        # The trigger rings the second runner's bell, and that of the armed queue only.
        conn.execute("INSERT INTO second.queues (name, doorbell_until) VALUES ('mail', now() + interval '1 minute')")
        for schema in ("second", "pgjobs"):
            for queue in ("mail", "other"):
                conn.execute(f'LISTEN "{doorbell_channel(queue, schema)}"')
        for schema in ("second", "pgjobs"):
            for queue in ("mail", "other"):
                conn.execute(
                    f"INSERT INTO {schema}.jobs (queue, task, payload) VALUES (%s, 'm:f', '')",
                    [queue],
                )
        rung = [notify.channel for notify in conn.notifies(timeout=0.2)]
        assert rung == [doorbell_channel("mail", "second")]
        assert conn.execute("SELECT count(*) FROM second.jobs_live").fetchone() == (2,)
        assert conn.execute("SELECT count(*) FROM pgjobs.jobs_live").fetchone() == (2,)
    migrate.downgrade(database_url, "base", schema="second")
    assert tables(database_url) == TABLES, "the first is still there"


def test_days_of_history_are_made_in_the_own_schema(database_url: str) -> None:
    migrate.upgrade(database_url, schema="second")
    with psycopg.connect(database_url, autocommit=True) as conn:
        made = conn.execute("SELECT second.create_history_partition('2031-02-03')").fetchone()
        again = conn.execute("SELECT second.create_history_partition('2031-02-03')").fetchone()
        assert (made, again) == ((True,), (False,))
        there = conn.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'jobs_history_20310203'").fetchall()
        assert there == [("second",)]


def test_a_role_that_owns_the_schema_needs_no_right_to_create_one(
    empty_database_url: str, server: postgres.Server
) -> None:
    role = f"{server.run}_owner"
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE SCHEMA pgjobs AUTHORIZATION {role}")
        try:
            parts = urlsplit(empty_database_url)
            url = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}"))
            migrate.upgrade(url)
            assert tables(empty_database_url) == TABLES
        finally:
            conn.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_the_defaults_of_the_database_do_not_matter(empty_database_url: str) -> None:
    name = urlsplit(empty_database_url).path.lstrip("/")
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        conn.execute(f"ALTER DATABASE {name} SET search_path = ''")
        conn.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    migrate.upgrade(empty_database_url)
    assert tables(empty_database_url) == TABLES


def test_alembic_logs_nothing_and_the_logger_is_as_it_was(
    empty_database_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    migrate.upgrade(empty_database_url)
    assert [record for record in caplog.records if record.name.startswith("alembic")] == []
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("alembic").level == logging.NOTSET


@pytest.mark.in_turns(3)
def test_alembic_by_hand_does_the_same(empty_database_url: str) -> None:
    environment = {**processes.environment(), "PGJOBS_DATABASE_URL": empty_database_url}

    def alembic(*arguments: str, env: dict[str, str] = environment) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "alembic", *arguments]
        return subprocess.run(command, cwd=processes.ROOT, env=env, capture_output=True, text=True, check=False)

    assert alembic("current").stdout == ""
    assert tables(empty_database_url) == set(), "looking makes nothing"
    assert alembic("upgrade", "head").returncode == 0
    assert tables(empty_database_url) == TABLES
    assert alembic("current").stdout.startswith(EXPECTED_REVISION)
    del environment["PGJOBS_DATABASE_URL"]
    unnamed = alembic("current")
    assert unnamed.returncode != 0
    assert "set PGJOBS_DATABASE_URL" in unnamed.stdout + unnamed.stderr


def test_an_installed_package_brings_its_migrations(empty_database_url: str, tmp_path: Path) -> None:
    # Laid out as the wheel is: by the table that hatchling reads.
    project = tomllib.loads((processes.ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(processes.ROOT / package, tmp_path / Path(package).name)
    for source, target in wheel["force-include"].items():
        shutil.copytree(processes.ROOT / source, tmp_path / target)
    program = (
        "import sys; from pgjobs.db import migrations as migrate; migrate.upgrade(sys.argv[1]); "
        "print(migrate.migrations_directory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, empty_database_url],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(tmp_path / "pgjobs" / "migrations"), done.stderr
    assert tables(empty_database_url) == TABLES


def test_no_server_is_one_line_without_the_password() -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1/shop.*Connection refused") as caught:
        migrate.upgrade("postgresql+psycopg://user:secret@127.0.0.1:1/shop")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_that_are_missing_are_told_from_none_that_were_ever_there(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("CREATE TABLE work_in_progress ()")
        with pytest.raises(SchemaError, match="no pgjobs tables in the schema 'pgjobs': run `pgjobs migrate`"):
            check_schema(conn)
        conn.execute("SELECT 1 FROM work_in_progress")  # the caller's transaction continues
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url, "base")
    with psycopg.connect(empty_database_url) as conn:
        with pytest.raises(SchemaError, match="no pgjobs tables"):
            check_schema(conn)


def test_older_tables_ask_for_a_migration(conn: psycopg.Connection) -> None:
    check_schema(conn)
    conn.execute("UPDATE pgjobs.migrations SET version_num = '0000'")
    with pytest.raises(SchemaError, match=r"older \(0000\).*run `pgjobs migrate`"):
        check_schema(conn)


def test_newer_tables_ask_for_a_newer_package(conn: psycopg.Connection, database_url: str) -> None:
    conn.execute("UPDATE pgjobs.migrations SET version_num = '9999'")
    with pytest.raises(SchemaError, match=r"newer \(9999\).*upgrade pgjobs-runner"):
        check_schema(conn)
    with pytest.raises(SchemaError, match="upgrade pgjobs-runner") as caught:
        migrate.upgrade(database_url)
    assert "\n" not in str(caught.value)


def test_a_role_without_rights_is_told_so(conn: psycopg.Connection, server: postgres.Server) -> None:
    role = f"{server.run}_nobody"
    conn.execute(f"CREATE ROLE {role}")
    try:
        conn.execute(f"SET ROLE {role}")
        with pytest.raises(SchemaError, match="may not read the schema 'pgjobs'"):
            check_schema(conn)
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f"DROP ROLE {role}")
