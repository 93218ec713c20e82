"""Effects exactly once: jobs that complete in the transaction of their work, whatever is killed, stopped and cut."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgjobs import enqueue_many
from tests.support.processes import children
from tests.system.chaos import tasks_once
from tests.system.chaos.auditor import read_lines
from tests.system.chaos.cluster import wait_for_children
from tests.system.chaos.proxy import COMMIT_DONE
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.processes import KILLED, kill
from tests.system.chaos.scenarios.server import FORGOTTEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.chaos.stage import Stage

JOBS, FEW = 20_000, 800  # few: in a slice of some seconds
SLOTS = 24  # of two supervisors
ALONE: Any = {"executor": "process", "queue": "heavy"}
# How many of each kind in forty: half of them complete themselves, and the worker completes the others.
KINDS: list[tuple[int, Any]] = [
    (10, tasks_once.completes),
    (9, tasks_once.completes_on_loop),
    (1, tasks_once.completes.options(**ALONE)),
    (10, tasks_once.in_transaction),
    (9, tasks_once.in_transaction_on_loop),
    (1, tasks_once.in_transaction.options(**ALONE)),
]
STILL = (5.0, 7.0)  # seconds that a host stands still: longer than it may be silent, and its jobs are taken back


def _make_table(stage: Stage) -> None:
    with stage.cluster.connected() as conn:
        conn.execute(tasks_once.ENTRIES)
    stage.load.pause = 0.3  # a little of all else


def _enqueue(stage: Stage) -> None:
    """Enqueue them all, the kinds mixed; they last for as long as the faults do."""
    count = JOBS if stage.seconds > 5 else FEW
    pace = SLOTS * stage.seconds / count
    with stage.cluster.connected() as conn:
        for _ in range(count // sum(number for number, _ in KINDS)):
            with conn.transaction():
                for number, task in KINDS:
                    calls = [(stage.dice.uniform(0, 2 * pace),) for _ in range(number)]
                    handles = enqueue_many(conn, task.options(priority=9), calls)
                    stage.own += [handle.id for handle in handles]
    stage.prop = frozenset(stage.own)


def _stop_host(stage: Stage) -> None:
    """Have all processes of a host stand still, in the middle of what they do, until others have taken its jobs.

    The supervisor continues last, because it ends workers that were considered dead as soon as it knows.
    """
    host = stage.a_work()
    pids = sorted(host.remains(), key=lambda pid: pid == host.pid)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(stage.dice.uniform(*STILL))
    for pid in pids:
        if pid == host.pid:
            time.sleep(stage.dice.uniform(0.3, 1.0))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _cut_commits(stage: Stage) -> None:
    """Cut connections between a COMMIT and its answer."""
    for _ in range(20):
        stage.proxy.cut_in = COMMIT_DONE
        time.sleep(stage.dice.uniform(0.05, 0.15))
    stage.proxy.cut_in = None


def _kill_workers(stage: Stage) -> None:
    for _ in range(3):
        pid = stage.a_member()
        if pid is not None:
            kill(pid)
        time.sleep(stage.dice.uniform(0.1, 0.5))


def _kill_host(stage: Stage) -> None:
    victim = stage.a_work()
    for pid in victim.remains():
        kill(pid)
    victim.process.wait(10)
    stage.start_worker()


def _kill_children(stage: Stage) -> None:
    for _ in range(5):
        pid = stage.a_member()
        for child in children(pid) if pid is not None else []:
            kill(child)
        time.sleep(stage.dice.uniform(0.05, 0.3))


def _kill_server(stage: Stage) -> None:
    with stage.outage():
        (stage.cluster.kill_all if stage.dice.random() < 0.5 else stage.cluster.kill)()
        wait_for_children(stage.cluster)
        time.sleep(stage.dice.uniform(0.0, 1.5))
        stage.cluster.start()


# In turn, so that a slice has the first.
FAULTS: list[Callable[[Stage], None]] = [
    _stop_host,
    _cut_commits,
    _kill_workers,
    _kill_server,
    _kill_children,
    _kill_host,
]


def _look_at_entries(stage: Stage) -> list[str]:
    """See that there is one row for each job, of the attempt that completed it; and that some attempts were refused."""
    jobs: frozenset[int] = stage.prop
    query = """
        SELECT (SELECT count(*) FROM pgjobs.jobs WHERE id = ANY (%(jobs)s) AND status = 'completed'),
               (SELECT count(*) FROM entries), (SELECT count(DISTINCT job) FROM entries),
               (SELECT count(*) FROM entries AS e JOIN pgjobs.jobs AS j ON j.id = e.job AND j.claims <> e.claim)
    """
    with stage.cluster.connected() as conn:
        row = conn.execute(query, {"jobs": list(jobs)}).fetchone()
    assert row is not None
    completed, rows, with_rows, of_others = row
    words = Counter(line.kind for line in read_lines(stage.effects) if line.job in jobs)
    stage.note(
        f"{rows:,} rows of {len(jobs):,} jobs in {words['start']:,} runs; {words['stale']:,} refused as stale, "
        f"{words['fail']:,} failed; {stage.proxy.cuts} answers to COMMIT cut"
    )
    wrong = []
    if not completed == rows == with_rows == len(jobs):
        wrong.append(f"{len(jobs):,} jobs, {completed:,} completed, {rows:,} rows, of {with_rows:,} jobs")
    if of_others:
        wrong.append(f"{of_others:,} rows are of attempts that did not complete their jobs")
    if not words["stale"]:
        wrong.append("no attempt that had lost its job wanted to commit, so nothing was tried")
    return wrong


@scenario(
    "exactly once",
    "effects",
    120,
    workers=2,
    through=("work",),
    options=("--import", "tests.system.chaos.tasks_once"),
    may={**KILLED, **FORGOTTEN, "overlaps": "the run of a host that stood still continues, and may not commit"},
    settings={"max_connections": 300},  # each process keeps two for each slot, and the jobs here two more
    before=_make_table,
    check=_look_at_entries,
    patience=300.0,
)
def exactly_once(stage: Stage) -> None:
    _enqueue(stage)
    for number in stage.until_over(0.2, 1.0):
        FAULTS[(number - 1) % len(FAULTS)](stage)
