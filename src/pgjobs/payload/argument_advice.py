"""What to pass instead of an argument that cannot be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any

_MOST = 1_000  # objects that are looked at
_CONNECTION = "open it in the job, from an engine or a pool that a module keeps."
_LOCK = (
    "create it in the module of the job; what must not run twice at once is limited by "
    "@job(limit=Limit(…, concurrency=1))."
)
_FILE = "pass the path of the file, or its content."
_REQUEST = "pass what the job needs of the request, as plain values."

# By the package and the name of a class among the bases of an object's class.
_ADVICE = {
    **{
        ("sqlalchemy", name): _CONNECTION
        for name in (
            *("Engine", "Connection", "Session", "sessionmaker", "scoped_session"),
            *("AsyncEngine", "AsyncConnection", "AsyncSession", "async_sessionmaker", "async_scoped_session"),
        )
    },
    **{("psycopg", name): _CONNECTION for name in ("BaseConnection", "BaseCursor")},
    **{("psycopg2", name): _CONNECTION for name in ("connection", "cursor")},
    **{("sqlite3", name): _CONNECTION for name in ("Connection", "Cursor")},
    **{("redis", name): _CONNECTION for name in ("Redis", "ConnectionPool")},
    ("psycopg_pool", "BasePool"): _CONNECTION,
    ("asyncpg", "Connection"): _CONNECTION,
    ("asyncpg", "Pool"): _CONNECTION,
    ("django", "BaseDatabaseWrapper"): _CONNECTION,
    **{("_thread", name): _LOCK for name in ("lock", "LockType", "RLock")},
    **{("threading", name): _LOCK for name in ("Event", "Condition", "Semaphore", "Barrier", "Thread", "_RLock")},
    ("concurrent", "Executor"): "create it in the job.",
    ("_io", "_IOBase"): _FILE,
    ("tempfile", "_TemporaryFileWrapper"): _FILE,
    ("_socket", "socket"): "pass its address, and connect in the job.",
    ("django", "HttpRequest"): _REQUEST,
    ("starlette", "HTTPConnection"): _REQUEST,
    ("werkzeug", "Request"): _REQUEST,
    ("werkzeug", "LocalProxy"): _REQUEST,
    ("builtins", "generator"): "pass a list of what it yields.",
    ("builtins", "async_generator"): "pass a list of what it yields.",
    ("builtins", "coroutine"): "await it, and pass its result.",
    ("_asyncio", "Future"): "await it, and pass its result.",
    ("_contextvars", "ContextVar"): "pass its value.",
    ("contextvars", "ContextVar"): "pass its value.",
}
_OTHERWISE = "pass plain values, such as ids, texts and numbers, and make the object in the job."


def advice_on(value: object) -> str:
    """Return what to pass instead of a value, or of the first object in it that is known to be the trouble."""
    pending: list[Any] = [value]
    for _ in range(_MOST):
        if not pending:
            break
        each = pending.pop()
        for base in type(each).__mro__:
            advice = _ADVICE.get((base.__module__.partition(".")[0], base.__name__))
            if advice:
                return advice if each is value else f"the {type(each).__name__} in it: {advice}"
        if type(each) in (list, tuple, set, frozenset):
            pending.extend(each)
        elif type(each) is dict:
            pending.extend(each.values())
        else:
            fields = getattr(each, "__dict__", None)
            if isinstance(fields, Mapping):
                pending.extend(fields.values())
            pending.extend(_in_slots(each))
    return _OTHERWISE


def _in_slots(value: object) -> list[object]:
    """Return what an object keeps in its slots, without running its code."""
    found: list[object] = []
    for base in type(value).__mro__:
        for slot in vars(base).values():
            if type(slot) is MemberDescriptorType and slot.__objclass__ is base and base.__module__ != "builtins":
                with suppress(AttributeError):  # nothing is in it yet
                    found.append(slot.__get__(value))
    return found
