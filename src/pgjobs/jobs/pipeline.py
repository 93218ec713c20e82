"""`pipeline()`: stages through which items go, one job for each item and stage, declared in code.

A declaration is a value that this process keeps. `pgjobs work --import MODULE` writes what was declared while its
modules were imported; nothing here touches a database.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, Self, TypeAlias, TypeVar, cast, overload

from pgjobs.core.application import application_of
from pgjobs.core.callables import MAIN_MODULES, parameters_of
from pgjobs.core.errors import PayloadError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str, check_whole, has_type
from pgjobs.flow.stage import Stage
from pgjobs.jobs.job import Job, task_name

if TYPE_CHECKING:
    from pgjobs.jobs.batch_job import BatchJob
    from pgjobs.jobs.options import JobOptions
    from pgjobs.jobs.transaction import TransactionJob

P = ParamSpec("P")
F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)
T = TypeVar("T")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
ItemJob: TypeAlias = "BatchJob[T, Any, V] | TransactionJob[Any, [T], V] | Callable[[T], V]"
"""What gets items: a job that can be called with one."""

MAX_AT_MOST = 10_000_000  # items
MAX_STAGES = 100
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,60}")
_MAX_STAGE_NAME = 60  # characters
_ONLY_FIRST = "after", "unique"
"""Options that say something of an enqueue by the application, which only the first stage has."""


class Stages(Generic[P, F_co, V_co]):
    """Jobs in the order in which items go through them: `parse >> embed >> store`."""

    def __init__(self, jobs: Sequence[Any]) -> None:
        self.jobs = tuple(jobs)

    @overload
    def __rshift__(self: Stages[P, F, AsyncIterator[T]], stage: ItemJob[T, V], /) -> Stages[P, F, V]: ...
    @overload
    def __rshift__(self: Stages[P, F, Iterator[T]], stage: ItemJob[T, V], /) -> Stages[P, F, V]: ...
    @overload
    def __rshift__(self: Stages[P, F, Awaitable[T]], stage: ItemJob[T, V], /) -> Stages[P, F, V]: ...
    @overload
    def __rshift__(self: Stages[P, F, T], stage: ItemJob[T, V], /) -> Stages[P, F, V]: ...
    def __rshift__(self, stage: Any, /) -> Any:
        """Add a stage."""
        if not has_type(stage, Job):
            raise UsageError(f"{shorten_repr(stage)} cannot be a stage: give a job, made by @job.")
        return Stages((*self.jobs, stage))


class Pipeline(Job[P, F_co]):
    """What `pipeline` returns. It is enqueued as its first job is: `enqueue(conn, index, item)`."""

    def __init__(self, name: str, at_most: int, app: str, module: str, jobs: Sequence[Job[..., Any]]) -> None:
        self.pipeline_name = name
        self.at_most = at_most
        self.app = app
        self.pipeline_module = module
        self.stages: list[Job[..., Any]] = []
        """A job for each stage, which knows where it stands."""
        names = _stage_names(jobs)
        for stage_name, made in zip(names, jobs, strict=True):
            stage = made.with_job_options(_options_in(Stage(name, stage_name, module), made))
            stage.is_declared = True
            self.stages.append(stage)
        first = self.stages[0]
        super().__init__(first.function, first.job_options, first.declared_name, first.aliases)
        self._base = first.base

    def stage_names(self) -> list[str]:
        """Return what its stages are called."""
        return [_stage_of(job).name for job in self.stages]

    def after(self, stage: str) -> Job[..., Any] | None:
        """Return the job of the stage behind this one; None: it is the last.

        Raises:
            PayloadError: there is no such stage (any longer).

        """
        names = self.stage_names()
        if stage not in names:
            raise PayloadError(
                f"the payload cannot be loaded: the pipeline {self.pipeline_name} of {self.pipeline_module} has no "
                f"stage {shorten_repr(stage)} here; there are {', '.join(names)}."
            )
        place = names.index(stage) + 1
        return self.stages[place] if place < len(names) else None

    def with_job_options(self, job_options: JobOptions) -> Self:
        """Return its first job with other options: a pipeline is what was declared."""
        return cast("Self", self.stages[0].with_job_options(job_options))

    def __reduce__(self) -> NoReturn:
        raise UsageError(f"{self!r} cannot be an argument of a job: import it there.")

    def __repr__(self) -> str:
        return f"<pipeline {self.pipeline_name}: {' >> '.join(self.stage_names())}>"


_pipelines: dict[str, Pipeline[..., Any]] = {}


def pipeline(
    name: str, stages: Stages[P, F, Any], /, *, at_most: int = 1_000, app: str | None = None
) -> Pipeline[P, F]:
    """Declare a pipeline, at the top level of a module: each item is a job of one stage after another.

        index = pipeline("index", parse >> embed >> store, at_most=10_000)
        enqueue(conn, index, path)

    What a job returns is enqueued for the next stage by the transaction that acknowledges it; of a generator, all that
    it has yielded, at its end. Jobs of a stage start only while the next one has room.

    Args:
        name: 1 to 60 letters, digits, `_`, `-`, `.` and `:`; once in the database.
        stages: jobs, put together with `>>`. Each has its own options: queue, sequence, retries. The last one may have
            `batch=` or `transaction=True`.
        at_most: how many items may wait in each stage behind the first.
        app: whose it is; None: PGJOBS_APP, or else the top-level package of the module that calls this.

    Raises:
        UsageError: a value that cannot be used, or this process has declared another pipeline of that name.

    """
    text = as_str(name)
    if text is None or not _NAME.fullmatch(text):
        raise UsageError(
            f"pipeline({shorten_repr(name)}): give a name of 1 to 60 letters, digits, _, -, . and :, such as 'index'."
        )
    if not has_type(stages, Stages):
        raise UsageError(f"pipeline({text!r}, {shorten_repr(stages)}): give at least two jobs, as in parse >> store.")
    _check_stages(text, stages.jobs)
    namespace = sys._getframe(1).f_globals
    made: Pipeline[P, F] = Pipeline(
        text,
        check_whole("at_most", at_most, 1, MAX_AT_MOST),
        application_of(namespace, app),
        str(namespace.get("__name__", "")),
        stages.jobs,
    )
    before = _pipelines.get(text)
    if before is not None and (before.pipeline_module, before.stage_names()) != (
        made.pipeline_module,
        made.stage_names(),
    ):
        raise UsageError(f"there is another pipeline {text!r} in this process, of {before.pipeline_module}.")
    _pipelines[text] = made
    return made


def declared_pipelines() -> list[Pipeline[..., Any]]:
    """Return the pipelines that were declared in this process."""
    return list(_pipelines.values())


def find_pipeline(name: str, module: str) -> Pipeline[..., Any]:
    """Return the pipeline with this name, after an import of the module that had it when its item was enqueued.

    Raises:
        PayloadError: there is no such pipeline here.

    """
    found = _pipelines.get(name)
    if found is None and module not in MAIN_MODULES:  # to import those is to run them
        import_module(module)
        found = _pipelines.get(name)
    if found is None:
        raise PayloadError(
            f"the payload cannot be loaded: {module}, which had the pipeline {shorten_repr(name)} when this item was "
            "enqueued, has none of that name here: start the worker with --import MODULE, the module that declares it."
        )
    return found


def _options_in(stage: Stage, job: Job[..., Any]) -> JobOptions:
    """Return the options of a job in a stage.

    A sequence is one of its stage alone. Else an item would wait for all items before it that have the same key, also
    for those that cannot start because there is no room for them here.
    """
    options, sequence = job.job_options, job.job_options.flow.sequence
    if sequence is None:
        return options.changed(stage=stage)
    prefix = stage.key.replace("{", "{{").replace("}", "}}")
    return options.changed(stage=stage, sequence=replace(sequence, key=f"{prefix}:{sequence.key}"))


def _stage_of(job: Job[..., Any]) -> Stage:
    stage = job.job_options.flow.stage
    assert stage is not None  # noqa: S101 (it was given one when the pipeline was made)
    return stage


def _stage_names(jobs: Sequence[Job[..., Any]]) -> list[str]:
    """Return what the stages are called: as their functions, with a number where one has come before."""
    names: list[str] = []
    for job in jobs:
        name = task_name(job).rpartition(":")[2].rpartition(".")[2][: _MAX_STAGE_NAME - 4]
        number = sum(other == name or other.startswith(f"{name}-") for other in names) + 1
        names.append(name if number == 1 else f"{name}-{number}")
    return names


def _check_stages(name: str, jobs: Sequence[Job[..., Any]]) -> None:
    """Refuse jobs that cannot be stages.

    Raises:
        UsageError: there is one.

    """
    if not 2 <= len(jobs) <= MAX_STAGES:
        raise UsageError(f"pipeline({name!r}, …) has {len(jobs)} stages: give 2 to {MAX_STAGES}.")
    for place, job in enumerate(jobs):
        options, task, is_last = job.job_options, task_name(job), place == len(jobs) - 1
        if isinstance(job, Pipeline):
            raise UsageError(f"{job!r} cannot be a stage of {name!r}: give its jobs.")
        if "<" in job.__qualname__ and job.declared_name is None:
            raise UsageError(f"{task} is made inside of a function, so no worker would find it: move it to a module.")
        if options.payload == "event":
            raise UsageError(f"{task} is a subscription, and cannot be a stage of {name!r}: give its body a @job.")
        if not is_last and (options.transaction or options.flow.batch is not None):
            what = "transaction=True" if options.transaction else "batch="
            raise UsageError(
                f"{task} has {what}, and only the last stage of {name!r} may: what it returns would not go on together "
                "with its end."
            )
        if is_last and job.is_generator:
            raise UsageError(f"{task} yields values, and is the last stage of {name!r}: nothing takes them.")
        if place:
            _check_next(name, job, task)


def _check_next(name: str, job: Job[..., Any], task: str) -> None:
    given = next((option for option in _ONLY_FIRST if getattr(job.job_options.flow, option)), None)
    if given is not None:
        raise UsageError(f"{task} has {given}=, and only the first stage of {name!r} may: others are not enqueued.")
    mismatch = None if job.job_options.flow.batch is not None else parameters_of(job).mismatch((None,), {})
    if mismatch:
        raise UsageError(f"{task} cannot be called with an item alone, as a stage of {name!r}: {mismatch}.")
