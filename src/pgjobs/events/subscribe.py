"""`@subscribe` and `topic()`: what an application does with events, declared in code.

A declaration is a value that this process keeps. `pgjobs work --import MODULE` writes what was declared while its
modules were imported; nothing else here touches a database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, Unpack, cast

from pgjobs.core.application import application_of
from pgjobs.core.callables import parameters_of
from pgjobs.core.durations import check_duration
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import Seconds, as_str, check_choice, has_type
from pgjobs.events.subscription import StoredSubscription, StoredTopic, signed
from pgjobs.flow.options import NamedBreaker
from pgjobs.flow.topics import check_pattern
from pgjobs.flow.values import Limit, OnFailure
from pgjobs.jobs.checks import check_no_generator
from pgjobs.jobs.event import Event
from pgjobs.jobs.job import Job, job, task_name
from pgjobs.jobs.options import ExceptionTypes, Executor
from pgjobs.jobs.retry import Backoff
from pgjobs.payload.encoder import columns_for
from pgjobs.payload.keys import SEPARATOR, FlowKeys
from pgjobs.payload.summary import Summarizer

R = TypeVar("R")


class SubscriptionOptions(TypedDict, total=False):
    """The options of `@subscribe`: those of `@job` that an event's job can have. Keys are the same for all events."""

    queue: str
    """Where its jobs go, up to 100 characters. Default: "default"."""
    priority: int
    """0 (first) to 9 (last). Default: 5."""
    max_attempts: int
    """How often a job may be tried. Default: 5."""
    timeout: Seconds | None
    """What an attempt may take. None, the default: no limit."""
    executor: Executor | None
    """Where it runs. None, the default: "async" for `async def`, "thread" for all else."""
    backoff: Backoff | Seconds | None
    """The time between attempts, or a function from the attempt (1, 2, …) to it. None: `ExponentialBackoff()`."""
    retry_on: ExceptionTypes
    """The exceptions that are worth another attempt. None given: all of them."""
    give_up_on: ExceptionTypes
    """The exceptions that are not, even if `retry_on` has them."""
    limit: str | Limit | None
    """The key that limits look at, or the key with its limit."""
    fair_by: str | None
    """A key in braces of the metadata, such as "{meta.tenant}": these take turns."""
    breaker: str | NamedBreaker | None
    """A circuit breaker, or the name of one."""
    expires: Seconds | None
    """How long after its publication an event is worth handling. None, the default: forever."""
    summary: bool
    """Whether a readable form is stored with the job: its function, the topic and the event's id. Default: True."""
    meta: Mapping[str, Any] | None
    """A JSON object of up to 4 kB that travels with each job: `current_job().meta`."""
    result: bool | Seconds | None
    """How long what it returns is kept. True: a day. Default: nothing is kept."""
    aliases: Iterable[str]
    """Older names: jobs that have one of them still find the function."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that keeps its events, as `topic` declares it. `keep`: in seconds."""

    pattern: str
    keep: float
    app: str


_subscriptions: dict[str, StoredSubscription] = {}
_topics: dict[str, StoredTopic] = {}


def subscribe(
    pattern: str,
    /,
    *,
    name: str | None = None,
    on_failure: OnFailure = "block",
    app: str | None = None,
    **options: Unpack[SubscriptionOptions],
) -> _Subscriber:
    """Declare that a function gets a job for each event whose topic matches a pattern.

        @subscribe("order.*", queue="mail")
        def receipt(event: Event) -> None: ...

    Workers that import this (`pgjobs work --import`) write it into `pgjobs.subscriptions`; what is published from then
    on makes a job for it. The function may have several subscriptions, each with a name of its own.

    Args:
        pattern: a topic, in which `*` stands for one segment, and `#` for any number of them: "order.*", "order.#".
        name: what it is called, once in the database, which is also the name of its task; None: `module:qualname`.
        on_failure: what a failed job does to those behind it, for events that were published with a `sequence`:
            "block" them until an operator decides, let them "skip" it, or "end" the sequence, which cancels them.
        app: whose it is; None: PGJOBS_APP, or else the top-level package of the module that calls this.
        options: see `SubscriptionOptions`.

    Raises:
        UsageError: a value that cannot be used, or another subscription of this process has that name.

    """
    for option in options:
        if option not in SubscriptionOptions.__annotations__:
            known = ", ".join(sorted(SubscriptionOptions.__annotations__))
            raise UsageError(f"@subscribe({shorten_repr(option)[1:-1]}=…): there is no such option; there are {known}.")
    if has_type(pattern, Job) or (callable(pattern) and as_str(pattern) is None):
        raise UsageError('@subscribe needs a pattern, as in @subscribe("order.*").')
    owner = application_of(sys._getframe(1).f_globals, app)
    check_choice("on_failure", on_failure, ("block", "skip", "end"))
    return _Subscriber(check_pattern(pattern), name, on_failure, owner, options)


class _Subscriber:
    """`@subscribe(…)`, waiting for its function."""

    __slots__ = ("_app", "_name", "_on_failure", "_options", "_pattern")

    def __init__(self, pattern: str, name: str | None, on_failure: str, app: str, options: SubscriptionOptions) -> None:
        self._pattern, self._name, self._on_failure, self._app = pattern, name, on_failure, app
        self._options = options

    def __call__(self, function: Callable[[Event], R], /) -> Job[[Event], R]:
        """Declare the subscription of a function, and return its job; of a job, the job as it was.

        Raises:
            UsageError: it is not a function of one argument, or its subscription needs a name of its own.

        """
        inner: Any = function
        if has_type(function, Job):
            if self._name is None:
                raise UsageError(
                    f"{task_name(function)} is a job already: give its subscription to {self._pattern} a name of its "
                    "own, name=…."
                )
            inner = inner.function
        arguments = cast("Any", self._options)  # which are options of `job`, too
        made = job(name=self._name, **arguments)(inner)
        made.job_options = made.job_options.changed(payload="event")
        self._check(made)
        stored = self._stored(made)
        before = _subscriptions.get(stored.name)
        if before is not None and before != stored:
            raise UsageError(
                f"there is another subscription {stored.name!r} in this process (to {before.pattern}): give this one a "
                "name of its own, name=…."
            )
        _subscriptions[stored.name] = stored
        return cast("Job[[Event], R]", function if inner is not function else made)

    @staticmethod
    def _check(made: Job[..., Any]) -> None:
        name = made.__qualname__
        if "<" in name:
            raise UsageError(
                f"{name} is made inside of a function, so a worker could not find it: move it to a module."
            )
        check_no_generator(made.function)
        mismatch = parameters_of(made.function).mismatch((Event("topic"),), {})
        if mismatch:
            raise UsageError(f"{name} cannot be called with an event alone: {mismatch}.")
        for option, parameter in made.job_options.flow.named():
            raise UsageError(
                f"{option} of {name} takes the value of {shorten_repr(parameter)}, and a key of a subscription is the "
                "same for all events: leave it out. What keeps the order of events is publish(…, sequence=…)."
            )
        if has_type(made.job_options.flow.expires, float) or made.job_options.flow.expires is None:
            return
        raise UsageError(f"expires of {name} is a time: give seconds or a timedelta, from the publication of an event.")

    def _stored(self, made: Job[..., Any]) -> StoredSubscription:
        options, task = made.job_options, task_name(made)
        columns, flow = columns_for(options, task), options.flow
        lane, cost = None, None
        if flow.is_used:
            lane, cost, _ = FlowKeys(made, task, options.queue, flow, options.meta).call_keys((), {})
        fair_by, limit_key, _, breaker = (lane or SEPARATOR * 3).split(SEPARATOR)
        return StoredSubscription(
            name=task,
            app=self._app,
            pattern=self._pattern,
            queue=columns.queue,
            priority=columns.priority,
            max_attempts=columns.max_attempts,
            timeout=columns.timeout,
            executor=columns.executor,
            meta=columns.meta,
            expires=cast("float | None", flow.expires),
            limit_key=limit_key or None,
            fair_by=fair_by or None,
            breaker=breaker or None,
            cost=cost,
            on_failure=self._on_failure,
            summary=Summarizer(made).name if options.summary else None,
        )


def topic(pattern: str, /, *, keep: Seconds | str, app: str | None = None) -> Topic:
    """Declare that events of some topics are kept for a while, so that they can be replayed to a subscription.

        topic("order.*", keep="7d")

    Workers that import this write it into `pgjobs.topics`. Where several match a topic, the longest time counts.

    Args:
        pattern: as of `subscribe`.
        keep: how long: "90s", "30min", "12h", "7d", "2w", seconds or a timedelta; ten years at most.
        app: as of `subscribe`.

    Raises:
        UsageError: a value that cannot be used, or this process has declared another time for the pattern.

    """
    made = Topic(
        check_pattern(pattern), check_duration("keep", keep, least=1.0), application_of(sys._getframe(1).f_globals, app)
    )
    stored = StoredTopic(made.pattern, made.app, made.keep)
    before = _topics.get(made.pattern)
    if before is not None and before != stored:
        raise UsageError(f"{made.pattern} keeps its events for {before.keep:g} s, as declared before: declare it once.")
    _topics[made.pattern] = stored
    return made


def declared_subscriptions() -> list[StoredSubscription]:
    """Return the subscriptions that were declared in this process, signed with the key that it has now."""
    return [signed(made) for made in _subscriptions.values()]


def declared_topics() -> list[StoredTopic]:
    """Return the topics that were declared in this process."""
    return list(_topics.values())
