"""`@job`: still the function, found by its name, and clear about what it cannot decorate."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import operator
import os
import pickle
import pydoc
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pgjobs import Batch, ExponentialBackoff, Job, UsageError, job
from pgjobs.jobs.job import is_async, options_of, task_name
from pgjobs.jobs.options import JobArguments, JobOptions, OptionChanges
from pgjobs.jobs.other_names import OPTIONS
from tests.support import functions
from tests.support.functions import AsyncCallable, Mailer, add, fetch, fetch_plain, plain, send_receipt


def test_it_still_is_the_function() -> None:
    assert add(1, right=2) == 3
    assert add.__name__ == add.__qualname__ == "add"
    assert add.__doc__ == "Add."
    assert add.__module__ == "tests.support.functions"
    assert list(inspect.signature(add).parameters) == ["left", "right"]
    assert add.__wrapped__ is add.function
    assert "Add." in pydoc.render_doc(add)
    assert repr(add) == "<job tests.support.functions:add>"


def test_a_coroutine_function_still_is_one() -> None:
    assert asyncio.run(fetch("x")) == "x"
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(fetch)
        assert not inspect.iscoroutinefunction(add)


def test_options_leave_the_job_as_it_was() -> None:
    changed = send_receipt.options(queue="vip", priority=0, delay=60)
    assert changed(7) == "7 False"
    assert (changed.job_options.queue, changed.job_options.priority, changed.job_options.delay) == ("vip", 0, 60)
    assert changed.job_options.max_attempts == 7
    assert (send_receipt.job_options.queue, send_receipt.job_options.priority) == ("mail", 3)
    assert changed.options(queue="mail").base is changed.base is send_receipt


def test_options_that_do_not_exist_or_belong_to_the_decorator_are_refused() -> None:
    with pytest.raises(UsageError, match=r"backoff=…\) cannot be changed"):
        add.options(backoff=3)  # type: ignore[call-arg]  # wrong on purpose
    with pytest.raises(UsageError, match="priority=10"):
        add.options(priority=10)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: add.options(**of("sequnce")), "options(sequnce=…): there is no such option; did you mean sequence=?"),
        (
            lambda: add.options(**of("back_off")),
            "options(back_off=…): there is no such option; did you mean backoff=, which is given to @job?",
        ),
        (
            lambda: add.options(**of("payload")),
            "options(payload=…) cannot be changed at enqueue: give it to @job(payload=…).",
        ),
        (lambda: job(**of("after")), "@job(after=…) is for one enqueue: give it to .options(after=…)."),
        (lambda: job(**of("if_failed")), "@job(if_failed=…) is for one enqueue: give it to .options(if_failed=…)."),
        (lambda: job(**of("quue")), "@job(quue=…): there is no such option; did you mean queue=?"),
        (
            lambda: job(**of("dely")),
            "@job(dely=…): there is no such option; did you mean delay=, which is given to .options()?",
        ),
    ],
    ids=["options", "options of job", "of job", "after", "if_failed", "job", "job of options"],
)
def test_a_name_that_is_not_an_option_is_refused_with_the_one_that_was_meant(
    call: Callable[[], object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: add.options(**of("countdown")),
            "options(countdown=…): there is no such option: countdown= is delay= here.",
        ),
        (lambda: add.options(**of("eta")), "options(eta=…): there is no such option: eta= is run_at= here."),
        (lambda: job(**of("retries")), "@job(retries=…): there is no such option: retries= is max_attempts= here."),
        (
            lambda: job(**of("countdown")),
            "@job(countdown=…): there is no such option: countdown= is delay= here, and goes to .options().",
        ),
        (
            lambda: add.options(**of("autoretry_for")),
            "options(autoretry_for=…): there is no such option: autoretry_for= is retry_on= here, and goes to @job.",
        ),
        (
            lambda: job(**of("bind")),
            "@job(bind=…): there is no such option: bind= has no counterpart: current_job() is what ",
        ),
    ],
    ids=["countdown", "eta", "retries", "of options", "of job", "bind"],
)
def test_option_of_another_queue_is_refused_with_its_name_here(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value).startswith(said)


def test_every_other_name_of_an_option_leads_to_one_that_exists() -> None:
    assert set(OPTIONS.values()) <= {*JobArguments.__annotations__, *OptionChanges.__annotations__}
    assert not set(OPTIONS) & {*JobArguments.__annotations__, *OptionChanges.__annotations__}


def test_method_of_another_queue_is_missing_with_what_to_call_here() -> None:
    for name, said in [
        ("delay", r"enqueue\(conn, add, …\)"),
        ("send", r"enqueue\(conn, add, …\)"),
        ("defer", r"enqueue\(conn, add, …\)"),
        ("apply_async", r"enqueue\(conn, add.options\(delay=…, queue=…\), …\)"),
        ("map", r"enqueue_many\(conn, add, "),
        ("retry", r"raise Retry\(…\)"),
    ]:
        with pytest.raises(AttributeError, match=f"'Job' object has no attribute '{name}'.*{said}"):
            getattr(add, name)
        assert not hasattr(add, name)
    with pytest.raises(AttributeError, match=r"^'Job' object has no attribute 'nonsense'$"):
        getattr(add, "nonsense")  # noqa: B009 (a type checker knows as well)


def test_a_name_that_is_like_no_option_is_refused_with_all_that_there_are() -> None:
    for call, option in ((add.options, "after"), (job, "backoff")):
        with pytest.raises(UsageError, match=rf"\(xyzzy=…\): there is no such option; there are .*{option}"):
            call(**of("xyzzy"))


def of(name: str) -> Any:
    return {name: 3}


def test_it_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(add)) is add
    assert copy.deepcopy(add) is add
    assert b"tests.support.functions" in pickle.dumps(add)
    assert pickle.loads(pickle.dumps(Mailer.check)) is Mailer.check


def test_changed_options_survive_as_an_argument_of_another_job() -> None:
    at = datetime(2040, 1, 1, tzinfo=UTC)
    for changed in (
        add.options(queue="vip", delay=3),
        add.options(run_at=at),
        add.options(timeout=1).options(queue="x"),
    ):
        back = pickle.loads(pickle.dumps(changed))
        assert back.job_options == changed.job_options
        assert back.base is add


def test_a_decorated_method_is_bound_as_any_other_and_survives_pickling() -> None:
    mailer = Mailer("mx")
    bound = mailer.send_later
    assert bound("a") == Mailer.send_later(mailer, "a") == "a through mx, later"
    assert list(inspect.signature(bound).parameters) == ["to"]
    assert bound.options(delay=3)("a") == "a through mx, later"
    for travelled in (bound, bound.options(delay=3)):
        back = pickle.loads(pickle.dumps(travelled))
        assert back("b") == "b through mx, later"
        assert back.job_options == travelled.job_options
    made: Any = Mailer.make  # type checkers do not see through @classmethod here
    assert made("mx") == "Mailer mx"
    assert pickle.loads(pickle.dumps(made))("mx") == "Mailer mx"
    assert Mailer.check("a") == "a is fine"


class _Class:
    pass


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("mail", "@job\\(queue='mail'\\)"),
        (add, "add is a job already"),
        (staticmethod(plain), "below @staticmethod"),
        (classmethod(plain), "below @classmethod"),
        (_Class, "is a class"),
        (7, "is not callable"),
        (functools.partial(plain), "enqueue a partial as it is"),
    ],
)
def test_what_cannot_be_decorated_is_refused_with_the_way_out(wrong: Any, said: str) -> None:
    for decorate in (job, job(queue="mail")):
        with pytest.raises(UsageError, match=said):
            decorate(wrong)


@pytest.mark.parametrize("function", [functions.numbers, functions.numbers_async])
def test_a_generator_cannot_be_one_of_batches(function: Any) -> None:
    with pytest.raises(UsageError, match="generator function"):
        job(batch=Batch(10))(function)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"queue": ""}, "queue="),
        ({"priority": 10}, "priority="),
        ({"max_attempts": 0}, "max_attempts="),
        ({"timeout": 0}, "timeout="),
        ({"executor": "gpu"}, "executor="),
        ({"backoff": "soon"}, "backoff="),
        ({"retry_on": "OSError"}, "retry_on="),
        ({"give_up_on": (1,)}, "give_up_on="),
    ],
)
def test_options_are_checked_when_it_is_decorated(wrong: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        job(**wrong)


def test_the_retry_policy_is_kept() -> None:
    @job(backoff=ExponentialBackoff(base=1), retry_on=OSError, give_up_on=(FileNotFoundError,))
    def inner() -> None: ...

    policy = inner.job_options.policy
    assert policy.backoff == ExponentialBackoff(base=1)
    assert policy.retry_on == (OSError,)
    assert policy.give_up_on == (FileNotFoundError,)
    assert inner.options(queue="x").job_options.policy is policy


def test_options_are_found_behind_partials_and_methods() -> None:
    assert options_of(send_receipt).queue == "mail"
    assert options_of(functools.partial(functools.partial(send_receipt.options(queue="vip")), 1)).queue == "vip"
    assert options_of(Mailer("mx").send_later).queue == "mail"
    assert options_of(Mailer.make).queue == "class"
    assert options_of(plain) == options_of(len) == options_of(Mailer) == JobOptions()


@pytest.mark.parametrize(
    ("callable", "name"),
    [
        (add, "tests.support.functions:add"),
        (add.options(delay=1), "tests.support.functions:add"),
        (plain, "tests.support.functions:plain"),
        (functools.partial(functools.partial(add, 1), 2), "tests.support.functions:add"),
        (Mailer("mx").send, "tests.support.functions:Mailer.send"),
        (Mailer("mx").send_later, "tests.support.functions:Mailer.send_later"),
        (Mailer.make, "tests.support.functions:Mailer.make"),
        (Mailer, "tests.support.functions:Mailer"),
        (Mailer("mx"), "tests.support.functions:Mailer"),
        (len, "builtins:len"),
        (os.getpid, "posix:getpid"),
        ("abc".upper, "builtins:str.upper"),
        (str.upper, "builtins:str.upper"),
        (operator.itemgetter(1), "operator:itemgetter"),
        (dict.fromkeys, "builtins:dict.fromkeys"),
    ],
)
def test_a_task_is_named_by_its_module_and_what_runs(callable: Any, name: str) -> None:
    assert task_name(callable) == name


@pytest.mark.parametrize(
    ("callable", "expected"),
    [
        (fetch, True),
        (fetch_plain, True),
        (fetch.options(delay=1), True),
        (functools.partial(fetch, "x"), True),
        (functools.partial(fetch_plain, "x"), True),
        (AsyncCallable(), True),
        (AsyncCallable().__call__, True),
        (functools.partial(AsyncCallable()), True),
        (AsyncCallable, False),
        (add, False),
        (plain, False),
        (Mailer("mx"), False),
        (Mailer("mx").send_later, False),
        (len, False),
        (Mailer, False),
    ],
)
def test_a_coroutine_function_is_recognised_behind_what_wraps_it(callable: Any, expected: bool) -> None:
    assert is_async(callable) is expected


def test_a_job_made_in_a_function_is_by_value() -> None:
    @job(queue="inner")
    def inner() -> int:
        return 1

    assert isinstance(inner, Job)
    with pytest.raises((AttributeError, pickle.PicklingError), match="inner"):
        pickle.dumps(inner)


def test_private_names_are_not_looked_for_among_those_of_other_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pgjobs.jobs.other_names", raising=False)
    assert not hasattr(job(len), "_repr_html_")  # as notebooks and debuggers ask
    assert "pgjobs.jobs.other_names" not in sys.modules
