"""What could grow, looked at from outside: processes by psutil, the rest by SQL."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from tests.support.worker import Work

RELATIONS = """
    SELECT coalesce(t.relname, c.relname), c.relname, c.relkind::text, pg_relation_size(c.oid)
    FROM pg_class AS c
    LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    LEFT JOIN pg_class AS o ON o.reltoastrelid = coalesce(i.indrelid, c.oid)
    LEFT JOIN pg_class AS t ON t.oid = coalesce(o.oid, i.indrelid)
    WHERE c.relkind IN ('r', 'i', 't', 'S')
      AND coalesce(o.relnamespace, c.relnamespace) = 'pgjobs'::regnamespace
"""
DEAD_ROWS = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = 'pgjobs'"
STATE = """
    SELECT (SELECT count(*) FROM pg_stat_activity
            WHERE application_name LIKE 'pgjobs%' AND datname = current_database()) AS connections,
           (SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity
            WHERE datname = current_database()) AS xmin_age,
           (SELECT count(*) FROM pgjobs.jobs_live) AS live,
           (SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'queued' AND run_at <= now()) AS backlog,
           (SELECT coalesce(extract(epoch FROM now() - min(run_at)), 0)::float8 FROM pgjobs.jobs_live
            WHERE status = 'queued' AND run_at <= now()) AS oldest_due,
           (SELECT count(*) FROM pgjobs.workers) AS workers,
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal,
           (SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()) AS temp_bytes
"""
PARTS = ("heap", "index", "toast")
KINDS = {"r": "heap", "i": "index", "t": "toast", "S": "heap"}
ROLES = {"pgjobs.cli.supervise": "supervisor", "pgjobs.worker": "worker", "pgjobs.worker.executors.child_main": "child"}


class Lines:
    """Counts the lines of a log as it grows."""

    def __init__(self) -> None:
        self._offset = 0
        self.lines = 0
        self.complaints = 0

    def read(self, path: Path) -> None:
        if not path.exists():
            return  # its worker was stopped meanwhile
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        self.lines += data.count(b"\n")
        self.complaints += data.count(b'"level": "warning"') + data.count(b'"level": "error"')


def part_of(table: str) -> str:
    """Return what a table belongs to: the days of history count together."""
    return "history" if table.startswith("jobs_history") else table


def sizes(rows: Iterable[tuple[str, str, str, int]]) -> dict[str, dict[str, int]]:
    """Sum up bytes by table and heap, index and toast; of the live table each index. Pure."""
    found: dict[str, dict[str, int]] = {}
    for table, relation, kind, size in rows:
        of = found.setdefault(part_of(table), {})
        name = relation if table == "jobs_live" and kind == "i" and not relation.startswith("pg_toast") else KINDS[kind]
        of[name] = of.get(name, 0) + size
    return found


def look_at_database(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return the figures of a moment."""
    with conn.cursor() as cursor:
        cursor.execute(STATE)
        row = cursor.fetchone()
        assert cursor.description is not None
        assert row is not None
        found: dict[str, Any] = dict(zip([column.name for column in cursor.description], row, strict=True))
        relations = cursor.execute(RELATIONS).fetchall()
        found["sizes"] = sizes(relations)
        found["days"] = sum(kind == "r" and table.startswith("jobs_history_2") for table, _, kind, _ in relations)
        dead: dict[str, int] = {}
        for table, number in cursor.execute(DEAD_ROWS).fetchall():
            dead[part_of(table)] = dead.get(part_of(table), 0) + number
        found["dead"] = dead
    return found


def look_at_processes(work: Work) -> dict[str, list[tuple[float, float, int, int]]]:
    """Return RSS and PSS in MB, threads and open files of each process of a supervisor, by its role."""
    found: dict[str, list[tuple[float, float, int, int]]] = {role: [] for role in ROLES.values()}
    for pid in work.remains():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            role = next((ROLES[word] for word in process.cmdline() if word in ROLES), None)
            if role is None:
                continue
            memory = process.memory_full_info()
            row = (memory.rss / 1e6, memory.pss / 1e6, process.num_threads(), process.num_fds())
            found[role].append(row)
    return found
