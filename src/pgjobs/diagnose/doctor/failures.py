"""What jobs that failed leave behind: dead letters, and jobs that wait for one that did not complete."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from pgjobs.core.text import duration, listed, plural
from pgjobs.db.stuck_jobs import sentence, ways_out
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding

MANY_DIED = 10  # dead letters in an hour
AS_USUAL = 2.0  # times the dead letters of an hour of the day before: up to that a note is enough
MANY_LOST = 3  # jobs whose connection was lost
MOST_COUNTED = 1000
MOST_FAN_INS = 20
MOST_WORKFLOWS = 20


def dependencies(installation: Installation) -> Iterator[Finding]:
    """Look for jobs that wait for a job that did not complete."""
    dead = [each for each in installation.stuck if each.state == "dead"]
    lost = [each for each in installation.stuck if each.state != "dead"]
    if dead:
        yield Finding(
            "waits_for_dead",
            f"{sentence(dead)}.",
            f"Once the cause is fixed, {ways_out(dead)}.",
            {"jobs": {each.job_id: each.needs_id for each in dead}},
            level="warning",
        )
    if lost:
        yield Finding(
            "unsatisfiable",
            f"{sentence(lost)}. It never starts by itself."
            if len(lost) == 1
            else f"{sentence(lost)}. They never start by themselves.",
            f"{ways_out(lost)[0].upper()}{ways_out(lost)[1:]}.",
            {"jobs": {each.job_id: each.needs_id for each in lost}},
            level="warning",
        )


def workflows(installation: Installation) -> Iterator[Finding]:
    """Look for workflows that are stuck."""
    stuck = installation.workflows
    if not stuck:
        return
    shown = listed([f"{w['id']} ({w['name']}, {w['completed']:,} of {w['steps']:,} completed)" for w in stuck], 3)
    first = stuck[0]["id"]
    yield Finding(
        "stuck_workflows",
        f"{plural(len(stuck), 'workflow', cap=MOST_WORKFLOWS)} {'is' if len(stuck) == 1 else 'are'} stuck, because "
        f"steps failed that others wait for: {shown}.",
        f"See `pgjobs workflows show {first}`; once the cause is fixed: `pgjobs workflows retry {first}`.",
        {"workflows": [w["id"] for w in stuck]},
        level="warning",
    )


def pipelines(installation: Installation) -> Iterator[Finding]:
    """Look for pipelines that stand still: a stage is full, and nothing runs there."""
    for jam in installation.jams:
        dead = f"; it has {plural(jam['dead'], 'dead letter', cap=MOST_COUNTED)}" if jam["dead"] else ""
        yield Finding(
            "pipeline_jams",
            f"The pipeline {jam['pipeline']} stands still: {plural(jam['waiting'], 'item')} wait in {jam['stage']}, as "
            f"many as may, and none runs{dead}.",
            f"See `pgjobs pipelines show {quote(jam['pipeline'])}`, and `pgjobs why ID` of an item that waits there: "
            "no worker may have its queue, or a dead letter may block its sequence.",
            {"pipeline": jam["pipeline"], "stage": jam["stage"], "waiting": jam["waiting"], "dead": jam["dead"]},
            level="warning",
        )


def fan_ins(installation: Installation) -> Iterator[Finding]:
    """Look for jobs that wait for others of which none is left to release them."""
    stuck = installation.fan_ins
    if stuck:
        yield Finding(
            "stuck_fan_ins",
            f"{plural(len(stuck), 'job', cap=MOST_FAN_INS)} {'waits' if len(stuck) == 1 else 'wait'} for others, and "
            f"nothing is left that could release {'it' if len(stuck) == 1 else 'them'}: {listed(stuck, 3)}.",
            f"Rows of pgjobs.dependencies were deleted. Cancel what waits, and enqueue it again: `pgjobs jobs cancel "
            f"{' '.join(map(str, stuck[:3]))}`.",
            {"jobs": list(stuck)},
            level="warning",
        )


def lost_connections(installation: Installation) -> Iterator[Finding]:
    """Look for jobs that fail again and again because their own connections to a database are lost."""
    died, retried = installation.lost_died, installation.lost_retried
    if died + retried < MANY_LOST:
        return
    error = f": {installation.lost_error.rstrip('.')}" if installation.lost_error else ""
    yield Finding(
        "lost_connections",
        f"{plural(died + retried, 'job')} failed because their own connection to a database "
        f"was lost ({died:,} for good in the last hour, {retried:,} to be retried){error}.",
        "A worker process that keeps a lost connection fails with each job that uses it: have the pool test "
        "connections before use (SQLAlchemy: `pool_pre_ping=True`), or restart the workers.",
        {"dead": died, "retried": retried, "error": installation.lost_error},
        level="warning",
    )


def dead_letters(installation: Installation) -> Iterator[Finding]:
    """Look for a burst of jobs that have failed for good. As many as usual are worth a note."""
    if installation.died < MANY_DIED:
        return
    usual = installation.died_usually
    error = f": {installation.died_error.rstrip('.')}" if installation.died_error else ""
    yield Finding(
        "dead_letters",
        f"{plural(installation.died, 'job', cap=MOST_COUNTED)} failed for good in the last hour (the day before, "
        f"{usual:,.1f} an hour), most of them of task "
        f"{installation.died_task}; the last one {duration(installation.died_ago)} ago{error}.",
        "See `pgjobs dead list`; once the cause is fixed: "
        f"`pgjobs dead replay --task {quote(installation.died_task)}`.",
        {
            "letters": installation.died,
            "usual": usual,
            "task": installation.died_task,
            "last_seconds": installation.died_ago,
            "error": installation.died_error,
        },
        level="note" if installation.died <= AS_USUAL * usual else "warning",
    )
