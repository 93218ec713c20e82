"""From a call to the parameters of the statement that inserts its job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.core.callables import parameters_of, read_function_name, unwrap
from pgjobs.core.config import Settings, settings
from pgjobs.core.errors import EnqueueError
from pgjobs.core.text import shorten_repr
from pgjobs.db.enqueue_columns import EnqueueColumns
from pgjobs.flow.options import NO_FLOW
from pgjobs.jobs.checks import check_needed
from pgjobs.jobs.handle import JobHandle, as_handles
from pgjobs.jobs.job import Job, job_inside, options_of, task_name
from pgjobs.jobs.meta import merge_meta, meta_text
from pgjobs.jobs.pipeline import Pipeline
from pgjobs.jobs.transaction_batch import BATCH_JOBS, IN_TRANSACTION
from pgjobs.payload.fast_pickle import (
    MAX_FAST_BYTES,
    Dump,
    FastPickler,
    PicklePrefixDumper,
    fast_pickler,
    no_fast_path,
)
from pgjobs.payload.step import head_bytes
from pgjobs.payload.summary import Summarizer

if TYPE_CHECKING:
    from pgjobs.flow.stage import Stage
    from pgjobs.jobs.options import JobOptions
    from pgjobs.payload.json_format import JsonDumper
    from pgjobs.payload.keys import CallKeys, FlowKeys

_CACHEABLE = frozenset({Job, Pipeline, *BATCH_JOBS, *IN_TRANSACTION, FunctionType, BuiltinFunctionType})
_OPTIONS = [name for name in EnqueueColumns._fields if name not in ("task", "meta")]
_PLAIN = options_of(len)  # the options of what is not a job
_MAX_CACHED = 1_000  # encoders
_STEP_VALUES = (
    *("summaries", "signatures", "payloads", "lanes", "costs"),
    *("on_failure", "expires_at", "expires_after"),
)


class Dumper(Protocol):
    """Makes the payloads of one callable's calls."""

    @property
    def head(self) -> bytes | None:
        """The beginning of all payloads, if they are pickles of a callable that is found by its name."""
        ...

    @property
    def dump(self) -> Dump:
        """Makes one payload."""
        ...

    @property
    def is_found(self) -> Callable[[], bool]:
        """Tells whether the callable is found by its name, now."""
        ...


class StageDumper:
    """Makes the payloads of items of a pipeline, which say in which stage they are."""

    __slots__ = ("dump", "head", "is_found")

    def __init__(self, dumper: Dumper, stage: Stage) -> None:
        mark, dump = head_bytes(stage.head()), dumper.dump
        self.head = None if dumper.head is None else mark + dumper.head
        self.dump: Dump = lambda args, kwargs: mark + dump(args, kwargs)
        self.is_found = dumper.is_found


class CallEncoder:
    """Makes the rows of one callable's jobs: the statement that inserts them, and its parameters.

    All that depends on the callable, its options and the settings alone is done once, here.
    """

    __slots__ = (
        *("_dumper", "_options", "_parameters", "_settings", "_summarizer"),
        *("batch_statement", "columns", "fast_path", "keys", "meta", "sign", "statement"),
    )

    def __init__(
        self, callable: Callable[..., object], current: Settings, added: Mapping[str, Any] | None = None
    ) -> None:
        self._options = options = _options_of(callable)
        if added:
            options = options.changed(meta=added)
        self._settings = current
        dumper = PicklePrefixDumper if options.payload == "pickle" else _json_dumper
        # pyright binds the functions that a dumper keeps in its slots as if they were methods.
        self._dumper: Dumper = dumper(callable, current.max_payload)  # pyright: ignore[reportAttributeAccessIssue]
        if options.flow.stage is not None:
            self._dumper = StageDumper(self._dumper, options.flow.stage)  # pyright: ignore[reportAttributeAccessIssue]
        self.columns = columns = columns_for(options, _task_of(callable))
        self.meta = options.meta
        """The metadata of its jobs, as `columns` has it."""
        self._summarizer = summarizer = Summarizer(callable) if options.summary and current.summaries else None
        self._parameters = parameters = parameters_of(callable)
        self.statement = "enqueue"
        """The name of the statement that inserts one job."""
        self.batch_statement = "enqueue_many"
        """The name of the statement that inserts several."""
        self.keys: FlowKeys | None = None
        """Makes the keys of each job; None: they are plain jobs, without flow control."""
        if options.flow is not NO_FLOW:
            check_needed(options.flow)
        if options.flow is not NO_FLOW and options.flow.is_used:
            from pgjobs.payload.keys import FlowKeys  # imported lazily: most jobs have none

            self.keys = keys = FlowKeys(callable, columns.task, options.queue, options.flow, options.meta)
            self.statement, self.batch_statement = keys.statement, keys.batch_statement
        self.sign = self._signer()
        """Makes the signature of a payload; None: there is no key."""
        self.fast_path: FastPickler = no_fast_path
        """Returns payload and summary for plain arguments by position, and None for all others."""
        head = self._dumper.head
        fits = head is not None and len(head) + MAX_FAST_BYTES <= current.max_payload
        if head is not None and fits and (summarizer is None or summarizer.shows_all):
            name = None if summarizer is None else summarizer.name
            self.fast_path = fast_pickler(head, name, parameters.least, parameters.most)

    def with_meta(self, meta: dict[str, Any] | None) -> CallEncoder:
        """Return the encoder of jobs with other metadata (checked), which no key is made of."""
        copy = object.__new__(CallEncoder)
        for slot in CallEncoder.__slots__:
            setattr(copy, slot, getattr(self, slot))
        copy.meta, copy.columns = meta, self.columns._replace(meta=meta_text(meta))
        copy.sign = copy._signer()
        return copy

    def _signer(self) -> Callable[[bytes], bytes] | None:
        if not self._settings.signing_keys:
            return None
        from pgjobs.payload.signing import signed_fields, signer  # imported lazily: hashlib is slow to import

        return signer(self._settings.signing_keys[0], signed_fields(self.columns))

    @property
    def has_summaries(self) -> bool:
        """Return True if its rows have a summary."""
        return self._summarizer is not None

    @property
    def is_cacheable(self) -> bool:
        """Return True if the encoder is worth keeping: the callable is found by its name."""
        return self._dumper.is_found()

    def is_current(self, callable: Callable[..., object], current: Settings) -> bool:
        """Return True if nothing that the encoder was made from has changed."""
        return (
            self._settings is current
            and (not isinstance(callable, Job) or callable.job_options is self._options)
            and self._dumper.is_found()
        )

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, str | None]:
        """Return payload and summary of one job.

        Raises:
            EnqueueError: the arguments do not fit the callable, or the payload is refused.

        """
        made = None if kwargs else self.fast_path(args)
        return self.encode_any(args, kwargs) if made is None else made

    def encode_any(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, str | None]:
        """Return what `encode` does, for arguments that `fast_path` does not take."""
        mismatch = self._parameters.mismatch(args, kwargs)
        if mismatch:
            raise EnqueueError(
                f"{self.columns.task} cannot be called with these arguments: {mismatch}.{self._hint(kwargs)}"
            )
        payload = self._dumper.dump(args, kwargs)
        return payload, None if self._summarizer is None else self._summarizer(args, kwargs)

    def encode_step(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], shown: tuple[tuple[Any, ...], Mapping[str, Any]]
    ) -> tuple[bytes, str | None]:
        """Return payload and summary of a step of a workflow. `shown`: the arguments with what stands for results.

        Raises:
            EnqueueError: as `encode`.

        """
        payload, summary = self.encode_any(args, kwargs)
        return payload, summary if self._summarizer is None else self._summarizer(*shown)

    def _hint(self, kwargs: Mapping[str, Any]) -> str:
        from pgjobs.jobs.other_names import argument_hint  # imported lazily: only wrong calls need it

        name = self.columns.task.rpartition(":")[2].rpartition(".")[2]
        return argument_hint(name, self._parameters.names, kwargs, is_job=self._options is not _PLAIN)

    def row_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of `statement` for one job, beside `columns`.

        Raises:
            EnqueueError: the job is refused.

        """
        made = None if kwargs else self.fast_path(args)
        payload, summary = self.encode_any(args, kwargs) if made is None else made
        signature = None if self.sign is None else self.sign(payload)
        keys = self.keys
        if keys is None:
            return {"summary": summary, "signature": signature, "payload": payload}
        return keys.row_values(keys.call_keys(args, kwargs), payload, summary, signature)

    def batch_values(
        self, payloads: list[bytes], summaries: list[str | None], call_keys: list[CallKeys]
    ) -> dict[str, Any]:
        """Return the parameters of `batch_statement`, beside `columns`; `call_keys`: empty for plain jobs."""
        values: dict[str, Any] = {
            "summaries": None if self._summarizer is None else summaries,
            "signatures": None if self.sign is None else list(map(self.sign, payloads)),
            "payloads": payloads,
        }
        return values if self.keys is None else values | self.keys.batch_values(call_keys)

    def step_values(
        self, payloads: list[bytes], summaries: list[str | None], call_keys: list[CallKeys]
    ) -> dict[str, Any]:
        """Return the parameters of `add_steps` that the encoder knows, beside `columns`."""
        values: dict[str, Any] = {"on_failure": None, "expires_at": None, "expires_after": None}
        values |= {"lanes": None, "costs": None, **self.batch_values(payloads, summaries, call_keys)}
        return {name: values[name] for name in _STEP_VALUES}

    def handles(
        self, ids: Sequence[int], values: Mapping[str, Any], *, first: int | None = None
    ) -> list[JobHandle[Any]]:
        """Return the handles of the jobs that a statement inserted or found, as `FlowKeys.handles` does.

        Raises:
            EnqueueError: a job was refused by the statement.

        """
        return as_handles(ids) if self.keys is None else self.keys.handles(ids, values, first=first)


def described(callable: Callable[..., object]) -> tuple[str, JobOptions]:
    """Return the name of a callable's task, and the options of its jobs.

    Raises:
        EnqueueError: it cannot be enqueued.

    """
    options = _options_of(callable)
    return _task_of(callable), options


def encoder_with_meta(callable: Callable[..., object], added: Mapping[str, Any] | None) -> CallEncoder:
    """Return the encoder of a callable's jobs with metadata that is merged over that of its options.

    Raises:
        UsageError: it is not a JSON object, or there is too much of it.
        EnqueueError: it cannot be enqueued.

    """
    if not added:
        return encoder_for(callable)
    options = _options_of(callable)
    if any(template.of_meta for template in options.flow.templates()):
        return CallEncoder(callable, settings(), added)
    return encoder_for(callable).with_meta(merge_meta(options.meta, added))


def columns_for(options: JobOptions, task: str) -> EnqueueColumns:
    """Return the columns of the jobs of a task with these options."""
    own = {name: getattr(options, name) for name in _OPTIONS}
    return EnqueueColumns(task=task, meta=meta_text(options.meta), **own)


def _json_dumper(callable: Callable[..., object], limit: int) -> JsonDumper:
    from pgjobs.payload.json_format import JsonDumper  # imported lazily: most jobs are pickled

    if options_of(callable).payload == "event":
        raise EnqueueError(
            f"{task_name(callable)} is a subscription, which gets its jobs from events: publish one, as in "
            "publish(conn, 'order.placed', …); or make its body a function of its own, with @job."
        )
    if not isinstance(callable, Job):
        raise EnqueueError(
            f"{task_name(callable)} has payload='json', so it is enqueued as it is: partials and methods are pickles."
        )
    return JsonDumper(callable, limit)


_known: dict[object, CallEncoder] = {}


def encoder_for(callable: Callable[..., object]) -> CallEncoder:
    """Return the encoder of a callable. Those of jobs and functions that are found by their names are cached.

    Raises:
        EnqueueError: it cannot be enqueued.

    """
    current = settings()
    if type(callable) not in _CACHEABLE:
        return CallEncoder(callable, current)
    known = _known.get(callable)
    if known is not None and known.is_current(callable, current):
        return known
    encoder = CallEncoder(callable, current)
    if encoder.is_cacheable and getattr(callable, "is_declared", True):  # one made by `options()` is used once
        if len(_known) >= _MAX_CACHED:
            _known.clear()
        _known[callable] = encoder
    return encoder


def _options_of(function: Callable[..., object]) -> JobOptions:
    try:
        _check_callable(function)
        outer = unwrap(function).function
        inner = job_inside(outer)
        if inner is not None and type(inner) in IN_TRANSACTION and inner is not function:
            raise EnqueueError(
                f"{task_name(inner)} gets its connection from its worker (transaction=True), so it is enqueued as it "
                "is: not in a partial, nor below another decorator."
            )
        if inner is not None and inner is not outer and (inner.declared_name or inner.job_options.payload != "pickle"):
            raise EnqueueError(
                f"{task_name(outer)} has a decorator above @job, and its jobs are found by their name, without it: put "
                "@job above the decorator."
            )
        return options_of(function)
    except EnqueueError:
        raise
    except Exception as error:  # an unbound proxy, or an object whose attributes raise
        raise EnqueueError(
            f"a {type(function).__name__} cannot be enqueued, it raises {type(error).__name__} when it is asked what "
            "it is: pass a function."
        ) from error


def _task_of(function: Callable[..., object]) -> str:
    """Return the task's name, checked here: if PostgreSQL refused it, the caller's transaction would fail."""
    name = task_name(function)
    if not name.isprintable():  # NUL and halves of surrogate pairs are not
        raise EnqueueError(
            f"the name of this callable, {shorten_repr(name)}, has characters that cannot be printed, so no worker "
            "finds it and no table shows it: give it another __module__ and __qualname__."
        )
    return name


def _check_callable(function: object) -> None:
    if isinstance(function, Job):  # checked when it was made
        if function.is_generator and function.job_options.flow.stage is None:
            raise EnqueueError(
                f"{task_name(function)} yields values, which are items for the next stage of a pipeline: declare one, "
                "as in pipeline('index', parse >> store), and enqueue that."
            )
        return
    if inspect.iscoroutine(function):
        function.close()
        raise EnqueueError(
            f"{function.__qualname__} was called already: pass the function and its arguments, as in "
            f"enqueue(conn, {function.__name__}, …)."
        )
    if isinstance(function, str):
        named = read_function_name(function)
        way = f"`{named.statement}`, and pass {named.name} itself" if named else "import the function, and pass it"
        raise EnqueueError(f"{shorten_repr(function)} is a text, and not a function: {way}.")
    if not callable(function):
        raise EnqueueError(
            f"a {type(function).__name__} is not callable: pass the function itself and then its arguments, as in "
            "enqueue(conn, send_receipt, 42)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise EnqueueError(f"{task_name(function)} is a generator function: calling it would run none of it.")
