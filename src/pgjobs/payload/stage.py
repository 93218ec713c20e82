"""Items of pipelines: what their payload says, what a stage runs, and what it returns as items of the next stage."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.core.callables import unwrap
from pgjobs.core.errors import NotAllowedError, ResultError, ResultTooLargeError, UsageError
from pgjobs.flow.stage import NextItems
from pgjobs.jobs.context import current
from pgjobs.jobs.job import Job, is_async, is_lasting, like, options_of, task_name
from pgjobs.jobs.pipeline import find_pipeline
from pgjobs.jobs.tracing import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgjobs.core.allowlist import AllowList
    from pgjobs.payload.encoder import CallEncoder
    from pgjobs.payload.pickling import Call

MAX_ITEMS = 10_000  # that one job may yield: they are enqueued together when it ends
MAX_BYTES = 32 << 20  # of their payloads
_ROWS = ("payloads", "summaries", "signatures", "lanes", "costs")
_COMMON = ("on_failure", "expires_at", "expires_after")


class StageJob(Job[..., Any]):
    """What a stage runs that has another one behind it. Made for one attempt.

    `items`: what it has led to, once it has run; None: nothing. `following`: the job of the next stage.
    """

    inner: Callable[..., Any]
    following: Job[..., Any]
    items: NextItems | None

    def __init__(self, inner: Callable[..., Any], following: Job[..., Any]) -> None:
        self.inner, self.following, self.items = inner, following, None
        name = inner.declared_name if isinstance(inner, Job) else None
        function = inner.function if isinstance(inner, Job) else unwrap(inner).function
        is_awaited = is_async(inner) or inspect.isasyncgenfunction(function)
        super().__init__(self._run_async if is_awaited else self._run, options_of(inner), name)

    @classmethod
    def of(cls, inner: Callable[..., Any], following: Job[..., Any]) -> StageJob:
        """Make the job for one item, from what is known of its function: to look at that takes ten times as long."""
        if not is_lasting(inner):
            return cls(inner, following)
        known = _known.get(id(inner))
        if known is None or known.following is not following:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            known = _known[id(inner)] = cls(inner, following)  # it holds the function, whose id stays its own
        return like(known, {})

    def _run(self, /, *args: Any, **kwargs: Any) -> Any:
        value = self.inner(*args, **kwargs)
        if not inspect.isgenerator(value):
            self.items = self._passed_on([value])
            return value
        self.items = self._passed_on(value)
        return None

    async def _run_async(self, /, *args: Any, **kwargs: Any) -> Any:
        value = self.inner(*args, **kwargs)
        if not inspect.isasyncgen(value):
            value = await value
            self.items = self._passed_on([value])
            return value
        made = _Items(self)
        async for item in value:
            made.add(item)
        self.items = made.all()
        return None

    def _passed_on(self, items: Iterator[Any] | list[Any]) -> NextItems | None:
        made = _Items(self)
        for item in items:
            made.add(item)
        return made.all()


_known: dict[int, StageJob] = {}
_MOST_KNOWN = 1_000


class _Items:
    """The items of the next stage, encoded as they come. They have the metadata of the one that led to them."""

    def __init__(self, stage: StageJob) -> None:
        self._stage, self._size = stage, 0
        self._encoder: CallEncoder | None = None
        self._payloads: list[bytes] = []
        self._summaries: list[str | None] = []
        self._keys: list[Any] = []

    def add(self, item: Any) -> None:
        """Encode an item.

        Raises:
            ResultError: it is refused.
            ResultTooLargeError: there are too many.

        """
        try:
            encoder = self._encoder or self._begin()
            payload, summary = encoder.encode((item,), {})
            assert encoder.keys is not None  # noqa: S101 (items have a lane)
            self._keys.append(encoder.keys.call_keys((item,), {}))
        except UsageError as error:
            raise ResultError(f"what {self._task} passes on is refused: {error}") from error
        self._payloads.append(payload)
        self._summaries.append(summary)
        self._size += len(payload)
        if len(self._payloads) > MAX_ITEMS or self._size > MAX_BYTES:
            raise ResultTooLargeError(
                f"{self._task} has yielded more than {MAX_ITEMS:,} items, or {MAX_BYTES >> 20} MiB: all of them are "
                "enqueued together when it ends. Yield parts, and take those apart in another stage."
            )

    def all(self) -> NextItems | None:
        """Return all items; None: there are none."""
        if self._encoder is None:
            return None
        values = self._encoder.batch_values(self._payloads, self._summaries, self._keys)
        nothing = [None] * len(self._payloads)
        rows = {name: values[name] or nothing for name in _ROWS}
        return NextItems(self._encoder.columns._asdict(), {name: values[name] for name in _COMMON}, rows)

    @property
    def _task(self) -> str:
        return task_name(self._stage.inner)

    def _begin(self) -> CallEncoder:
        from pgjobs.payload.encoder import encoder_with_meta  # here: it imports pickling, which loads stages

        job = current.get()
        meta = None if job is None else job.meta
        if installed.tracing is not None:  # what leads to them is the job that runs here
            meta = installed.tracing.passed_on(meta or {})
        self._encoder = encoder_with_meta(self._stage.following, meta)
        return self._encoder


def stage_of(head: Mapping[str, Any], call: Call, allow: AllowList | None) -> Call:
    """Return the call of a stage; of the last one, the call as it is.

    Raises:
        NotAllowedError: the module that declares the pipeline may not be imported here.
        PayloadError: there is no such pipeline or stage here.

    """
    module = str(head["module"])
    if allow is not None and not allow.permits_module(module):
        from pgjobs.core.allowlist import not_allowed

        raise NotAllowedError(not_allowed(f"{module}, with the pipeline {head['pipeline']},"))
    following = find_pipeline(str(head["pipeline"]), module).after(str(head["stage"]))
    return call if following is None else type(call)(StageJob.of(call.callable, following), call.args, call.kwargs)
