"""A worker with a key runs what is signed with it, and looks into nothing else."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from pgjobs import configure, enqueue
from tests.support import tasks
from tests.support.rows import put_job, row_of
from tests.support.worker import drain, scalar

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg


class Touch:
    """A pickle that does something when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        """Have a file opened for writing."""
        return open, (str(self.path), "w")


def test_a_worker_with_a_key_runs_only_what_is_signed(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    tasks.make_seen(conn)
    signed = {}
    for key in ("new", "old", "foreign"):
        configure(signing_keys=(f"{key} key".encode(),))
        signed[key] = enqueue(conn, tasks.healthy, 1).id
    in_process = enqueue(conn, tasks.healthy.options(executor="process"), 1).id
    configure(signing_keys=())
    payload = pickle.dumps((Touch(tmp_path / "loaded"), (), {}))
    unsigned = put_job(conn, payload=payload)
    unsigned_process = put_job(conn, payload=payload, executor="process")
    changed = enqueue(conn, tasks.healthy, 1).id
    borrowed = "SELECT signature FROM pgjobs.jobs WHERE id = %s"
    conn.execute(
        f"UPDATE pgjobs.jobs SET timeout = 5, signature = ({borrowed}) WHERE id = %s", [signed["new"], changed]
    )
    drain(database_url, env={"PGJOBS_SIGNING_KEY": "new key,old key"})
    assert row_of(conn, signed["new"])["status"] == row_of(conn, signed["old"])["status"] == "completed"
    for job in (signed["foreign"], in_process, unsigned, unsigned_process, changed):
        row = row_of(conn, job)
        assert (row["status"], row["attempt"]) == ("failed", 1), row
        assert row["error"].startswith("SignatureError: ")
        assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs WHERE id = %s", [job]) == 1
    assert not (tmp_path / "loaded").exists()
