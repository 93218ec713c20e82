"""Settings that nothing uses, and switches that were forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import argument

LONG_PAUSE = 86400.0  # seconds
MONTH = 30 * 86400.0  # seconds
LATE = 300.0  # seconds: a schedule this late means that no supervisor is firing


def pauses(installation: Installation) -> Iterator[Finding]:
    """Look for a pause of everything, and of queues and tasks that have been paused for a day."""
    if installation.paused_for is not None:
        yield Finding(
            "everything_paused",
            f"Everything is paused, for {duration(installation.paused_for)}: no job is claimed.",
            "Resume: `pgjobs resume`.",
            {"seconds": installation.paused_for},
            level="warning",
        )
    for queue in installation.queues:
        if queue.paused and (queue.paused_for is None or queue.paused_for >= LONG_PAUSE):
            since = f" for {duration(queue.paused_for)}" if queue.paused_for is not None else ""
            waiting = ", and has jobs that are due" if queue.due_for is not None else ""
            yield Finding(
                "paused_queue",
                f"Queue {queue.name} has been paused{since}{waiting}.",
                f"If that was forgotten: `pgjobs queues resume {argument(queue.name)}`.",
                {"queue": queue.name, "seconds": queue.paused_for},
                level="warning" if waiting else "note",
            )
    for task in installation.paused_tasks:
        if float(task["seconds"]) >= LONG_PAUSE:
            yield Finding(
                "paused_task",
                f"Task {task['task']} has been paused for {duration(float(task['seconds']))}.",
                f"If that was forgotten: `pgjobs tasks resume {argument(task['task'])}`.",
                {"task": task["task"], "seconds": task["seconds"]},
                level="note",
            )


def breakers(installation: Installation) -> Iterator[Finding]:
    """Look for breakers that an operator opened without an end."""
    for breaker in installation.breakers:
        if breaker.get("open_forever"):
            yield Finding(
                "open_breaker",
                f"Breaker {breaker['name']} was opened by hand, and stays open until it is closed by hand.",
                f"If that was forgotten: `pgjobs breakers close {argument(breaker['name'])}`.",
                {"breaker": breaker["name"]},
                level="warning",
            )


def schedules(installation: Installation) -> Iterator[Finding]:
    """Look for schedules that do not fire."""
    for schedule in installation.schedules:
        name, late = schedule["name"], schedule.get("late")
        if schedule.get("error"):
            yield Finding(
                "schedule_error",
                f"Schedule {name} does not fire: {str(schedule['error']).rstrip('.')}.",
                "Fix it where it is declared, or remove it: `pgjobs schedules list` shows where.",
                {"schedule": name, "error": schedule["error"]},
                level="warning",
            )
        elif schedule.get("paused_for") is None and schedule.get("retired_for") is None and late and float(late) > LATE:
            yield Finding(
                "late_schedule",
                f"Schedule {name} should have fired {duration(float(late))} ago, and no supervisor has fired it.",
                "Look into the workers' logs."
                if installation.heard()
                else "Start a worker: every supervisor fires schedules.",
                {"schedule": name, "seconds": float(late)},
                level="warning",
            )
        elif (schedule.get("paused_for") or 0) and float(schedule["paused_for"]) >= LONG_PAUSE:
            yield Finding(
                "paused_schedule",
                f"Schedule {name} has been paused for {duration(float(schedule['paused_for']))}.",
                f"If that was forgotten: `pgjobs schedules resume {argument(name)}`.",
                {"schedule": name, "seconds": float(schedule["paused_for"])},
                level="note",
            )


def retired(installation: Installation) -> Iterator[Finding]:
    """Look for schedules that no code has declared for a month."""
    names = [each["name"] for each in installation.schedules if float(each.get("retired_for") or 0) >= MONTH]
    if names:
        yield Finding(
            "retired_schedules",
            f"No code has declared {plural(len(names), 'schedule')} for a month: {listed(names)}.",
            f"If the code is gone for good: `pgjobs schedules remove {argument(names[0])}`.",
            {"schedules": names},
            level="note",
        )


def unused(installation: Installation) -> Iterator[Finding]:
    """Look for limits, weights and breakers that no job uses and that were not changed for a month."""
    what = {
        "limit": installation.unused_limits,
        "tenant": installation.unused_tenants,
        "breaker": tuple(each["name"] for each in installation.breakers if not each["used"] and each.get("old")),
    }
    for kind, names in what.items():
        if names:
            yield Finding(
                f"unused_{kind}s",
                f"{plural(len(names), kind)} that no job uses {'has' if len(names) == 1 else 'have'} not been changed "
                f"for a month: {listed(names)}.",
                f"If the jobs that used {'it' if len(names) == 1 else 'them'} are gone for good, remove "
                f"{'it' if len(names) == 1 else 'them'}: `pgjobs {kind}s remove {argument(names[0])}`.",
                {f"{kind}s": list(names)},
                level="note",
            )
