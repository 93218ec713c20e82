"""What payloads of jobs call when they are loaded, under names that stay: `pgjobs:job_with_options` and the like.

Rows in the database hold these names, so they must not change with the modules here. `pgjobs` exports the functions,
outside of `__all__`: applications do not call them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pgjobs.jobs.registry import import_job

if TYPE_CHECKING:
    from pgjobs.jobs.job import Job
    from pgjobs.jobs.options import JobOptions


def job_with_options(base: Any, changes: dict[str, Any]) -> Any:
    """Return a copy of a job with changed options; what is not a job here (any longer) is returned as it is."""
    from pgjobs.jobs.job import Job  # imported lazily: it imports this module

    return base.with_job_options(base.job_options.changed(**changes)) if isinstance(base, Job) else base


def job_from_function(function: Callable[..., Any], job_options: JobOptions) -> Job[..., Any]:
    """Return a job whose function travels by value, because it has no name that a worker could find it by."""
    from pgjobs.jobs.job import job_class  # imported lazily: it imports this module

    return job_class(job_options)(function, job_options)


def job_by_name(name: str, module: str) -> Job[..., Any]:
    """Return the job with this name; `module`: where it was when it was enqueued, if it has to be imported.

    Raises:
        PayloadError: there is no such job.

    """
    return import_job(name, module)


for _function in (job_with_options, job_from_function, job_by_name):
    _function.__module__ = "pgjobs"  # which pickle writes down
