"""Makes a process able to run steps, without importing what that takes before one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.payload.step import run_steps_with

if TYPE_CHECKING:
    from pgjobs.payload.step import Runner


def serve_steps() -> None:
    """Make this process able to run steps of workflows. Nothing is imported or connected before one runs."""
    run_steps_with(_make_runner)


def _make_runner() -> Runner:
    from pgjobs.workflows.running import StepRunner

    return StepRunner()
