"""The table of commands. A command's module is imported when the command is run, not for `pgjobs --help`."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

EPILOG = "Global options: --database-url URL, --schema NAME, --embedded, --debug (see pgjobs --help)."


class Entry(NamedTuple):
    """`target`: MODULE:NAME of a command's function, or of the Typer app of a group. `help`: its line of help."""

    target: str
    help: str


# In the order of `pgjobs --help`. A function's line is the first sentence of its docstring.
COMMANDS = {
    "migrate": Entry("pgjobs.cli.migrate:migrate", "Create or upgrade the tables."),
    "work": Entry("pgjobs.cli.work:work", "Run jobs until a signal comes."),
    "status": Entry("pgjobs.cli.status:status", "Show queues, dead letters and workers."),
    "top": Entry(
        "pgjobs.cli.top.command:top", "Show queues, workers, what runs and dead letters, live in this terminal."
    ),
    "why": Entry("pgjobs.cli.why:why", "Explain why a job does not run, and what to do about it."),
    "doctor": Entry("pgjobs.cli.doctor:doctor", "Report what is wrong with the installation."),
    "health": Entry("pgjobs.cli.health:health", "Ask a supervisor how it is, and exit with 1 if it is not well."),
    "metrics": Entry("pgjobs.cli.metrics:metrics", "Serve the metrics of the installation to Prometheus."),
    "jobs": Entry("pgjobs.cli.jobs:app", "List, show, follow, retry, cancel and change jobs."),
    "dead": Entry("pgjobs.cli.dead:app", "List, show, replay, discard and keep dead letters."),
    "workflows": Entry("pgjobs.cli.workflows:app", "List, show, retry, cancel and pause workflows."),
    "pipelines": Entry("pgjobs.cli.pipelines:app", "List, show, pause and resume pipelines, and see where they jam."),
    "queues": Entry("pgjobs.cli.queues:app", "List, pause, limit and remove queues, and set what they keep."),
    "schedules": Entry("pgjobs.cli.schedules:app", "List, add, pause and run schedules."),
    "subscriptions": Entry(
        "pgjobs.cli.subscriptions:app", "List, pause and resume subscriptions to events, and replay kept events."
    ),
    "broadcasts": Entry(
        "pgjobs.cli.broadcasts:app", "List and show broadcasts: what every worker process, or host, runs once."
    ),
    "limits": Entry("pgjobs.cli.limits:app", "Show and set how many jobs of a key run at once, and how fast."),
    "tenants": Entry("pgjobs.cli.limits:tenants", "Show and set the share of turns that a tenant gets."),
    "tasks": Entry("pgjobs.cli.tasks:app", "List, pause and resume tasks."),
    "pause": Entry("pgjobs.cli.pause:pause", "Stop claiming jobs, whatever the queue."),
    "resume": Entry("pgjobs.cli.pause:resume", "Claim jobs again, after `pgjobs pause`."),
    "drain": Entry("pgjobs.cli.pause:drain", "Wait until no job is due and none runs."),
    "breakers": Entry("pgjobs.cli.breakers:app", "Show circuit breakers, and open or close them by hand."),
    "history": Entry("pgjobs.cli.history:app", "Show the days of history, and set how long they are kept."),
    "web": Entry("pgjobs.web.command:web", "Show queues, jobs and all else in a browser."),
    "dev": Entry(
        "pgjobs.cli.dev:dev", "Run all that development needs: a database, its tables, and a worker that reloads."
    ),
    "db": Entry("pgjobs.cli.db:app", "Start and stop an embedded PostgreSQL in ./.pgjobs/."),
    "demo": Entry("pgjobs.demo.command:demo", "Show the whole story in a minute."),
}


class Command(TyperCommand):
    """A command that refuses an option with one value if it is given twice: Typer takes the last, and says nothing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        given = list(args)
        rest = super().parse_args(ctx, args)  # --help ends here
        refuse_repeated(self, ctx, given)
        return rest


class _Commands(typer.Typer):
    def command(self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **options: Any) -> Any:
        return super().command(name, cls=cls, **options)


class CommandTable(TyperGroup):
    """The group `pgjobs`. Help, completion and spelling use the table alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the global options."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        refuse_repeated(self, ctx, given)
        return rest

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command, and import it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if found is None else load(args[0]), rest


def refuse_repeated(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> None:
    """Refuse arguments in which an option that takes one value has two. A flag may be repeated: it says the same."""
    if ctx.resilient_parsing:  # completion
        return
    _, _, order = command.make_parser(ctx).parse_args(args)
    for param, times in Counter(order).items():
        if times > 1 and param.param_type_name == "option" and not (param.multiple or param.is_flag):  # type: ignore[attr-defined]
            name = max(param.opts, key=len)
            ctx.fail(f"{name} was given {'twice' if times == 2 else f'{times} times'}, and takes one value.")


def load(name: str) -> TyperGroup | TyperCommand:
    """Import a command of the table."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(import_module(module), attribute)
    parent = _Commands(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(target, typer.Typer):
        parent.add_typer(target, name=name, help=COMMANDS[name].help, epilog=EPILOG)
    else:
        parent.command(name, epilog=EPILOG)(target)
    command: TyperGroup | TyperCommand = typer.main.get_group(parent).commands[name]  # type: ignore[assignment]
    return command


def command_group() -> typer.Typer:
    """Make the Typer app of a group of commands; its line of help is in the table."""
    return _Commands(no_args_is_help=True, rich_markup_mode=None)
