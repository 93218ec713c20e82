"""Effects exactly once, and progress: what running jobs write of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.jobs.context import report_to

if TYPE_CHECKING:
    from pgjobs.jobs.context import Reporter


def serve_reports() -> None:
    """Make jobs of this process able to report progress. Nothing is imported or connected before one does."""
    report_to(_make_writer)


def _make_writer() -> Reporter:
    from pgjobs.effects.progress import ProgressWriter

    return ProgressWriter()
