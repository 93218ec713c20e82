"""Objects of an ORM are refused as arguments, wherever they are, unless the job lets copies of them through."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from pgjobs import EnqueueError, UsageError, enqueue, enqueue_many, job, schedule
from pgjobs.payload.pickling import load
from tests.support.rows import row_of


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)

    def ship(self) -> None: ...


class Letter:
    """Mapped without a base class."""


registry().map_imperatively(Letter, Table("letters", Base.metadata, Column("id", Integer, primary_key=True)))


class Postcard(Letter):
    """Not mapped itself."""


@dataclass
class Parcel:
    order: Order


@job
def pack(*what: Any, **more: Any) -> None: ...


@job(orm_objects=True)
def pack_copies(*what: Any) -> None: ...


def plain(what: Any) -> None: ...


ADVICE = (
    "an object of SQLAlchemy (Order), and a worker would get a copy, stale or without an id: pass its id, and load it"
)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((Order(id=1),), "argument 1 of tests.payload.test_orm_objects:pack is "),
        ((1, [{"deep": Order(id=1)}]), "argument 2 of tests.payload.test_orm_objects:pack holds "),
        ((Parcel(Order(id=1)),), "argument 1 of tests.payload.test_orm_objects:pack holds "),
        ((functools.partial(plain, Order(id=1)),), "argument 1 of tests.payload.test_orm_objects:pack holds "),
        ((Order(id=1).ship,), "argument 1 of tests.payload.test_orm_objects:pack holds "),
    ],
    ids=["itself", "nested", "dataclass", "partial", "method"],
)
def test_orm_object_is_refused_with_the_argument_that_has_it(
    conn: psycopg.Connection, args: tuple[Any, ...], named: str
) -> None:
    with pytest.raises(EnqueueError) as caught:
        enqueue(conn, pack, *args)
    assert str(caught.value).startswith(named + ADVICE)
    assert "@job(orm_objects=True) lets copies through" in str(caught.value)
    with pytest.raises(EnqueueError, match="item 1 of enqueue_many is refused: argument"):
        enqueue_many(conn, pack, [(1,), args])
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)


def test_orm_object_is_refused_by_name_and_behind_plain_callables(conn: psycopg.Connection) -> None:
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
        (pack, (), {"order": Order(id=1)}, "argument 'order' of .*:pack is "),
        (pack, (Letter(),), {}, r"argument 1 of .*:pack is an object of SQLAlchemy \(Letter\)"),
        (pack, (Postcard(),), {}, r"argument 1 of .*:pack is an object of SQLAlchemy \(Postcard\)"),
        (plain, (Order(id=1),), {}, "argument 1 'what' of .*:plain is .* A function with @job"),
        (Order(id=1).ship, (), {}, "the callable itself of .* holds "),
        (functools.partial(plain, Order(id=1)), (), {}, "the callable itself of .*:plain holds "),
    ]
    for call, args, kwargs, named in calls:
        with pytest.raises(EnqueueError, match=named):
            enqueue(conn, call, *args, **kwargs)
    with pytest.raises(EnqueueError, match=r"argument 1 of .*:pack is "):
        schedule("0 9 * * *", pack, args=(Order(id=1),), name="orm")


def restore(kind: type) -> object:
    return kind()


@pytest.mark.parametrize(
    ("orm", "module", "fields"),
    [
        ("Django", "django.db.models.base", {"id": 1}),  # it pickles by a function of this module
        ("peewee", "peewee", {"__data__": {"id": 1}, "__rel__": {}}),
        ("Tortoise", "tortoise.models", {"id": 1, "_saved_in_db": True}),
    ],
)
def test_object_of_another_orm_is_told_by_the_base_of_its_class(
    conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, orm: str, module: str, fields: dict[str, Any]
) -> None:
    # What pickle and pgjobs see of these libraries, which are not installed here.
    library = ModuleType(module)
    base = type("Model", (), {"__module__": module})
    if orm == "Django":
        copied = FunctionType(restore.__code__, {}, "model_unpickle")
        copied.__module__ = module
        library.__dict__["model_unpickle"] = copied
        setattr(base, "__reduce__", lambda self: (copied, (type(self),), dict(self.__dict__)))  # noqa: B010 (for mypy)
    names = module.split(".")
    for depth in range(1, len(names)):
        monkeypatch.setitem(sys.modules, ".".join(names[:depth]), ModuleType(".".join(names[:depth])))
    monkeypatch.setitem(sys.modules, module, library)
    customer = type("Customer", (base,), {"__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Customer", customer, raising=False)
    value = customer()
    value.__dict__.update(fields)
    with pytest.raises(EnqueueError, match=rf"is an object of {orm} \(Customer\)"):
        enqueue(conn, pack, value)
    assert type(load(row_of(conn, enqueue(conn, pack_copies, value).id)["payload"]).args[0]) is customer


def test_option_lets_copies_through(conn: psycopg.Connection) -> None:
    for call in (pack_copies, pack.options(orm_objects=True)):
        payload = row_of(conn, enqueue(conn, call, Order(id=7), [Letter()]).id)["payload"]
        assert load(payload).args[0].id == 7


def test_what_only_has_the_names_of_an_orm_is_let_through(conn: psycopg.Connection) -> None:
    for value in ("_sa_instance_state", ["django.db.models.base", "__rel__"], {"_saved_in_db": True}, Order):
        assert load(row_of(conn, enqueue(conn, pack, value).id)["payload"]).args == (value,)


def test_the_option_that_lets_them_through_is_true_or_false() -> None:
    with pytest.raises(UsageError, match="orm_objects='no'"):
        job(orm_objects="no")(len)  # type: ignore[call-overload]  # as a caller may
