"""What the jobs of one callable have in common, looked at once, and how their rows are made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.core.callables import parameters_of
from pgjobs.core.config import Settings, settings
from pgjobs.core.errors import EnqueueError
from pgjobs.core.text import shorten_repr
from pgjobs.db.job_columns import JobColumns
from pgjobs.flow.options import NO_FLOW
from pgjobs.jobs.job import Job, options_of, task_name
from pgjobs.payload.fast_pickle import Dump, PicklePrefixDumper
from pgjobs.payload.plain import MAX_FAST_BYTES, FastPickler, fast_pickler, no_fast_path
from pgjobs.payload.summary import Summarizer

if TYPE_CHECKING:
    from pgjobs.jobs.options import JobOptions
    from pgjobs.payload.json_format import JsonDumper
    from pgjobs.payload.keys import FlowKeys

_LASTING = frozenset({Job, FunctionType, BuiltinFunctionType})
_MAX_CACHED = 1_000  # recipes that are remembered


class Dumper(Protocol):
    """What makes the payloads of one callable's calls."""

    @property
    def head(self) -> bytes | None:
        """The beginning of all payloads, if they are pickles of a callable that is found by its name."""

    @property
    def dump(self) -> Dump:
        """What makes one."""

    def is_found(self) -> bool:
        """Say whether the callable is found by its name, now."""


class CallEncoder:
    """How the rows of one callable's jobs are made, with its options and with these settings."""

    __slots__ = ("_dumper", "_key", "_options", "_parameters", "_settings", "_summarizer", "columns", "keys", "plain")

    def __init__(self, callable: Callable[..., object], current: Settings) -> None:
        self._options = options = _options_of(callable)
        self._settings = current
        self._key = current.signing_keys[0] if current.signing_keys else None
        dumper = _json_dumper if options.payload == "json" else PicklePrefixDumper
        self._dumper: Dumper = dumper(callable, current.max_payload)
        self.columns = JobColumns(
            options.queue,
            options.priority,
            options.run_at,
            options.delay,
            options.max_attempts,
            options.timeout,
            options.executor,
            _task_of(callable),
        )
        self._summarizer = summarizer = Summarizer(callable) if options.summary and current.summaries else None
        self._parameters = parameters = parameters_of(callable)
        self.keys: FlowKeys | None = None
        """What makes the keys of each job; None: they are plain jobs, which nothing holds up."""
        if options.flow is not NO_FLOW and options.flow.is_used:
            from pgjobs.payload.keys import FlowKeys  # most jobs have none

            self.keys = FlowKeys(callable, self.columns.task, options.queue, options.flow)
        self.plain: FastPickler = no_fast_path
        """Gives payload and summary for plain arguments by position, and None for others: these are left to `make`."""
        head = self._dumper.head
        fits = head is not None and len(head) + MAX_FAST_BYTES <= current.max_payload
        if head is not None and fits and (summarizer is None or summarizer.shows_all):
            name = None if summarizer is None else summarizer.name
            self.plain = fast_pickler(head, name, parameters.least, parameters.most)

    @property
    def is_signed(self) -> bool:
        """Say whether its rows have a signature."""
        return self._key is not None

    @property
    def is_summarized(self) -> bool:
        """Say whether its rows have a summary."""
        return self._summarizer is not None

    @property
    def is_lasting(self) -> bool:
        """Say whether it is worth remembering: the callable is one that is found by its name."""
        return self._dumper.is_found()

    def holds(self, options: JobOptions, current: Settings) -> bool:
        """Say whether a remembered one can be used: nothing that it was made from has changed."""
        return self._settings is current and self._options is options and self._dumper.is_found()

    def make(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, str | None]:
        """Give payload and summary of one job.

        Raises:
            EnqueueError: it is refused.

        """
        if not kwargs and (made := self.plain(args)) is not None:
            return made
        mismatch = self._parameters.mismatch(args, kwargs)
        if mismatch:
            raise EnqueueError(f"{self.columns.task} can not be called with these arguments: {mismatch}.")
        payload = self._dumper.dump(args, kwargs)
        return payload, None if self._summarizer is None else self._summarizer(args, kwargs)

    def signature(self, payload: bytes) -> bytes | None:
        """Give the signature of one job."""
        if self._key is None:
            return None
        from pgjobs.payload.signing import sign  # most have no key, and hashlib takes its time to load

        queue, _, _, _, _, timeout, executor, task = self.columns
        return sign(self._key, queue=queue, task=task, executor=executor, timeout=timeout, payload=payload)


def _json_dumper(callable: Callable[..., object], limit: int) -> JsonDumper:
    from pgjobs.payload.json_format import JsonDumper  # most jobs are pickled

    if not isinstance(callable, Job):
        raise EnqueueError(
            f"{task_name(callable)} has payload='json', so it is enqueued as it is: partials and methods are pickles."
        )
    return JsonDumper(callable, limit)


_known: dict[object, CallEncoder] = {}


def encoder_for(callable: Callable[..., object]) -> CallEncoder:
    """Give the recipe of a callable: the same again for jobs and functions that are found by their names.

    Raises:
        EnqueueError: it is nothing that can be enqueued.

    """
    current = settings()
    if type(callable) not in _LASTING:
        return CallEncoder(callable, current)
    known = _known.get(callable)
    if known is not None and known.holds(options_of(callable), current):
        return known
    encoder = CallEncoder(callable, current)
    if encoder.is_lasting and getattr(callable, "base", callable) is callable:  # those of `options()` come and go
        if len(_known) >= _MAX_CACHED:
            _known.clear()
        _known[callable] = encoder
    return encoder


def _options_of(function: Callable[..., object]) -> JobOptions:
    try:
        _check_callable(function)
        return options_of(function)
    except EnqueueError:
        raise
    except Exception as error:  # a proxy that stands for nothing now, or an object that answers nonsense
        raise EnqueueError(
            f"a {type(function).__name__} can not be enqueued, it raises {type(error).__name__} when it is asked what "
            "it is: pass a function."
        ) from error


def _task_of(function: Callable[..., object]) -> str:
    """Give the task's name, as PostgreSQL can store it. In the caller's transaction a refusal there would end it."""
    name = task_name(function)
    if not name.isprintable():  # NUL and halves of surrogate pairs are not
        raise EnqueueError(
            f"the name of this callable, {shorten_repr(name)}, has characters that can not be printed, so no worker "
            "finds it "
            "and no table shows it: give it another __module__ and __qualname__."
        )
    return name


def _check_callable(function: object) -> None:
    if isinstance(function, Job):  # looked at when it was made
        return
    if inspect.iscoroutine(function):
        function.close()
        raise EnqueueError(
            f"{function.__qualname__} was called already: pass the function and its arguments, as in "
            f"enqueue(conn, {function.__name__}, …)."
        )
    if not callable(function):
        raise EnqueueError(
            f"a {type(function).__name__} is not callable: pass the function itself and then its arguments, as in "
            "enqueue(conn, send_receipt, 42)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise EnqueueError(f"{task_name(function)} is a generator function: calling it would run none of it.")
