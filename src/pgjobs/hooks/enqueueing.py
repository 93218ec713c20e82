"""Runs the `on_enqueue` hooks: they may add metadata, or refuse the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.core.error_text import text_of
from pgjobs.core.errors import EnqueueError
from pgjobs.hooks.kinds import enqueue_hooks
from pgjobs.hooks.values import NewJob
from pgjobs.jobs.meta import check_meta, merge_meta

if TYPE_CHECKING:
    from pgjobs.jobs.options import JobOptions


def added_meta(
    task: str,
    options: JobOptions,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    meta: Mapping[str, Any] | None = None,
    schedule: str | None = None,
) -> dict[str, Any] | None:
    """Return `meta` with what the hooks add to it. `queue`, `meta`: of this enqueue, instead of and over the options'.

    Raises:
        EnqueueError: a hook raised, or what it returned is not metadata or too much; it is named.

    """
    added = check_meta(meta)
    for hook in enqueue_hooks:
        so_far = merge_meta(options.meta, added) or {}
        new = NewJob(task, queue or options.queue, options.priority, so_far, args, kwargs, schedule)
        try:
            more = check_meta(hook.function(new))
            merge_meta(so_far, more)
        except Exception as error:
            raise EnqueueError(
                f"{task} is refused: the hook {hook.name} raised {type(error).__name__}: {text_of(error)}"
            ) from error
        if more:
            added = {**(added or {}), **more}
    return added
