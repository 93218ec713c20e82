"""Objects of an ORM among the arguments of a call.

They can be pickled, but what arrives is a copy: without an id if it was not flushed, and stale if the row has changed
by the time the job runs. So they are refused unless the job says `orm_objects=True`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from pgjobs.core.errors import EnqueueError
from pgjobs.jobs.job import Job, task_name

# By the module and the name of a class among the bases of an object's class.
_CLASSES = {
    ("django.db.models.base", "Model"): "Django",
    ("django.db.models.query", "QuerySet"): "Django",
    ("peewee", "Model"): "peewee",
    ("tortoise.models", "Model"): "Tortoise",
}


def may_have_some(payload: bytes) -> bool:
    """Return True if a pickle has a name in it that the objects of an ORM have: only then it is worth a closer look."""
    return (
        b"_sa_instance_state" in payload  # SQLAlchemy and SQLModel
        or b"django.db.models" in payload
        or b"__rel__" in payload  # peewee
        or b"_saved_in_db" in payload  # Tortoise
    )


def refuse_orm_objects(callable: Callable[..., Any], parts: Iterator[tuple[str, object]]) -> None:
    """Refuse a call if one of its parts, each with its description, is an object of an ORM or holds one.

    Raises:
        EnqueueError: there is one.

    """
    for what, value in parts:
        found = _first(value)
        if found is None:
            continue
        orm, kind = found
        holds = "is" if kind is type(value) else "holds"
        way_out = "@job(orm_objects=True)" if isinstance(callable, Job) else "A function with @job(orm_objects=True)"
        raise EnqueueError(
            f"{what} of {task_name(callable)} {holds} an object of {orm} ({kind.__name__}), and a worker would get a "
            f"copy, stale or without an id: pass its id, and load it in the job. {way_out} lets copies through."
        )


class _Found(Exception):
    """Ends the search."""

    def __init__(self, orm: str, kind: type) -> None:
        super().__init__(orm)
        self.found = orm, kind


class _Search(pickle.Pickler):
    """Goes where pickle goes, and looks at each object on the way."""

    def persistent_id(self, obj: Any) -> None:
        orm = _orm_of(type(obj))
        if orm is not None:
            raise _Found(orm, type(obj))


def _first(value: object) -> tuple[str, type] | None:
    try:
        _Search(io.BytesIO(), 5).dump(value)
    except _Found as end:
        return end.found
    except Exception:  # it cannot be pickled this way: it has been already, in another one
        return None
    return None


def _orm_of(kind: type) -> str | None:
    if "_sa_class_manager" in kind.__dict__:  # each class with a mapping has its own, and each below it that was called
        return "SQLAlchemy"
    return next((orm for base in kind.__mro__ if (orm := _CLASSES.get((base.__module__, base.__qualname__)))), None)
