"""What jobs that failed leave behind: dead letters, and jobs that wait for one that did not complete."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from pgjobs.core.text import duration, listed, plural
from pgjobs.db.stuck_jobs import sentence, ways_out
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding

MANY_DIED = 10  # dead letters in an hour
MOST_COUNTED = 1000
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


def dead_letters(installation: Installation) -> Iterator[Finding]:
    """Look for a burst of jobs that have failed for good."""
    if installation.died < MANY_DIED:
        return
    error = f": {installation.died_error.rstrip('.')}" if installation.died_error else ""
    yield Finding(
        "dead_letters",
        f"{plural(installation.died, 'job', cap=MOST_COUNTED)} failed for good in the last hour, most of them of task "
        f"{installation.died_task}; the last one {duration(installation.died_ago)} ago{error}.",
        "See `pgjobs dead list`; once the cause is fixed: "
        f"`pgjobs dead replay --task {quote(installation.died_task)}`.",
        {
            "letters": installation.died,
            "task": installation.died_task,
            "last_seconds": installation.died_ago,
            "error": installation.died_error,
        },
        level="warning",
    )
