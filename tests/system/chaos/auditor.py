"""The auditor: reads the database and what the jobs wrote down, and nothing else.

What it counts:

| count | is |
| --- | --- |
| jobs | committed with the ledger |
| runs | begun |
| completed, failed, cancelled | the jobs' ends |
| broken_promises | jobs whose COMMIT was answered, and that the ledger does not have |
| lost | in the ledger, and in no table; or completed, and never run to the end |
| ghosts | in the tables, and not in the ledger: they were rolled back |
| doubled | ids that have more than one row |
| undocumented | failed without a dead letter, or a dead letter without its failed job |
| wrong_results | completed, and what they returned is missing, another's, or there twice |
| stuck | not ended, although nothing was left to wait for |
| cut_off | runs that were begun and did not end: something killed them |
| repeated | runs that ended although one before had ended in the same way: their acknowledgement was lost |
| same_claim | runs under one claim, beyond the first: a crash made PostgreSQL forget the claim |
| overlaps | runs of one job that went on at the same time |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.job_results.encode import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

ENDS = {"completed": "ok"}  # the word with which a run of such a job ended
KEEPS_RESULT = "keeps_result"  # the kind of jobs that return their own ids


class Line(NamedTuple):
    """What a job wrote down."""

    kind: str
    job: int
    attempt: int
    claim: int
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Runs:
    """What the jobs wrote down, counted."""

    begun: int
    cut_off: int
    repeated: int
    same_claim: int
    overlaps: int
    ended_well: frozenset[int]


def read_lines(path: Path) -> list[Line]:
    """Read what the jobs wrote down."""
    if not path.exists():
        return []
    return [parse(text) for text in path.read_text().splitlines()]


def parse(text: str) -> Line:
    """Read one line."""
    kind, job, attempt, claim, pid, at = text.split()
    return Line(kind, int(job), int(attempt), int(claim), int(pid), float(at))


def count_runs(lines: Iterable[Line]) -> Runs:
    """Count runs, and what should not be among them. Pure."""
    begun: Counter[tuple[int, int]] = Counter()  # by job and claim
    ends: Counter[tuple[int, str, int]] = Counter()  # by job, word, and for failures the attempt
    open_runs: dict[tuple[int, int, int], Line] = {}  # by job, claim and process
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    well: set[int] = set()
    ended = 0
    for line in sorted(lines, key=lambda line: line.at):
        run = (line.job, line.claim, line.pid)
        if line.kind == "start":
            begun[line.job, line.claim] += 1
            open_runs[run] = line
            continue
        ended += 1
        ends[line.job, line.kind, line.attempt if line.kind == "fail" else 0] += 1
        start = open_runs.pop(run, None)
        if start is not None:
            spans[line.job].append((start.at, line.at))
        if line.kind == "ok":
            well.add(line.job)
    overlaps = sum(later[0] < earlier[1] for runs in spans.values() for earlier, later in pairwise(sorted(runs)))
    return Runs(
        begun=begun.total(),
        cut_off=begun.total() - ended,
        repeated=sum(number - 1 for number in ends.values()),
        same_claim=sum(number - 1 for number in begun.values()),
        overlaps=overlaps,
        ended_well=frozenset(well),
    )


def audit(
    conn: psycopg.Connection[Any], effects: Path, promised: Mapping[int, str], *, own: Iterable[int] = ()
) -> Counter[str]:
    """Count. `own`: jobs that a scenario enqueued itself, beside the load."""
    ledger = {row[0] for row in conn.execute("SELECT job FROM ledger").fetchall()} | set(own)
    rows: list[tuple[int, str]] = conn.execute("SELECT id, status FROM pgjobs.jobs").fetchall()
    dead = {row[0] for row in conn.execute("SELECT id FROM pgjobs.dead_jobs").fetchall()}
    status = dict(rows)
    runs = count_runs(read_lines(effects))
    ends = Counter(status.values())
    failed = {job for job, end in rows if end == "failed"}
    completed = {job for job, end in rows if end == "completed"}
    stuck = sum(ends[name] for name in ("queued", "running", "waiting"))
    never_ran = {job for job in completed & set(promised) if job not in runs.ended_well}
    return Counter(
        jobs=len(ledger),
        runs=runs.begun,
        completed=ends["completed"],
        failed=ends["failed"],
        cancelled=ends["cancelled"],
        broken_promises=len(promised.keys() - ledger),
        lost=len(ledger - status.keys()) + len(never_ran),
        ghosts=len(status.keys() - ledger),
        doubled=len(rows) - len(status),
        undocumented=len(failed ^ dead),
        wrong_results=count_wrong_results(conn),
        stuck=stuck,
        cut_off=runs.cut_off,
        repeated=runs.repeated,
        same_claim=runs.same_claim,
        overlaps=runs.overlaps,
    )


def count_wrong_results(conn: psycopg.Connection[Any]) -> int:
    """Count completed jobs whose result is not what they returned."""
    query = """
        SELECT j.id, r.value, r.is_json, r.signature
        FROM ledger AS l
        JOIN pgjobs.jobs AS j ON j.id = l.job AND j.status = 'completed'
        LEFT JOIN pgjobs.results AS r ON r.job_id = j.id
        WHERE l.kind = %s
    """
    rows = conn.execute(query, [KEEPS_RESULT]).fetchall()
    right = Counter(job for job, *kept in rows if kept[0] is not None and decode(job, *kept) == job)
    return sum(right[job] != 1 or number != 1 for job, number in Counter(row[0] for row in rows).items())


def widest(lines: Iterable[Line], jobs: set[int]) -> int:
    """Return how many of these jobs ran at once, at most."""
    moments = sorted((line.at, 1 if line.kind == "start" else -1) for line in lines if line.job in jobs)
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
