"""What is refused before anything is written, each with one line that names the thing and the way out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime
from threading import Event, Lock
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from pgjobs import EnqueueError, UsageError, configure, enqueue, enqueue_many, job
from pgjobs.db.url import sqlalchemy_url
from pgjobs.payload.argument_advice import advice_on
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.pickling import dump, load
from tests.support import functions
from tests.support.functions import add, fetch_plain, make_closure, numbers, numbers_async, plain, send_receipt


@pytest.fixture(autouse=True)
def nothing_is_written(conn: psycopg.Connection) -> Iterator[None]:
    yield
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)


@pytest.fixture
def without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Stubborn:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


@pytest.mark.parametrize("cloudpickle", [True, False])
@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((Lock(),), {}, "argument 1 'order_id' of tests.support.functions:send_receipt"),
        ((1,), {"copy": Lock()}, "argument 'copy' of tests.support.functions:send_receipt"),
        (([1, {"deep": Lock()}],), {}, "argument 1 'order_id'"),
        ((sys.stdout,), {}, "argument 1 'order_id'"),
        ((Stubborn(ZeroDivisionError("own\nreason")),), {}, "argument 1 'order_id' .* ZeroDivisionError: own reason"),
    ],
)
def test_an_argument_that_cannot_be_pickled_is_named(
    conn: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    args: Any,
    kwargs: Any,
    named: str,
    cloudpickle: bool,
) -> None:
    if not cloudpickle:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(EnqueueError, match=named):
        enqueue(conn, send_receipt, *args, **kwargs)


def test_an_open_file_is_refused_although_cloudpickle_would_copy_it(conn: psycopg.Connection) -> None:
    with open(__file__) as file:  # noqa: PTH123 (any open file)
        assert "argument 1 'text'" in refusal(lambda: enqueue(conn, plain, file))


def test_what_has_no_name_needs_cloudpickle(conn: psycopg.Connection, without_cloudpickle: None) -> None:
    assert "the callable itself" in refusal(lambda: enqueue(conn, lambda: 1))
    said = refusal(lambda: enqueue(conn, make_closure(1), 1))
    assert "install pgjobs-runner[cloudpickle]" in said
    assert "top level of a module" in said
    assert "argument 1 'text'" in refusal(lambda: enqueue(conn, plain, lambda: 1))


def test_a_job_that_is_not_what_its_name_leads_to_is_refused(conn: psycopg.Connection) -> None:
    assert "it's not the same object as" in refusal(lambda: enqueue(conn, functions.lost))


def test_a_payload_over_the_limit_is_refused_with_both_sizes(conn: psycopg.Connection) -> None:
    said = refusal(lambda: enqueue(conn, plain, "x" * 2**20))
    assert "1,048,6" in said
    assert "and 1,048,576 are allowed" in said
    configure(max_payload=100)
    assert "and 100 are allowed" in refusal(lambda: enqueue(conn, plain, "x" * 100))


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing a required argument: 'order_id'"),
        ((), {"order": 1}, "missing a required argument: 'order_id' (it has no 'order'; did you mean order_id?)"),
        ((1, True), {}, "too many positional arguments"),
        ((1,), {"kopy": True}, "got an unexpected keyword argument 'kopy'"),
        ((1,), {"order_id": 2}, "multiple values for argument 'order_id'"),
    ],
)
def test_arguments_that_do_not_fit_the_callable_are_refused(
    conn: psycopg.Connection, args: Any, kwargs: Any, reason: str
) -> None:
    said = refusal(lambda: enqueue(conn, send_receipt, *args, **kwargs))
    assert said == f"tests.support.functions:send_receipt cannot be called with these arguments: {reason}."


def label(order_id: int, **more: object) -> None: ...


def move(queue: str) -> None: ...


def test_arguments_that_the_callable_has_are_not_called_wrong(conn: psycopg.Connection) -> None:
    said = refusal(lambda: enqueue(conn, label, colour="red"))  # type: ignore[call-overload]
    assert said.endswith("missing a required argument: 'order_id'.")
    said = refusal(lambda: enqueue(conn, move, queue="mail", wrong=1))  # type: ignore[call-overload]
    assert said.endswith("got an unexpected keyword argument 'wrong'.")


@pytest.mark.parametrize(
    ("function", "kwargs", "hint"),
    [
        (send_receipt, {"delay": 5}, "delay= is an option: enqueue(conn, send_receipt.options(delay=5), …)."),
        (
            send_receipt,
            {"countdown": 5},
            "countdown= is delay= here, and an option: enqueue(conn, send_receipt.options(delay=…), …).",
        ),
        (send_receipt, {"backoff": 5}, "backoff= is an option of the job: @job(backoff=…)."),
        (
            plain,
            {"priority": 1},
            "priority= is an option: decorate plain with @job, then enqueue(conn, plain.options(priority=1), …).",
        ),
        (send_receipt, {"args": (1,)}, "Arguments are given as they are: enqueue(conn, function, 1, 2)."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_option_among_the_arguments_is_refused_with_where_it_goes(
    conn: psycopg.Connection, function: Any, kwargs: Any, hint: str
) -> None:
    said = refusal(lambda: enqueue(conn, function, 1, **kwargs))
    assert said.endswith(f"got an unexpected keyword argument {next(iter(kwargs))!r}. {hint}")


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> None: ...


class Kept:
    def __init__(self, value: object) -> None:
        self.value = value


@pytest.mark.parametrize("name", ["argument 1 'text'", "argument 'text'"])
def test_argument_that_cannot_travel_is_refused_with_what_to_pass(conn: psycopg.Connection, name: str) -> None:
    engine = create_engine("postgresql+psycopg://nowhere/x")
    started = coroutine()
    for value, advice in [
        (engine, "open it in the job, from an engine or a pool that a module keeps."),
        (Session(engine), "open it in the job"),
        (sessionmaker(engine), "open it in the job"),
        (conn, "open it in the job"),
        ({"deep": [engine]}, "the Engine in it: open it in the job"),
        (Kept(engine), "the Engine in it: open it in the job"),
        (
            Lock(),
            "create it in the module of the job; what must not run twice at once is limited by @job(limit=Limit(…",
        ),
        (Event(), "create it in the module of the job"),
        (sys.stdout, "pass the path of the file, or its content"),
        (generator(), "pass a list of what it yields"),
        (started, "await it, and pass its result"),
        (ContextVar("x"), "pass its value"),
        (
            Stubborn(ValueError("no")),
            "pass plain values, such as ids, texts and numbers, and make the object in the job",
        ),
    ]:
        args, kwargs = ((value,), {}) if "1" in name else ((), {"text": value})
        said = refusal(lambda args=args, kwargs=kwargs: enqueue(conn, plain, *args, **kwargs))  # type: ignore[misc]  # bound now
        assert said.startswith(f"{name} of tests.support.functions:plain cannot be pickled: "), said
        assert f" Instead: {advice}" in said, said
    started.close()


@pytest.mark.parametrize(
    "options",
    [
        {"run_at": datetime(2040, 1, 1)},  # noqa: DTZ001 (naive is the subject)
        {"priority": 10},
        {"priority": -1},
        {"queue": ""},
        {"queue": "q" * 101},
    ],
)
def test_options_that_cannot_be_used_are_refused_by_name(conn: psycopg.Connection, options: Any) -> None:
    assert next(iter(options)) in refusal(lambda: enqueue(conn, add.options(**options), 1))


def test_what_is_not_callable_is_refused(conn: psycopg.Connection) -> None:
    wrong: Any
    for wrong in (b"shop.tasks:send", None, 1):
        assert "pass the function itself" in refusal(lambda wrong=wrong: enqueue(conn, wrong, 1))  # type: ignore[misc]
    called: Any = fetch_plain("x")
    assert "fetch_plain was called already" in refusal(lambda: enqueue(conn, called))


@pytest.mark.parametrize("function", [numbers, numbers_async])
def test_a_generator_function_is_refused(conn: psycopg.Connection, function: Any) -> None:
    assert "calling it would run none of it" in refusal(lambda: enqueue(conn, function))
    assert "items for the next stage of a pipeline" in refusal(lambda: enqueue(conn, job(function)))


# -- __main__ --------------------------------------------------------------------------------------------------------


class InMain:
    pass


def in_main(value: object = None) -> None:
    pass


@pytest.fixture
def main_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this module is the script that was started."""
    for defined in (InMain, in_main):
        monkeypatch.setattr(defined, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], defined.__name__, defined, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/srv/shop/tasks.py", raising=False)


@pytest.mark.parametrize(
    ("callable", "args"),
    [(in_main, ()), (functools.partial(in_main, 1), ()), (InMain, ()), (plain, (InMain(),)), (plain, ([in_main],))],
)
def test_what_is_defined_in_main_is_refused_with_the_way_out(
    conn: psycopg.Connection, main_script: None, callable: Any, args: Any
) -> None:
    said = refusal(lambda: enqueue(conn, callable, *args))
    assert "is defined in __main__" in said
    assert "`from tasks import" in said


def test_a_text_that_says_main_is_not_a_reason(conn: psycopg.Connection, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        enqueue(other, plain, ["__main__", ("__main__", "in_main"), {"__main__": "__main__"}])
        other.rollback()


def test_a_lambda_of_main_travels_by_value(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = lambda: 1  # noqa: E731 (a lambda is the subject)
    nameless.__module__ = "__main__"
    assert load(dump(nameless, (), {}))() == 1
    with psycopg.connect(database_url) as other:
        enqueue(other, nameless)
        other.rollback()


# -- enqueue_many ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("abc", "an iterable of tuples"),
        (7, "an iterable of tuples"),
        ({"left": 1}, "an iterable of tuples"),
        ([1, 2], "item 0 .*\\(42,\\)"),
        (["ab"], "item 0 .*\\(42,\\)"),
        ([(1,), [2]], "item 1 .*\\(42,\\)"),
        ([(1,), (1, 2, 3)], "item 1 .*too many positional"),
        ([(1,), (Lock(),)], "item 1 .*argument 1 'left'"),
        ([{"left": 1}, {"wrong": 1}], "item 1 .*'left'"),
    ],
)
def test_an_item_that_cannot_be_used_is_named(conn: psycopg.Connection, items: Any, said: str) -> None:
    with pytest.raises(EnqueueError, match=said):
        enqueue_many(conn, add, items)


def test_a_bad_item_in_a_later_statement_is_rolled_back_with_the_rest(database_url: str) -> None:
    items: Any = [(n,) for n in range(4_500)] + [()]
    with pytest.raises(EnqueueError, match="item 4500 "), psycopg.connect(database_url) as other:
        enqueue_many(other, add, items)


def test_rows_of_sqlalchemy_are_taken_as_tuples(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        found: Any = connection.execute(text("SELECT n, 1 FROM generate_series(1, 3) AS n"))
        assert len(enqueue_many(connection, add, found)) == 3
        connection.rollback()


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("shop.tasks.remind", "`from shop.tasks import remind`, and pass remind itself."),
        ("shop.tasks:Mailer.send", "`from shop.tasks import Mailer`, and pass Mailer.send itself."),
        ("remind", "import the function, and pass it."),
    ],
)
def test_a_function_is_not_found_by_its_name_and_how_it_is_imported_is_said(
    conn: psycopg.Connection, name: str, way: str
) -> None:
    for call in (lambda: enqueue(conn, name, 1), lambda: enqueue_many(conn, name, [(1,)])):  # type: ignore[call-overload]  # wrong
        assert refusal(call) == f"'{name}' is a text, and not a function: {way}"


def test_names_of_arguments_that_are_no_strings_are_refused_in_one_line() -> None:
    with pytest.raises(EnqueueError, match=r"plain cannot be called .* keywords must be strings \(it has no 'y'\)\.$"):
        encoder_for(plain).encode((), {1: 2, "y": 3})  # type: ignore[dict-item]  # as a caller may


def test_the_search_for_what_cannot_travel_ends_in_large_values() -> None:
    assert advice_on([Lock(), 1]).startswith("the lock in it:")
    assert advice_on([Lock(), *range(10_000)]).startswith("pass plain values")
