"""Settings that nothing uses any more, switches that were forgotten, and jobs that can never start."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.doctor.finding import Finding
from pgjobs.diagnose.doctor.installation import Installation

LONG_PAUSE = 86400.0  # seconds
MONTH = 30 * 86400.0  # seconds
LATE = 300.0  # seconds: a schedule whose time is over for so long is fired by nobody


def pauses(i: Installation) -> Iterator[Finding]:
    """Look for what is paused, everything or for long."""
    if i.paused_for is not None:
        yield Finding(
            "everything_paused",
            "warning",
            f"Everything is paused, for {span(i.paused_for)}: no job is claimed.",
            "Let it go on: `pgjobs resume`.",
            {"seconds": i.paused_for},
        )
    for queue in i.queues:
        if queue.paused and (queue.paused_for is None or queue.paused_for >= LONG_PAUSE):
            since = f" for {span(queue.paused_for)}" if queue.paused_for is not None else ""
            waiting = ", and has jobs that are due" if queue.due_for is not None else ""
            yield Finding(
                "paused_queue",
                "warning" if waiting else "note",
                f"Queue {queue.name} has been paused{since}{waiting}.",
                f"If that was forgotten: `pgjobs queues resume {queue.name}`.",
                {"queue": queue.name, "seconds": queue.paused_for},
            )
    for task in i.paused_tasks:
        if float(task["seconds"]) >= LONG_PAUSE:
            yield Finding(
                "paused_task",
                "note",
                f"Task {task['task']} has been paused for {span(float(task['seconds']))}.",
                f"If that was forgotten: `pgjobs tasks resume {task['task']}`.",
                {"task": task["task"], "seconds": task["seconds"]},
            )


def breakers(i: Installation) -> Iterator[Finding]:
    """Look for breakers that stay open."""
    for breaker in i.breakers:
        if breaker.get("open_for_ever"):
            yield Finding(
                "open_breaker",
                "warning",
                f"Breaker {breaker['name']} was opened by hand, and stays so until somebody closes it.",
                f"If that was forgotten: `pgjobs breakers close {breaker['name']}`.",
                {"breaker": breaker["name"]},
            )


def schedules(i: Installation) -> Iterator[Finding]:
    """Look for schedules that do not fire."""
    for schedule in i.schedules:
        name, late = schedule["name"], schedule.get("late")
        if schedule.get("error"):
            yield Finding(
                "schedule_error",
                "warning",
                f"Schedule {name} does not fire: {str(schedule['error']).rstrip('.')}.",
                "Mend it where it is declared, or remove it: `pgjobs schedules list` shows where.",
                {"schedule": name, "error": schedule["error"]},
            )
        elif schedule.get("paused_for") is None and schedule.get("retired_for") is None and late and float(late) > LATE:
            yield Finding(
                "late_schedule",
                "warning",
                f"Schedule {name} should have fired {span(float(late))} ago, and nobody has done it.",
                "Look into the workers' logs." if i.heard() else "Start a worker: every supervisor fires schedules.",
                {"schedule": name, "seconds": float(late)},
            )
        elif (schedule.get("paused_for") or 0) and float(schedule["paused_for"]) >= LONG_PAUSE:
            yield Finding(
                "paused_schedule",
                "note",
                f"Schedule {name} has been paused for {span(float(schedule['paused_for']))}.",
                f"If that was forgotten: `pgjobs schedules resume {name}`.",
                {"schedule": name, "seconds": float(schedule["paused_for"])},
            )


def retired(i: Installation) -> Iterator[Finding]:
    """Look for schedules that no code has declared for a month."""
    names = [each["name"] for each in i.schedules if float(each.get("retired_for") or 0) >= MONTH]
    if names:
        yield Finding(
            "retired_schedules",
            "note",
            f"No code has declared {count(len(names), 'schedule')} for a month: {listed(names)}.",
            f"If the code is gone for good: `pgjobs schedules remove {names[0]}`.",
            {"schedules": names},
        )


def unused(i: Installation) -> Iterator[Finding]:
    """Look for limits, weights and breakers that no job uses and nobody has changed for a month."""
    what = {
        "limit": i.unused_limits,
        "tenant": i.unused_tenants,
        "breaker": tuple(each["name"] for each in i.breakers if not each["used"] and each.get("old")),
    }
    for kind, names in what.items():
        if names:
            yield Finding(
                f"unused_{kind}s",
                "note",
                f"{count(len(names), kind)} that no job uses {'has' if len(names) == 1 else 'have'} not been changed "
                f"for a month: {listed(names)}.",
                f"If the jobs that used {'it' if len(names) == 1 else 'them'} are gone for good, remove "
                f"{'it' if len(names) == 1 else 'them'}: `pgjobs {kind}s remove {shlex.quote(names[0])}`.",
                {f"{kind}s": list(names)},
            )


def unsatisfiable(i: Installation) -> Iterator[Finding]:
    """Look for jobs that wait for what can not come."""
    if not i.unsatisfiable:
        return
    cancelled = list(dict.fromkeys(str(needed) for _, needed, state in i.unsatisfiable if state == "cancelled"))[:5]
    again = f"; or run again what was cancelled: `pgjobs jobs retry {' '.join(cancelled)}`" if cancelled else ""
    shown = listed([f"{job} waits for {needed} ({state})" for job, needed, state in i.unsatisfiable])
    yield Finding(
        "hopeless",
        "warning",
        f"{count(len(i.unsatisfiable), 'job', cap=20)} can never start, because what they wait for is gone, was "
        "cancelled "
        f"or has failed for good: {shown}.",
        f"Cancel them: `pgjobs jobs cancel {' '.join(str(job) for job, _, _ in i.unsatisfiable[:5])}`{again}.",
        {"jobs": {job: needed for job, needed, _ in i.unsatisfiable}},
    )
