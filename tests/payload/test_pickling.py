"""Payloads: what was enqueued is what runs, and what cannot be loaded says why in one line."""

from __future__ import annotations

import functools
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pgjobs import EnqueueError, JobTimeout, PayloadError, job
from pgjobs.jobs.job import options_of
from pgjobs.payload.pickle_refusals import PROTOCOL
from pgjobs.payload.pickling import dump, load
from tests.support.functions import Mailer, add, make_closure, plain, send_receipt


@pytest.mark.parametrize(
    ("callable", "args", "kwargs", "result"),
    [
        (add, (1, 2), {}, 3),
        (add.options(queue="vip"), (1,), {"right": 2}, 3),
        (plain, ([1, {"a": (None, b"x")}],), {}, [1, {"a": (None, b"x")}]),
        (functools.partial(add, 1), (), {"right": 5}, 6),
        (functools.partial(add.options(delay=3), 1), (1,), {}, 2),
        (Mailer("mx").send, ("a",), {}, "a through mx"),
        (Mailer("mx").send_later, ("a",), {}, "a through mx, later"),
        (Mailer.make, ("mx",), {}, "Mailer mx"),
        (Mailer.check, ("a",), {}, "a is fine"),
        (Mailer("mx"), ("a",), {}, "a called through mx"),
        (len, ("abc",), {}, 3),
        ("abc".upper, (), {}, "ABC"),
        (complex, (1, 2), {}, 1 + 2j),
        (lambda x: x + 1, (1,), {}, 2),
        (make_closure(40), (2,), {}, 42),
        (plain, (lambda: 1,), {}, None),
    ],
)
def test_a_loaded_payload_runs_the_call_that_was_dumped(callable: Any, args: Any, kwargs: Any, result: Any) -> None:
    call = load(dump(callable, args, kwargs))
    given = call()
    assert (given() == 1) if result is None else (given == result)


def test_a_decorated_function_comes_back_as_the_same_job() -> None:
    assert load(dump(send_receipt.options(queue="vip"), (1,), {})).callable is send_receipt


def _without_wraps(function: Callable[..., object]) -> Callable[..., object]:
    def inner(*args: Any) -> object:
        return function(*args)

    return inner


class _Above:
    def __init__(self, function: Callable[..., object]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> object:
        return self.function(*args)


class _Press:
    @_without_wraps
    def hidden(self) -> str:
        return "hidden"

    @job
    @_without_wraps
    def hidden_job(self) -> str:
        return "hidden"

    def __private(self) -> str:
        return "private"

    def inner(self) -> str:
        return "another method, which was found by the name of the decorator's function"

    def run(self) -> str:
        return "the class above"

    @job
    def run_job(self) -> str:
        return "the class above"

    def private(self) -> Callable[[], str]:
        return self.__private


class _SteamPress(_Press):
    def run(self) -> str:
        return "the class below"

    @job
    def run_job(self) -> str:
        return "the class below"

    def above(self) -> list[Callable[[], str]]:
        return [super().run, super().run_job]


class _Guarded:
    def __getattr__(self, name: str) -> str:
        raise RuntimeError(name)

    @_without_wraps
    def hidden(self) -> str:
        return "hidden"


_press = _Press()


@pytest.mark.parametrize(
    "method",
    [
        *(_press.hidden, _press.hidden_job, _press.private(), functools.partial(_press.hidden)),
        *(_Guarded().hidden, *_SteamPress().above()),
    ],
    ids=["without wraps", "job without wraps", "private", "in a partial", "guarded", "super", "job of super"],
)
def test_a_method_that_its_object_has_not_by_its_name_is_refused(method: Any) -> None:
    with pytest.raises(EnqueueError, match=r"the callable itself of .*workers look for this name.* functools.wraps"):
        dump(method, (), {})


def test_a_job_below_another_decorator_that_hides_it_is_refused_with_the_way_out() -> None:
    with pytest.raises(EnqueueError, match=r"not the same object .*\. Put @job above the other decorators\."):
        dump(_hides, (1,), {})


@_Above
@job
def _hides(what: int) -> int:
    return what


@dataclass(slots=True)
class _Slots:
    empty: object = field(init=False)
    file: object


def test_what_to_pass_instead_is_known_of_what_lies_in_slots() -> None:
    with pytest.raises(EnqueueError, match="the TextIOWrapper in it: pass the path of the file"):
        dump(plain, (_Slots(sys.__stdout__),), {})


def test_a_job_made_in_a_function_travels_with_its_policy() -> None:
    @job(queue="inner", retry_on=OSError)
    def inner(n: int) -> int:
        return n + 1

    call = load(dump(inner, (1,), {}))
    assert call() == 2
    assert call.callable.job_options.policy.retry_on == (OSError,)  # type: ignore[attr-defined]  # a Job


def test_it_is_a_plain_pickle_of_protocol_5() -> None:
    payload = dump(plain, ("x",), {"y": 1})
    assert payload[:2] == bytes([0x80, PROTOCOL]) == b"\x80\x05"
    assert pickle.loads(payload) == (plain, ("x",), {"y": 1})


def test_the_module_of_a_function_is_not_sent() -> None:
    assert len(dump(add, (1,), {})) < 80


# -- What cannot be loaded -------------------------------------------------------------------------------------------


def exits() -> None:
    raise SystemExit(3)


def interrupts() -> None:
    raise KeyboardInterrupt


def runs_out_of_memory() -> None:
    raise MemoryError


def out_of_time() -> None:
    raise JobTimeout


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit


def unprintable() -> None:
    raise _Unprintable


class OnLoad:
    """An argument that calls a function while it is unpickled."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __reduce__(self) -> Any:
        return self.function, ()


GONE = pickle.dumps((add, (1,), {}), PROTOCOL)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "damaged.*EOFError"),
        (b"nonsense", "damaged.*UnpicklingError"),
        (GONE[:-4], "damaged.*truncated"),
        (pickle.dumps((1, 2)), "damaged"),
        (pickle.dumps(7), "damaged"),
        (GONE.replace(b".functions", b".elsewhere"), "No module named 'tests.support.elsewhere'.*installed"),
        (GONE.replace(b"\x03add", b"\x03bad"), "bad.*moved or renamed"),
        (pickle.dumps((plain, (OnLoad(exits),), {})), "SystemExit: 3"),
        (pickle.dumps((plain, (OnLoad(interrupts),), {})), "KeyboardInterrupt"),
        (pickle.dumps((plain, (OnLoad(runs_out_of_memory),), {})), "MemoryError"),
        (pickle.dumps((plain, (OnLoad(unprintable),), {})), "_Unprintable"),
    ],
)
def test_what_cannot_be_loaded_says_why_in_one_line(payload: bytes, said: str) -> None:
    with pytest.raises(PayloadError, match=said) as caught:
        load(payload)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_module_that_fails_while_it_is_imported_is_a_payload_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "pgjobs_broken.py").write_text("raise RuntimeError('line one\\nline two')")
    monkeypatch.syspath_prepend(tmp_path)
    module = types.ModuleType("pgjobs_broken")
    exec("def work(): pass", module.__dict__)  # noqa: S102 (a function of a module that is then gone)
    monkeypatch.setitem(sys.modules, "pgjobs_broken", module)
    payload = dump(module.work, (), {})
    monkeypatch.delitem(sys.modules, "pgjobs_broken")
    with pytest.raises(PayloadError, match="RuntimeError: line one line two"):
        load(payload)
    assert "pgjobs_broken" not in sys.modules


def test_a_timeout_while_loading_stays_a_timeout() -> None:
    with pytest.raises(JobTimeout):
        load(pickle.dumps((plain, (OnLoad(out_of_time),), {})))


# -- Names that stay -------------------------------------------------------------------------------------------------


def test_payload_of_a_job_holds_the_names_that_stay() -> None:
    """Rows outlive the layout of the package: only `pgjobs` itself may be named in them."""
    changed = dump(functools.partial(send_receipt.options(priority=1), 7), (), {})
    by_value = pickle.dumps(job(make_closure(1)).__reduce__()[0])

    assert b"\x8c\x06pgjobs\x94\x8c\x10job_with_options\x94\x93" in changed
    assert by_value == b"\x80\x04\x95\x20" + bytes(7) + b"\x8c\x06pgjobs\x94\x8c\x11job_from_function\x94\x93\x94."
    assert b"pgjobs.jobs" not in changed
    assert options_of(load(changed).callable).priority == 1
