"""`pgjobs work`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pgjobs.cli.invocation import invocation
from pgjobs.cli.supervise import become_supervisor
from pgjobs.cli.terminal import progress
from pgjobs.core.allowlist import parse_allow
from pgjobs.core.config import DEFAULT_RESCUE_AFTER, settings
from pgjobs.db.choose_database import database
from pgjobs.hooks.loading import entry_point_modules
from pgjobs.worker.config import (
    DEFAULT_GRACE,
    DEFAULT_HEARTBEAT,
    DEFAULT_LISTEN,
    DEFAULT_QUEUE,
    WorkerConfig,
    parse_queues,
)


def work(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-q",
            metavar="NAME:CONCURRENCY",
            help="A queue, or a pattern such as '*' or 'mail-*', and how many of the queue's jobs run at once; "
            "repeatable. [default: default:10]",
            envvar="PGJOBS_QUEUES",
            show_default=False,
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import this module before the first job; repeatable.",
            envvar="PGJOBS_IMPORTS",
            show_default=False,
        ),
    ] = None,
    hooks: Annotated[
        list[str] | None,
        typer.Option(
            "--hooks",
            metavar="MODULE",
            help="Import this module, with hooks, before all others; repeatable.",
            envvar="PGJOBS_HOOKS",
            show_default=False,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="MODULE",
            help="Only call these: MODULE, PACKAGE.* or MODULE:NAME; repeatable. [default: anything]",
            show_default=False,
        ),
    ] = None,
    payload: Annotated[
        Literal["any", "json"] | None,
        typer.Option(metavar="KIND", help="json: refuse pickles. [default: any]", show_default=False),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Worker processes.", envvar="PGJOBS_PROCESSES")
    ] = 1,
    max_jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Replace a worker process after about N jobs.",
            envvar="PGJOBS_MAX_JOBS",
            show_default=False,
        ),
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="MB",
            help="Replace a worker process that uses more memory than this.",
            envvar="PGJOBS_MAX_MEMORY",
            show_default=False,
        ),
    ] = None,
    job_memory: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="MB",
            help="Memory limit of the process of a job.",
            envvar="PGJOBS_JOB_MEMORY",
            show_default=False,
        ),
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Exit when nothing is due.")] = False,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="At a stop, how long running jobs may continue.",
            envvar="PGJOBS_GRACE",
        ),
    ] = DEFAULT_GRACE,
    heartbeat: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", help="Time between heartbeats.", envvar="PGJOBS_HEARTBEAT"),
    ] = DEFAULT_HEARTBEAT,
    rescue_after: Annotated[
        float,
        typer.Option(
            min=0.2,
            metavar="SECONDS",
            help="Silence after which a worker's jobs are rescued.",
            envvar="PGJOBS_RESCUE_AFTER",
        ),
    ] = DEFAULT_RESCUE_AFTER,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve metrics of the workers to Prometheus there.",
            envvar="PGJOBS_METRICS_PORT",
            show_default=False,
        ),
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Answer the probes /live and /ready there.",
            envvar="PGJOBS_HEALTH_PORT",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address of these ports.", envvar="PGJOBS_LISTEN")
    ] = DEFAULT_LISTEN,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(metavar="LEVEL", help="debug, info, warning, error.", envvar="PGJOBS_LOG_LEVEL"),
    ] = "info",
    log_format: Annotated[
        Literal["auto", "console", "json"],
        typer.Option(metavar="FORMAT", help="auto, console or json.", envvar="PGJOBS_LOG_FORMAT"),
    ] = "auto",
) -> None:
    """Run jobs until a signal comes. Ctrl-C, SIGTERM or SIGHUP: finish running jobs; a second signal exits at once."""
    allowed = parse_allow(allow) if allow else settings().allow
    queues, patterns = parse_queues(queue or [DEFAULT_QUEUE])
    with database(embedded=invocation.embedded) as url:
        config = WorkerConfig(
            database_url=url,
            queues=queues,
            patterns=patterns,
            imports=_modules(imports),
            hooks=(*entry_point_modules(), *_modules(hooks)),
            processes=processes,
            drain=drain,
            grace=grace,
            heartbeat=heartbeat,
            rescue_after=rescue_after,
            log_level=log_level,
            log_format=log_format,
            schema=settings().schema,
            max_jobs=max_jobs,
            max_memory=max_memory,
            job_memory=job_memory,
            allow=None if allowed is None else allowed.patterns,
            payload=payload or settings().payload,
            metrics_port=metrics_port,
            health_port=health_port,
            listen=listen,
        )
        # An embedded server runs as long as this process, so it stays.
        if invocation.alone and settings().database_url and not (drain or invocation.embedded):
            become_supervisor(config)
        # Imported here: a process that is replaced above needs neither.
        from pgjobs.telemetry.logs import configure_logging
        from pgjobs.worker.supervisor.run import run_supervisor

        configure_logging(log_level, log_format)
        if drain:
            with progress("jobs done") as on_progress:
                code = run_supervisor(config, on_progress=on_progress)
        else:
            code = run_supervisor(config)
    raise typer.Exit(code)


def _modules(texts: list[str] | None) -> tuple[str, ...]:
    return tuple(module.strip() for text in texts or () for module in text.split(",") if module.strip())
