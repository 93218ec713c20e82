"""Jobs that misbehave: in a thread, on the event loop and in a process, beside the others.

Whatever they do, the others complete, and the job's own row says what happened.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs import enqueue, enqueue_many
from tests.system.chaos import tasks
from tests.system.chaos.auditor import read_lines
from tests.system.chaos.misdeeds import misbehave, misbehave_async
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.processes import KILLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.chaos.stage import Stage

BESIDE = r"^its worker process died while it ran: (killed by SIG[A-Z]+|exit code \d+)"
"""The error of a job that ran in the same worker process as one that ended it."""
FILES = "because a job closed files that were not its own$"
PATIENCE = 180.0  # seconds: each death of a worker costs a start of Python, and of one more for each isolated job
MANY = 0.2  # of the jobs that end a process: more that only tell of another one are too many
ANYWHERE = ("thread", "async", "process")
ODD = ("--import", "tests.system.chaos.misdeeds")
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'pgjobs%' AND datname = current_database()
"""
NEIGHBOURS = """
    SELECT l.kind, j.attempt, j.error, j.errors, j.status
    FROM ledger AS l JOIN pgjobs.jobs AS j ON j.id = l.job
    WHERE j.status <> 'completed' AND l.kind <> 'always_fails' OR j.attempt > 1
"""
ODD_ONES = """
    SELECT j.id, j.status, j.max_attempts, coalesce(d.errors, j.errors, '[]')
    FROM pgjobs.jobs AS j LEFT JOIN pgjobs.dead_jobs AS d ON d.id = j.id
    WHERE j.id = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class Odd:
    """What a job does, and what is expected of it: an expression for each error that it ends with, None: it completes.

    `options`: of the job.
    """

    name: str
    error: str | None = None
    where: tuple[str, ...] = ANYWHERE
    attempts: int = 3
    timeout: float | None = None


def died(how: str) -> str:
    """Return the errors of a job that ends the process it runs in."""
    return f"its (worker process died while it ran|process died): {how}"


def commit(stage: Stage, odd: Odd, where: str) -> None:
    """Enqueue a job that misbehaves. Those in processes share the children of the load's."""
    function: Any = misbehave_async if where == "async" else misbehave
    options = function.options(
        executor=where,
        queue="heavy" if where == "process" else "default",
        max_attempts=odd.attempts,
        timeout=odd.timeout,
    )
    with stage.cluster.connected() as conn:
        job = enqueue(conn, options, odd.name).id
    stage.own.append(job)
    stage.odd[job] = (odd, where)


def strike_with(*odds: Odd, low: float = 0.2, high: float = 0.8) -> Callable[[Stage], None]:
    """Make a strike of these: each of them everywhere at least once, and then as the dice fall."""

    def strike(stage: Stage) -> None:
        pairs = [(odd, where) for odd in odds for where in odd.where]
        rest = list(pairs)
        stage.dice.shuffle(rest)
        for _ in stage.until_over(low, high):
            commit(stage, *(rest.pop() if rest else stage.dice.choice(pairs)))
        for pair in rest:
            commit(stage, *pair)

    return strike


def close_files(stage: Stage) -> None:
    """Have files closed, and connections ended, so that new ones get the numbers of those that were closed."""
    odds = [Odd("close 3 and above", FILES, attempts=2), Odd("close all files", FILES, attempts=2), Odd("close 0 to 2")]
    for _ in stage.until_over(0.8, 1.6):
        commit(stage, stage.dice.choice(odds), stage.dice.choice(ANYWHERE))
        if stage.dice.random() < 0.3:
            with stage.cluster.connected() as conn:
                conn.execute(TERMINATE)


def check(stage: Stage) -> list[str]:
    """Look at the rows of the jobs that misbehaved, and of those beside them."""
    return [*_odd_ones(stage), *_neighbours(stage)]


def _odd_ones(stage: Stage) -> list[str]:
    wrong: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    beside = 0
    with stage.cluster.connected() as conn:
        rows = conn.execute(ODD_ONES, [list(stage.odd)]).fetchall()
    for job, status, most, entries in rows:
        odd, where = stage.odd[job]
        errors = [entry["error"] for entry in entries]
        seen[f"{odd.name}, {where}: {status}"] += 1
        text = judge(odd, status, most, errors)
        if text:
            wrong[f"{odd.name} ({where}): {text}"] += 1
        elif odd.error is not None and not any(re.search(odd.error, error) for error in errors):
            beside += 1
    stage.note("; ".join(f"{name} {number}" for name, number in sorted(seen.items())))
    if beside:
        stage.note(f"{beside} of them were each time beside another one that was quicker")
    if beside > len(rows) * MANY:
        wrong[f"{beside} of {len(rows)} do not say what they did"] += 1
    return [f"{text}, {number} times" for text, number in wrong.items()]


def judge(odd: Odd, status: str, most: int, errors: list[str]) -> str | None:
    """Describe what is wrong with the end of a job that misbehaved. Pure."""
    if status != ("completed" if odd.error is None else "failed"):
        return f"is {status}: {errors}"
    if odd.error is not None and len(errors) != most:
        return f"has {len(errors)} errors of {most} attempts: {errors}"
    own = BESIDE if odd.error is None else f"{BESIDE}|{odd.error}"
    strange = [error for error in errors if not re.search(own, error)]
    return f"says {strange[0]!r}" if strange else None


def _neighbours(stage: Stage) -> list[str]:
    """See that no other job failed, and that who lost an attempt lost it beside one that ended their worker."""
    wrong: Counter[str] = Counter()
    again: Counter[int] = Counter()
    with stage.cluster.connected() as conn:
        rows = conn.execute(NEIGHBOURS).fetchall()
    for kind, attempt, error, errors, status in rows:
        if status != "completed" and kind != "always_fails":
            wrong[f"{kind} beside them {status} after attempt {attempt}: {error}"] += 1
        told = [entry["error"] for entry in errors or ()]
        again[sum(re.search(BESIDE, text) is not None for text in told)] += 1
        strange = [text for text in told if not re.search(f"{BESIDE}|^ValueError: (not yet|never) ", text)]
        if strange:
            wrong[f"{kind} beside them lost an attempt: {strange[0]}"] += 1
    stage.note(
        f"{again[1]} jobs beside them lost an attempt, {again.total() - again[0] - again[1]} more than one "
        f"({max(again, default=0)} at most)"
    )
    return [f"{text}, {number} times" for text, number in wrong.most_common()]


def _declare(name: str, *odds: Odd, seconds: float = 14, **values: Any) -> None:
    pace = {key: values.pop(key) for key in ("low", "high") if key in values}
    options = (*ODD, *values.pop("options", ()))
    declared = scenario(name, "jobs", seconds, options=options, check=check, patience=PATIENCE, **values)
    declared(strike_with(*odds, **pace))


_declare(
    "that exit",
    Odd("raise SystemExit", "^SystemExit: 3$"),
    Odd("os._exit(1)", died("exit code 1$")),
    Odd("os._exit(0)", died("exit code 0$")),
    Odd("exit in a thread of its own", died("exit code 7$")),
    may=KILLED,
    low=0.6,
    high=1.4,
)
_declare(
    "that crash the interpreter",
    Odd("segfault", died("killed by SIGSEGV$")),
    Odd("abort", died("killed by SIGABRT$")),
    Odd("overflow the stack", died("killed by SIGSEGV$")),
    may=KILLED,
    low=0.6,
    high=1.4,
)
_declare(
    "that hold the interpreter",
    Odd("match", "held the interpreter; its worker was killed", ("thread", "async"), attempts=1, timeout=1.0),
    Odd("match", "^JobTimeout: ran longer than its 1 s, and was killed$", ("process",), attempts=1, timeout=1.0),
    Odd("sleep in C"),
    may=KILLED,
    seconds=20,
    low=2.0,
    high=4.0,
)
_declare("that fork", Odd("fork ten times"), Odd("fork ten that stay"))
_declare(
    "that want 2 GB",
    Odd("use 2 GB", "^MemoryError", ("process",), attempts=2),
    seconds=12,
    options=("--job-memory", 300),
)
scenario("that close all files", "jobs", 14, options=ODD, check=check, may=KILLED, patience=PATIENCE)(close_files)
_declare(
    "that change what signals do",
    Odd("set an alarm"),
    Odd("ignore signals", where=("process",)),
    Odd("ignore signals", "^ValueError: signal only works in main thread", ("thread", "async"), attempts=1),
    Odd("block signals"),
    Odd("call false", where=("process",) * 4),  # those that come after the others
    Odd("rest", where=("process",) * 4),
    Odd("wake no thread", where=("process",)),
    Odd("no last stack"),
    low=0.1,
    high=0.4,
)
_declare("that leave threads running", Odd("leave threads"), Odd("start threads"))
_declare("that print 64 MB", Odd("print much"), low=1.0, high=2.0)
_declare("that recurse without end", Odd("recurse", "^RecursionError: maximum recursion depth exceeded", attempts=2))
_declare(
    "whose results and errors cannot be passed on",
    Odd("return 500 MB"),
    Odd("return a lock"),
    Odd("return a generator", "^UsageError: .* none of its code has run", attempts=2),
    Odd("raise what cannot be pickled", "^WithLockError: has a lock$", attempts=2),
    Odd("raise what cannot be unpickled", "^WithTwoError: two words$", attempts=2),
    Odd("raise what cannot be reduced", "^IrreducibleError: no way$", attempts=2),
    Odd("raise what cannot be printed", "^UnprintableError: <UnprintableError that cannot be printed>$", attempts=2),
)


def poison(stage: Stage) -> None:
    """Enqueue one in a hundred that kills its worker each time, and among the others some that may run only once."""
    stage.load.pause = 0.2
    odds = [
        Odd("SIGKILL", died("killed by SIGKILL$")),
        Odd("segfault", died("killed by SIGSEGV$")),
        Odd("os._exit(1)", died("exit code 1$")),
    ]
    made = 0
    for _ in stage.until_over(0.2, 0.2):
        with stage.cluster.connected() as conn:
            once = tasks.brief.options(max_attempts=1)
            stage.fragile |= {handle.id for handle in enqueue_many(conn, once, [(stage.dice.uniform(0.01, 0.2),)] * 4)}
        while len(stage.odd) < (len(stage.load.promised) + len(stage.fragile)) / 100:
            commit(stage, odds[made % 3], ("thread", "async")[made % 2])
            made += 1
    stage.own += stage.fragile


def check_poison(stage: Stage) -> list[str]:
    """Look at the same, and at the jobs with one attempt: only those that ran when their worker died lost it."""
    wrong = check(stage)
    lines = read_lines(stage.effects)
    begun = {line.job for line in lines if line.kind == "start"}
    ended = {line.job for line in lines if line.kind == "ok"}
    with stage.cluster.connected() as conn:
        rows = conn.execute("SELECT id, status, error FROM pgjobs.jobs WHERE id = ANY (%s)", [list(stage.fragile)])
        lost = {job: error for job, status, error in rows.fetchall() if status != "completed"}
    wrong += [
        f"job {job} with one attempt: {error}" for job, error in lost.items() if not re.search(BESIDE, error or "")
    ]
    # Between the note that a slot runs a job and the job's first line there is a moment: as good as running. Were jobs
    # charged that only waited in the worker for a slot, there would be many of them.
    waiting = lost.keys() - begun
    if len(waiting) > len(stage.odd):
        wrong.append(f"{len(waiting)} jobs with one attempt lost it before they had begun")
    stage.note(
        f"of {len(stage.fragile)} jobs with one attempt {len(lost)} lost it when their worker died: "
        f"{len(lost.keys() & begun - ended)} while they ran, {len(lost.keys() & ended)} when they had ended and were "
        f"not acknowledged, {len(waiting)} at their start"
    )
    return wrong


scenario(
    "that kill their worker, one in a hundred",
    "jobs",
    20,
    options=ODD,
    check=check_poison,
    may=KILLED,
    patience=PATIENCE,
    slice=True,
)(poison)
