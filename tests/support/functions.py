"""Functions that many tests enqueue: a worker could import them from here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from pgjobs import job


@job
def add(left: int, right: int = 0) -> int:
    """Add."""
    return left + right


@job(queue="mail", priority=3, max_attempts=7, timeout=1.1, executor="process")
def send_receipt(order_id: int, *, copy: bool = False) -> str:
    return f"{order_id} {copy}"


def plain(text: object) -> object:
    return text


@job
async def fetch(url: str) -> str:
    return url


async def fetch_plain(url: str) -> str:
    return url


def numbers() -> Iterator[int]:
    yield 1


async def numbers_async() -> AsyncIterator[int]:
    yield 1


def log_in(user: str, password: str, *tokens: str, api_key: str = "") -> None:
    pass


@job(summary=False)
def whisper(text: str) -> None:
    pass


class Mailer:
    def __init__(self, host: str) -> None:
        self.host = host

    def send(self, to: str) -> str:
        return f"{to} through {self.host}"

    @job(queue="mail")
    def send_later(self, to: str) -> str:
        return f"{to} through {self.host}, later"

    @staticmethod
    @job(queue="static")
    def check(to: str) -> str:
        return f"{to} is fine"

    @classmethod
    @job(queue="class")
    def make(cls, host: str) -> str:
        return f"{cls.__name__} {host}"

    def __call__(self, to: str) -> str:
        return f"{to} called through {self.host}"


class AsyncCallable:
    async def __call__(self) -> int:
        return 1


def make_closure(number: int) -> Callable[[int], int]:
    def inner(other: int) -> int:
        return number + other

    return inner


def _shadowed() -> int:
    return 1


lost = job(_shadowed)
lost.__qualname__ = "add"  # a name by which something else is found


@job(payload="json")
def tell(a: object = None, b: object = None, **others: object) -> str:
    return f"{a} {b} {others}"
