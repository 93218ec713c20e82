"""`@job(transaction=True)`: a function that gets a connection or session as its first argument, from its worker.

What it gets is what its annotation says. Nothing is imported here to find that out: a function whose annotation names a
class of a library has imported that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_origin,
)

from pgjobs.core.callables import Parameters
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.jobs.job import Job, is_async

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    Passed: TypeAlias = (
        psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | Connection | Session | AsyncConnection | AsyncSession
    )

C = TypeVar("C", bound="Passed")
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class ConnectionKind(Enum):
    """What a function may get: module and class, whether its subclasses will do, and whether it is async."""

    PSYCOPG = ("psycopg", "Connection", False, False)
    PSYCOPG_ASYNC = ("psycopg", "AsyncConnection", False, True)
    CONNECTION = ("sqlalchemy.engine", "Connection", False, False)
    SESSION = ("sqlalchemy.orm", "Session", True, False)
    ASYNC_CONNECTION = ("sqlalchemy.ext.asyncio", "AsyncConnection", False, True)
    ASYNC_SESSION = ("sqlalchemy.ext.asyncio", "AsyncSession", True, True)

    @property
    def is_async(self) -> bool:
        """Whether it is for coroutine functions."""
        return self.value[3]


class Wanted(NamedTuple):
    """What a function gets: an object of this kind, and for a session of this class, which may be a subclass."""

    kind: ConnectionKind
    made: type


class TransactionJob(Job[Concatenate[C, P], R_co], Generic[C, P, R_co]):
    """A job that its worker calls in a transaction: it is enqueued without its first argument, and called with it."""

    wanted: Wanted
    """What its worker passes."""

    def __init__(self, function: Callable[Concatenate[C, P], R_co], *arguments: Any) -> None:
        super().__init__(function, *arguments)
        self.wanted = find_wanted(function)
        self._enqueued = without_first(function)

    @property
    def enqueued_parameters(self) -> Parameters:
        """What it takes when it is enqueued: all but the first one."""
        return self._enqueued


def without_first(function: Callable[..., object]) -> Parameters:
    """Return what a function takes besides its first argument."""
    signature = inspect.signature(function)
    _, *others = signature.parameters.values()
    return Parameters(signature.replace(parameters=others))


_TAKEN = (
    "psycopg's Connection or AsyncConnection, or SQLAlchemy's Connection, Session, AsyncConnection or AsyncSession, "
    "as in `def book(conn: psycopg.Connection, order_id: int)`"
)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def find_wanted(function: Callable[..., object]) -> Wanted:
    """Return what a function wants as its first argument, by the annotation.

    Raises:
        UsageError: it has no first parameter with such an annotation; or the function is async and the connection is
            not, or the other way round.

    """
    name = getattr(function, "__qualname__", repr(function))
    parameter, annotation = _first_annotation(function, name)
    found = _kind_of(annotation)
    if found is None:
        given = "has no annotation" if annotation is inspect.Parameter.empty else f"is a {_shown(annotation)}"
        raise UsageError(
            f"@job(transaction=True): {parameter} of {name} {given}, and the worker passes what this says: {_TAKEN}."
        )
    if found.kind.is_async is not is_async(function):
        kind = "async" if found.kind.is_async else "not async"
        raise UsageError(
            f"@job(transaction=True): {parameter} of {name} is {kind}, and the function is not so: annotate the "
            f"{'synchronous' if found.kind.is_async else 'asynchronous'} kind, or change the function."
        )
    return found


def _first_annotation(function: Callable[..., object], name: str) -> tuple[str, Any]:
    """Return the name of the first parameter, and its annotation as an object.

    Raises:
        UsageError: there is not one, or its annotation cannot be found.

    """
    inner: Any = inspect.unwrap(function)
    try:
        first = next(iter(inspect.signature(inner).parameters.values()), None)
        if first is None or first.kind not in _BY_POSITION:
            raise UsageError(
                f"@job(transaction=True): {name} has no first parameter for the connection that the worker passes: "
                f"annotate it with {_TAKEN}."
            )
        annotation: Any = first.annotation
        names = getattr(inner, "__globals__", {})
        while isinstance(annotation, str):
            annotation = eval(annotation, names)  # noqa: S307 (the application's own code)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"@job(transaction=True): the first annotation of {name} cannot be read ({type(error).__name__}: {error}): "
            "import the class where the module runs, not only under `if TYPE_CHECKING`."
        ) from error
    return first.name, annotation


def _kind_of(annotation: Any) -> Wanted | None:
    while get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    made = get_origin(annotation) or annotation
    if not isinstance(made, type):
        return None
    for kind in ConnectionKind:
        module, name, may_be_subclass, _ = kind.value
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and (made is known or (may_be_subclass and issubclass(made, known))):
            return Wanted(kind, made)
    return None


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type):
        return f"{annotation.__module__.partition('.')[0]} {annotation.__qualname__}"
    return shorten_repr(annotation)
