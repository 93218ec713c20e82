"""The way in: a `Workflow` that comes from here can be enqueued."""

from __future__ import annotations

from pgjobs.workflows import insert as insert  # which makes `enqueue` know workflows
from pgjobs.workflows.workflow import Step, Steps, Workflow

__all__ = ["Step", "Steps", "Workflow"]
