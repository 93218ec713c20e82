"""Runs the hooks at the start and the end of a worker process, and of the child processes in which jobs run."""

from __future__ import annotations

import logging

from pgjobs.core.error_text import text_of
from pgjobs.core.errors import HookError
from pgjobs.hooks.kinds import start_hooks, stop_hooks

log = logging.getLogger("pgjobs.hooks")


class _State:
    started = False
    running: str | None = None


def run_start_hooks() -> None:
    """Run them, in the order of their registration.

    Raises:
        HookError: one of them raised, and is named; those after it are not run.

    """
    for hook in start_hooks:
        try:
            hook.function()
        except BaseException as error:
            text = text_of(error)
            said = f"the hook {hook.name} raised {type(error).__name__}{': ' if text else ''}{text}"
            raise HookError(said) from error
    _State.started = True


def run_stop_hooks() -> None:
    """Run them in reverse order, if the process has started. What one raises is logged, and the others are run."""
    if not _State.started:
        return
    _State.started = False
    for hook in reversed(tuple(stop_hooks)):
        _State.running = hook.name
        try:
            hook.function()
        except BaseException:
            log.exception("the hook %s failed when the process stopped", hook.name)
    _State.running = None


def running_hook() -> str | None:
    """Return the name of the stop hook that runs now, in any thread."""
    return _State.running
