"""Pause and resume queues, tasks, schedules, workflows, pipelines, subscriptions, everything; run a schedule now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pgjobs import admin
from pgjobs.web.actions.action import Action, Asked, Done, Preview


def _switch(
    what: str, takes: str, back: str, pause: Callable[..., Any], resume: Callable[..., Any], held: str
) -> dict[str, Action]:
    """Return the actions that pause and resume one kind of thing."""

    def target(asked: Asked) -> Any:
        return asked.id(takes) if takes == "workflow" else asked.needed(takes)

    def run(change: Callable[..., Any], word: str) -> Callable[[Asked], Done]:
        def do(asked: Asked) -> Done:
            name = target(asked)
            changed = change(asked.conn, name) is not False
            return Done(int(changed), f"The {what} {name} {'is' if changed else 'was already'} {word}.")

        return do

    def before(sentence: str) -> Callable[[Asked], Preview]:
        return lambda asked: Preview(sentence.format(name=target(asked)))

    return {
        f"pause-{what}": Action(
            "pause",
            f"Pause a {what}",
            (takes,),
            before(f"Pause the {what} {{name}}: {held}"),
            run(pause, "paused"),
            back,
        ),
        f"resume-{what}": Action(
            "pause",
            f"Resume a {what}",
            (takes,),
            before(f"Resume the {what} {{name}}."),
            run(resume, "resumed"),
            back,
        ),
    }


def _everything(change: Callable[..., bool], word: str) -> Callable[[Asked], Done]:
    def do(asked: Asked) -> Done:
        changed = change(asked.conn)
        return Done(int(changed), f"Everything {'is' if changed else 'was already'} {word}.")

    return do


def _run_schedule(asked: Asked) -> Done:
    job = admin.run_schedule(asked.conn, asked.needed("schedule"))
    return Done(1, f"The schedule {asked.needed('schedule')} has enqueued job {job.id}.")


ACTIONS: dict[str, Action] = {
    **_switch(
        "queue",
        "queue",
        "/queues",
        lambda conn, name: admin.pause_queue(conn, name),
        lambda conn, name: admin.resume_queue(conn, name),
        "workers claim nothing from it. Jobs that run are not stopped.",
    ),
    **_switch(
        "task",
        "task",
        "/queues",
        lambda conn, name: admin.pause_task(conn, name),
        lambda conn, name: admin.resume_task(conn, name),
        "workers start no more of its jobs; they wait. Jobs that run are not stopped.",
    ),
    **_switch(
        "schedule",
        "schedule",
        "/schedules",
        lambda conn, name: admin.pause_schedule(conn, name),
        lambda conn, name: admin.resume_schedule(conn, name),
        "it does not fire until it is resumed, and what it misses is not made up for.",
    ),
    **_switch(
        "workflow",
        "workflow",
        "/workflows/{workflow}",
        lambda conn, name: admin.pause_workflow(conn, name),
        lambda conn, name: admin.resume_workflow(conn, name),
        "no more of its steps start. Steps that run are not stopped.",
    ),
    **_switch(
        "pipeline",
        "pipeline",
        "/pipelines",
        lambda conn, name: admin.pause_pipeline(conn, name),
        lambda conn, name: admin.resume_pipeline(conn, name),
        "its first stage starts nothing; items in later stages go through.",
    ),
    **_switch(
        "subscription",
        "subscription",
        "/subscriptions",
        lambda conn, name: admin.pause_subscription(conn, name),
        lambda conn, name: admin.resume_subscription(conn, name),
        "its events become jobs that wait.",
    ),
    "pause-everything": Action(
        "pause",
        "Pause everything",
        (),
        lambda asked: Preview("Pause everything: workers claim nothing, in any queue. Jobs that run are not stopped."),
        _everything(lambda conn: admin.pause_everything(conn), "paused"),
        "/queues",
        is_danger=True,
    ),
    "resume-everything": Action(
        "pause",
        "Resume everything",
        (),
        lambda asked: Preview("Resume everything. Queues and tasks that were paused by themselves stay so."),
        _everything(lambda conn: admin.resume_everything(conn), "resumed"),
        "/queues",
    ),
    "run-schedule": Action(
        "run",
        "Run a schedule now",
        ("schedule",),
        lambda asked: Preview(
            f"Enqueue the job of the schedule {asked.needed('schedule')} now, once. Its firings stay as they are."
        ),
        _run_schedule,
        "/schedules",
    ),
}
