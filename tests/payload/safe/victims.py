"""What an allow-list permits in the tests of its attackers: kinds of objects that a careless loader would change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, Flag
from typing import Any, NamedTuple

from pgjobs import job
from pgjobs.jobs.job import Job
from tests.payload.safe import lazy as lazy  # an attribute, so that names can lead through it


class Registry(dict[str, Any]):
    """A dict of its own kind, of which a module has one."""


class Names(list[str]):
    pass


HANDLERS = Registry(charge="real")
NAMES = Names(["real"])
plain_registry: dict[str, Any] = {"charge": "real"}
plain_names = ["real"]


class Config:
    """A shared object."""

    def __init__(self, host: str = "localhost") -> None:
        self.host = host


CONFIG = Config()


def get_config() -> Config:
    return CONFIG


def get_registry() -> dict[str, Any]:
    return plain_registry


def get_names() -> list[str]:
    return plain_names


def get_type() -> type:
    return Config


def get_lazy() -> object:
    return lazy


def make_config(host: str) -> Config:
    return Config(host)


class Single:
    """Every call gives the same one."""

    only: Single | None = None
    value = "real"

    def __new__(cls) -> Single:
        if cls.only is None:
            cls.only = super().__new__(cls)
        return cls.only


Single()


class Sku(str):
    """Has a `__new__` in Python, and a state."""

    shop: str

    def __new__(cls, text: str, shop: str = "") -> Sku:
        self = super().__new__(cls, text.upper())
        self.shop = shop
        return self

    def __getnewargs__(self) -> tuple[str]:
        return (str(self),)


class Color(Enum):
    RED = 1
    BLUE = (2, 3)


class Empty(Enum):
    pass


class Access(Flag):
    READ = 1
    WRITE = 2


class OwnJob(Job[..., Any]):
    """A job whose class is permitted."""


class Meta(type):
    pass


class Inbox(lazy.Box):
    """Has an `add` that it inherited from a class that is not permitted."""


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Order:
    number: int
    lines: list[Any]


@dataclass(frozen=True, slots=True)
class Money:
    cents: int
    currency: str = "EUR"


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, 2


class OutOfStock(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stateful:
    """Reads its own state."""

    def __init__(self) -> None:
        self.seen: object = None

    def __getstate__(self) -> object:
        return ("state", 1)

    def __setstate__(self, state: object) -> None:
        self.seen = state


class Factory:
    """Comes back by a function of its module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str], dict[str, Any]]:
        return make_factory, (self.name,), {"extra": 1}


def make_factory(name: str) -> Factory:
    return Factory(name)


ran: list[object] = []


@job
def note(what: object) -> object:
    ran.append(what)
    return what


@job(payload="json")
def told(number: int) -> int:
    return number


def identity(value: object) -> object:
    return value
