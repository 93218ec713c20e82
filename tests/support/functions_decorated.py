"""Functions with decorators around them: below `@job`, above it, and on both sides."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pgjobs import job


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("a session", *args, **kwargs)

    return wrapper


def with_session_of_self(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(self: object, *args: Any, **kwargs: Any) -> Any:
        return function(self, "a session", *args, **kwargs)

    return wrapper


def as_tenant(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(tenant: str, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@job
@with_session
def send(session: str, order_id: int) -> str:
    return f"{session} {order_id}"


@job(payload="json")
@with_session
def send_json(session: str, order_id: int) -> None: ...


@job(unique="{tenant}:{day}")
@as_tenant
def report(day: str) -> None: ...


@job(unique="{order_id}")
@with_session
def send_once(session: str, order_id: int) -> None: ...


@job(unique="{order_id}")
@with_session
def pay_once(session: str, order_id: int, cents: int) -> None: ...


@job
@with_session
def log_in(session: str, password: str) -> None: ...


@timed
@job(queue="mail", max_attempts=1, timeout=30, unique="once:{n}", retry_on=OSError)
def above(n: int) -> None: ...


@timed
@job(payload="json")
def above_json(n: int) -> None: ...


@timed
@job(name="tests.above-named")
def above_named(n: int) -> None: ...


class Sender:
    @timed
    @job(queue="mail")
    def above(self, n: int) -> int:
        return n

    @timed
    def send(self, order_id: int) -> None: ...

    @job
    @with_session_of_self
    def deliver(self, session: str, order_id: int) -> None: ...

    @job
    @timed
    def below(self, n: int) -> int:
        return n


@job(payload="json")
def moved(n: int) -> int:
    return n
