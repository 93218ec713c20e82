"""Payloads and summaries that are put together the quick way are the same calls, and the same words."""

from __future__ import annotations

import functools
import importlib
import pickle
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs import EnqueueError, configure, job
from pgjobs.payload.encoder import CallEncoder, encoder_for
from pgjobs.payload.fast_pickle import PicklePrefixDumper, fast_pickler, rest_loader
from pgjobs.payload.pickle_refusals import PROTOCOL
from pgjobs.payload.pickling import load
from pgjobs.payload.summary import Summarizer
from tests.support.functions import Mailer, add, log_in, make_closure, plain, send_receipt, whisper

LIMIT = 10**6
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**33), 2**33)
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=70)
    | st.text("a'\"\\\n\u00e9\u4e16\U0001f600\ud800", max_size=70)
)
values = st.recursive(
    scalars | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner)
)


def head_of(callable: Any) -> bytes:
    head = PicklePrefixDumper(callable, LIMIT).head
    assert head is not None
    return head


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])  # that says how busy the machine is
@given(st.lists(values, max_size=10), st.dictionaries(st.text(), values, max_size=3))
def test_a_payload_that_begins_with_a_pickled_callable_is_a_pickle_of_the_call(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    payload = PicklePrefixDumper(plain, LIMIT).dump(tuple(args), kwargs)
    assert payload[:2] == bytes([0x80, PROTOCOL])
    assert pickle.loads(payload) == (plain, tuple(args), kwargs)
    is_quick = payload.startswith(head_of(plain))  # what may hold objects of an ORM is pickled whole
    assert rest_loader(plain)(payload) == ((None, tuple(args), kwargs) if is_quick else None)


def test_arguments_alone_are_what_they_are_in_the_whole_and_only_of_the_same_callable() -> None:
    load_rest, shared = rest_loader(plain), [1]
    rest = load_rest(PicklePrefixDumper(plain, LIMIT).dump((shared, plain, shared), {"again": shared}))
    assert rest is not None
    (first, function, second), kwargs = rest[1:]
    assert first is second is kwargs["again"]
    assert function is plain
    assert load_rest(PicklePrefixDumper(add, LIMIT).dump((1,), {})) is None
    assert load_rest(PicklePrefixDumper(plain, LIMIT).dump(("x" * 70_000,), {})) is None  # it has frames
    assert rest_loader(make_closure(1))(pickle.dumps((print, (1,), {}), PROTOCOL)) is None


@given(st.lists(scalars, max_size=9))
def test_plain_arguments_are_pickled_and_summarized_as_they_are_otherwise(args: list[Any]) -> None:
    made = fast_pickler(head_of(print), "print", 0, float("inf"))(tuple(args))
    if made is None:
        return
    payload, summary = made
    called, loaded, kwargs = pickle.loads(payload)
    assert (called, loaded, kwargs) == (print, tuple(args), {})
    assert [type(value) for value in loaded] == [type(value) for value in args]
    assert summary == Summarizer(print)(tuple(args), {})
    assert pickle.loads(pickle.dumps((print, tuple(args), {}), PROTOCOL)) == (called, loaded, kwargs)


@pytest.mark.parametrize(
    "args",
    [(), (1,), (-(2**31), 2**31), (2**63 - 1,), (-(2**63),), ("x" * 60,), ("\u4e16" * 60,), (None, True, False, -0.0)],
)
def test_numbers_and_short_texts_are_plain(args: tuple[Any, ...]) -> None:
    made = fast_pickler(head_of(add), "add", 0, 8)(args)
    assert made is not None
    assert repr(pickle.loads(made[0])[1]) == repr(args)


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


@pytest.mark.parametrize(
    "args",
    [
        *[(2**63,), ("x" * 61,), ("\ud800",), (b"x",), ([],), ((),), (Text("x"),), (Whole(1),), (Lock(),)],
        (1,) * 9,
        ("x" * 60,) * 4,
    ],
    ids=lambda args: type(args[0]).__name__,
)
def test_what_is_not_plain_is_left_to_others(args: tuple[Any, ...]) -> None:
    assert fast_pickler(head_of(add), "add", 0, float("inf"))(args) is None


def test_what_the_arguments_share_they_share_when_they_are_loaded() -> None:
    shared: list[Any] = []
    shared.append(shared)
    call = load(PicklePrefixDumper(plain, LIMIT).dump((shared, [shared]), {"again": shared}))
    (first, second), again = call.args, call.kwargs["again"]
    assert first[0] is first is second[0] is again
    assert load(PicklePrefixDumper(plain, LIMIT).dump((plain,), {})).args[0] is plain


def test_large_arguments_are_whole() -> None:
    args = ("x" * 70_000, [str(n) for n in range(20_000)], b"y" * 70_000)
    assert pickle.loads(PicklePrefixDumper(plain, LIMIT).dump(args, {})) == (plain, args, {})


@pytest.mark.parametrize(
    "callable",
    [
        functools.partial(add, 1),
        Mailer("mx").send,
        Mailer("mx"),
        make_closure(1),
        job(make_closure(1)),
        "abc".upper,
    ],
)
def test_what_is_not_pickled_as_a_name_of_its_module_is_pickled_whole_each_time(callable: Any) -> None:
    assert PicklePrefixDumper(callable, LIMIT).head is None
    assert encoder_for(callable) is not encoder_for(callable)


@pytest.mark.parametrize("callable", [add, add.options(queue="vip"), plain, len, Mailer, Mailer.check])
def test_what_is_pickled_as_its_name_is_pickled_once(callable: Any) -> None:
    assert PicklePrefixDumper(callable, LIMIT).head is not None


# -- What is remembered ----------------------------------------------------------------------------------------------


def test_a_recipe_is_made_once_until_something_changes() -> None:
    before = encoder_for(send_receipt)
    assert encoder_for(send_receipt) is before
    configure(signing_keys=(b"key",))
    signed = encoder_for(send_receipt)
    assert (before.sign is None, signed.sign is None) == (True, False)
    configure(summaries=False)
    assert not encoder_for(send_receipt).has_summaries
    configure(max_payload=70)
    assert encoder_for(plain).encode(("x",), {})
    with pytest.raises(EnqueueError, match="70 are allowed"):
        encoder_for(plain).encode(("x" * 20,), {})


def test_options_of_one_enqueue_are_not_mixed_up_with_those_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [encoder_for(add.options(priority=n)).columns.priority for n in range(3)] == [0, 1, 2]
    assert encoder_for(add).columns.priority == 5
    monkeypatch.setattr(add, "job_options", send_receipt.job_options)
    assert encoder_for(add).columns.queue == "mail"


def test_no_more_than_a_number_of_recipes_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("pgjobs.payload.encoder")
    monkeypatch.setattr(module, "_MAX_CACHED", 2)
    known: dict[object, CallEncoder] = {}
    monkeypatch.setattr(module, "_known", known)
    callables: list[Any] = [add, plain, len, send_receipt, whisper]
    for each in callables:
        assert isinstance(encoder_for(each), CallEncoder)
        assert len(known) <= 2


def test_a_function_that_was_defined_anew_is_refused_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)  # with it, it would travel by value
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pgjobs_redefined.py").write_text("def work(n): pass\n")
    module = importlib.import_module("pgjobs_redefined")
    old = module.work
    assert encoder_for(old).encode((1,), {})
    importlib.reload(module)
    with pytest.raises(EnqueueError, match="it's not the same object as"):
        encoder_for(old).encode((1,), {})
    assert encoder_for(module.work).encode((1,), {})
    module.work.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "work", module.work, raising=False)
    with pytest.raises(EnqueueError, match="is defined in __main__"):
        encoder_for(module.work).encode((1,), {})
    monkeypatch.delitem(sys.modules, "pgjobs_redefined")


def test_secrets_are_masked_in_calls_with_plain_arguments() -> None:
    assert encoder_for(log_in).encode(("bob", "hunter2"), {})[1] == "log_in('bob', ***)"
    assert encoder_for(add).encode((1, 2), {})[1] == "add(1, 2)"
    assert encoder_for(whisper).encode(("psst",), {})[1] is None
