"""The auditor of a long run: it audits jobs some time after they have ended, and only then retention may take them.

So nothing of a job is kept once it was audited, but a row in the table `audited`: it tells a run that ends late from
one of a job that never was. The counts are those of `tests.system.chaos.auditor`, and:

| count | is |
| --- | --- |
| forgotten | completed in the queue that keeps nothing: the row is gone, and the run is written down |
| wrong_end | failed, cancelled or completed, where that kind of job ends otherwise |
| ghost_runs | runs of jobs that were rolled back |
| late | lines of runs that ended after their job was audited |
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.system.chaos.auditor import Line, count_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from tests.system.soak.effects import Effects

NEVER = ("lost", "stuck", "ghosts", "doubled", "undocumented", "broken_promises", "wrong_end", "ghost_runs")
FAILS = {"always_fails"}  # kinds that end as failed; all others complete
KEPT_NOWHERE = {"ping"}  # kinds whose rows are gone when they have completed
ENDED = ("completed", "failed", "cancelled")
TABLE = "CREATE TABLE audited (job bigint PRIMARY KEY)"
LOOK = """
    SELECT l.job, l.kind, count(j.id), min(j.status::text),
           coalesce(bool_and(j.finished_at < now() - %(settled)s * interval '1 s'), true),
           EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = l.job)
    FROM ledger AS l LEFT JOIN pgjobs.jobs AS j ON j.id = l.job
    GROUP BY l.job, l.kind
"""
GHOSTS = """
    SELECT count(*) FROM pgjobs.jobs AS j
    WHERE NOT EXISTS (SELECT FROM ledger AS l WHERE l.job = j.id)
      AND NOT EXISTS (SELECT FROM audited AS a WHERE a.job = j.id)
"""
CLOSE = """
    WITH closed AS (DELETE FROM ledger WHERE job = ANY (%s) RETURNING job)
    INSERT INTO audited (job) SELECT job FROM closed
"""


class Row(NamedTuple):
    """A job of the ledger. `settled`: it ended long enough ago, or has no row."""

    job: int
    kind: str
    rows: int
    status: str | None
    settled: bool
    dead: bool


@dataclass
class Window:
    """The lines of jobs that were not audited yet."""

    lines: dict[int, list[Line]] = field(default_factory=lambda: defaultdict(list))

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.lines[line.job].append(line)

    def ended_well(self, job: int) -> bool:
        return any(line.kind == "ok" for line in self.lines.get(job, ()))

    def take(self, jobs: Iterable[int]) -> list[Line]:
        """Return the lines of these jobs, and forget them."""
        return [line for job in jobs for line in self.lines.pop(job, ())]

    def strangers(self, known: set[int], before: float) -> set[int]:
        """List jobs that are not among the known, and wrote their first line before that time."""
        return {job for job, lines in self.lines.items() if job not in known and lines[0].at < before}


def judge(rows: Iterable[Row], window: Window) -> tuple[Counter[str], list[int]]:
    """Audit the jobs that have ended: what is counted, and whose audit is closed. Pure but for the window."""
    counts: Counter[str] = Counter()
    closed = []
    for row in rows:
        if row.rows > 1:
            counts["doubled"] += 1
        if not row.settled or (row.status is not None and row.status not in ENDED):
            continue
        well = window.ended_well(row.job)
        counts["jobs"] += 1
        closed.append(row.job)
        if row.status is None:
            forgotten = row.kind in KEPT_NOWHERE and well
            counts["forgotten" if forgotten else "lost"] += 1
            continue
        counts[row.status] += 1
        if row.status == "completed" and not well:
            counts["lost"] += 1
        if row.status != ("failed" if row.kind in FAILS else "completed"):
            counts["wrong_end"] += 1
        if (row.status == "failed") != row.dead:
            counts["undocumented"] += 1
    runs = count_runs(window.take(closed))
    counts.update(
        runs=runs.begun,
        cut_off=runs.cut_off,
        repeated=runs.repeated,
        same_claim=runs.same_claim,
        overlaps=runs.overlaps,
    )
    return counts, closed


class Slices:
    """Audits on and on. `promised` is the load's: jobs that were audited are taken out of it."""

    def __init__(self, effects: Effects, promised: dict[int, str]) -> None:
        self._effects = effects
        self._promised = promised
        self.window = Window()
        self.counts: Counter[str] = Counter()

    def look(self, conn: psycopg.Connection[Any], settled: float) -> list[Line]:
        """Audit what ended `settled` seconds ago or before, and give the lines that were written since the last look.

        Raises:
            psycopg.Error: nothing was audited, if it came from a read. The caller makes sure that none comes later.

        """
        # The order matters: what is promised is in the ledger already, and what has completed was written down before.
        promised = list(self._promised)
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = [Row(*row) for row in conn.execute(LOOK, {"settled": settled}).fetchall()]
            ghosts = conn.execute(GHOSTS).fetchone()
        lines = self._effects.read()
        self.window.add(lines)
        self.counts["ghosts"] = max(self.counts["ghosts"], ghosts[0] if ghosts else 0)
        counts, closed = judge(rows, self.window)
        known = {row.job for row in rows}
        missing = [job for job in promised if job not in known]
        counts["broken_promises"] += len(missing) - len(_audited(conn, missing))
        # A job is in the ledger before it can run, so what ran a minute ago and is not in it now came from nowhere.
        strangers = self.window.strangers(known, time.monotonic() - max(settled, 60.0)) if settled else set()
        late = set(_audited(conn, list(strangers)))
        counts["late"] += len(self.window.take(late))
        counts["ghost_runs"] += len(self.window.take(strangers - late))
        conn.execute(CLOSE, [closed])
        for job in (*closed, *missing):
            self._promised.pop(job, None)
        self.counts.update(counts)
        return lines

    def finish(self, conn: psycopg.Connection[Any]) -> None:
        """Audit all that is left, when nothing runs."""
        self.look(conn, 0.0)
        self.window.add(self._effects.read())
        left = conn.execute("SELECT count(*) FROM ledger").fetchone()
        self.counts["stuck"] = left[0] if left else 0
        strangers = set(self.window.lines)
        known = set(_audited(conn, list(strangers)))
        in_ledger = {row[0] for row in conn.execute("SELECT job FROM ledger").fetchall()}
        self.counts["late"] += len(self.window.take(known))
        self.counts["ghost_runs"] += len(self.window.take(strangers - known - in_ledger))


def _audited(conn: psycopg.Connection[Any], jobs: list[int]) -> list[int]:
    return [row[0] for row in conn.execute("SELECT job FROM audited WHERE job = ANY (%s)", [jobs]).fetchall()]
