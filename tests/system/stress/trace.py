"""What was written down in a round, and the histories of jobs that come of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

FINAL = ("completed", "failed", "cancelled")
TICK = "tests.system.stress.tasks:tick"  # what a schedule enqueues
TICK_ALONE = "tests.system.stress.tasks:tick_alone"


class Move(NamedTuple):
    """A row of `jobs` that was inserted, updated or deleted. Times are seconds since 1970, by PostgreSQL's clock."""

    n: int
    xid: int
    at: float
    op: str
    id: int
    status: str
    claims: int
    queue: str = "mixed"
    limit_key: str | None = None
    cost: float | None = None
    sequence: str | None = None
    on_failure: str | None = None
    breaker: str | None = None
    expires_at: float | None = None
    task: str = ""
    started_at: float | None = None  # when the transaction that claimed it began


class Letter(NamedTuple):
    """A dead letter that was written or deleted."""

    n: int
    xid: int
    at: float
    op: str
    id: int


class Setting(NamedTuple):
    """A row of `limits`, `queues`, `breakers`, `switch` or `paused_tasks`; None: deleted."""

    n: int
    xid: int
    at: float
    kind: str
    name: str
    value: dict[str, Any] | None


class Run(NamedTuple):
    """One run, by the job's own word. `ended`: None if it did not say; `holds`: the row was its own when it began."""

    job: int
    claim: int
    pid: int
    began: float
    ended: float | None
    word: str
    holds: bool


class UniqueCall(NamedTuple):
    """An enqueue with a unique key."""

    key: str
    until: str
    on_conflict: str
    job: int
    conflict: bool
    began: float


class Strike(NamedTuple):
    """A fault, from its beginning to its end."""

    kind: str
    began: float
    ended: float


@dataclass(frozen=True)
class Trace:
    """All that was written down in a round. `calls`: what was said of the jobs of the load when they were enqueued."""

    moves: list[Move] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    unique_calls: list[UniqueCall] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)


class State(NamedTuple):
    """What a job was from `at` on. `gone`: its row was deleted, and no other was written."""

    at: float
    xid: int
    status: str
    claims: int
    move: Move


class Span(NamedTuple):
    """A time in which a job was running, or was there. `until`: None if it still was in the end."""

    job: int
    since: float
    since_xid: int
    until: float | None
    until_xid: int | None
    move: Move
    claim: int = 0

    @property
    def began(self) -> float:
        """When the transaction of a claim began. One of a worker that stood still may end seconds later."""
        return self.since if self.move.started_at is None else self.move.started_at


class Histories:
    """The states of all jobs, by id, in order."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.ends = _commit_times(trace)
        self.jobs: dict[int, list[State]] = defaultdict(list)
        moves = sorted(trace.moves, key=lambda move: (move.id, self.ends[move.xid], move.xid, move.n))
        for (job, xid), group in groupby(moves, key=lambda move: (move.id, move.xid)):
            last = _outcome(list(group))
            status = last.status if last.op != "D" else "gone"
            self.jobs[job].append(State(self.ends[xid], xid, status, last.claims, last))
        self.claims = [span for states in self.jobs.values() for span in running_spans(states)]
        self.claims.sort(key=lambda span: (span.since, span.move.n))

    def state_at(self, job: int, at: float, xid: int | None = None) -> State | None:
        """Return the state that a job had at a time, or that this transaction gave it."""
        states = self.jobs.get(job, [])
        found = bisect_right(states, at, key=lambda state: state.at) - 1
        for state in states[found + 1 :]:
            if state.xid == xid:
                return state
        return states[found] if found >= 0 else None

    def presences(self, job: int) -> list[Span]:
        """List the times in which a job had not ended: one, and one for each replay."""
        found: list[Span] = []
        began: State | None = None
        for state in self.jobs.get(job, []):
            over = state.status in FINAL or state.status == "gone"
            if began is None and not over:
                began = state
            elif began is not None and over:
                found.append(Span(job, began.at, began.xid, state.at, state.xid, began.move))
                began = None
        if began is not None:
            found.append(Span(job, began.at, began.xid, None, None, began.move))
        return found


def running_spans(states: list[State]) -> list[Span]:
    """List the times in which a job's row was running, one for each claim."""
    found: list[Span] = []
    began: State | None = None
    for state in states:
        if began is not None and (state.status != "running" or state.claims != began.claims):
            found.append(Span(state.move.id, began.at, began.xid, state.at, state.xid, began.move, began.claims))
            began = None
        if began is None and state.status == "running":
            began = state
    if began is not None:
        found.append(Span(began.move.id, began.at, began.xid, None, None, began.move, began.claims))
    return found


def _commit_times(trace: Trace) -> dict[int, float]:
    ends: dict[int, float] = {}
    rows: list[Move | Letter | Setting] = [*trace.moves, *trace.letters, *trace.settings]
    for row in rows:
        ends[row.xid] = max(ends.get(row.xid, 0.0), row.at)
    return ends


def _outcome(moves: list[Move]) -> Move:
    """Return what a transaction made of a job: where it was moved to, not where it was deleted.

    Rows of history are written down at once, all others when the transaction ends.
    """
    final = [move for move in moves if move.op != "D" and move.status in FINAL]
    kept = [move for move in moves if move.op != "D"]
    return (final or kept or moves)[-1]


class Timeline:
    """What a setting was, over time. A value of None is that of a time before, and of a row that is not there."""

    def __init__(self, changes: list[tuple[float, Any]]) -> None:
        self.changes = sorted(changes, key=lambda change: change[0])
        self._times = [at for at, _ in self.changes]

    def values(self, since: float, until: float) -> list[Any]:
        """List the values that it had in this time."""
        first = bisect_right(self._times, since) - 1
        before = [None] if first < 0 else [self.changes[first][1]]
        return before + [value for _, value in self.changes[first + 1 : bisect_left(self._times, until)]]


def timelines(trace: Trace, kind: str) -> dict[str, Timeline]:
    """Return the changes of the settings of one kind, by name."""
    found: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    for setting in sorted(trace.settings, key=lambda setting: setting.n):
        if setting.kind == kind:
            found[setting.name].append((setting.at, setting.value))
    return {name: Timeline(changes) for name, changes in found.items()}


MOVES = """
    SELECT n, xid, extract(epoch FROM at)::float8, op, id, status, claims, queue, limit_key, cost, sequence, on_failure,
           breaker, extract(epoch FROM expires_at)::float8, task,
           extract(epoch FROM started_at)::float8
    FROM stress.moves WHERE id >= %s ORDER BY n
"""
RUNS = """
    SELECT b.job, b.claim, b.pid, extract(epoch FROM b.at)::float8, extract(epoch FROM e.at)::float8,
           coalesce(e.word, ''), b.holds
    FROM stress.runs AS b
    LEFT JOIN stress.runs AS e ON (e.job, e.claim, e.pid, e.kind) = (b.job, b.claim, b.pid, 'end')
    WHERE b.kind = 'start' AND b.job >= %s ORDER BY b.at
"""


def read(conn: psycopg.Connection[Any], first: int, strikes: list[Strike]) -> Trace:
    """Read what was written down about jobs from `first` on."""
    epoch = "extract(epoch FROM at)::float8"
    letters = conn.execute(f"SELECT n, xid, {epoch}, op, id FROM stress.letters WHERE id >= %s ORDER BY n", [first])
    settings = conn.execute(f"SELECT n, xid, {epoch}, kind, name, value FROM stress.settings ORDER BY n")
    unique = "SELECT key, until, on_conflict, job, conflict, extract(epoch FROM began)::float8 FROM stress.unique_calls"
    return Trace(
        [Move(*row) for row in conn.execute(MOVES, [first])],
        [Letter(*row) for row in letters],
        [Setting(*row) for row in settings],
        [Run(*row) for row in conn.execute(RUNS, [first])],
        dict(conn.execute("SELECT job, about FROM stress.calls").fetchall()),
        [UniqueCall(*row) for row in conn.execute(unique)],
        strikes,
    )
