"""What a child process may say of its job, and what is refused of it."""

from __future__ import annotations

import json
import pickle
import socket
from contextlib import closing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.jobs.outcome import COMPLETED, Cancelled, Completed, Failed, Outcome, Released, Retried, Snoozed
from pgjobs.worker.executors.child_process import receive, send
from pgjobs.worker.executors.outcome_codec import MAX_OUTCOME_BYTES, from_bytes, to_bytes
from tests.support.claimed import claimed_job

OUTCOMES: list[Outcome] = [
    COMPLETED,
    Retried("E: x", 1.5, "trace\nback", isolate=True),
    Retried("E: ü", 0.0),
    Failed("E: x", "trace"),
    Failed("E: x"),
    Snoozed(5.0),
    Cancelled("no"),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=range(len(OUTCOMES)))
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    back = from_bytes(to_bytes(outcome), claimed_job())
    assert back == outcome
    assert (back is COMPLETED) is (outcome is COMPLETED)


@pytest.mark.parametrize(
    "answer",
    [
        ["Retried", {"error": "x", "delay": "5"}],
        ["Retried", {"error": "x", "delay": 5}],
        ["Retried", {"error": "x", "delay": -1.0}],
        ["Retried", {"error": "x", "delay": float("inf")}],
        ["Retried", {"error": "x", "delay": float("nan")}],
        ["Retried", {"error": "x", "delay": True}],
        ["Retried", {"error": "x", "delay": 1.0, "isolate": 1}],
        ["Retried", {"error": "x"}],
        ["Retried", {"error": 1, "delay": 1.0}],
        ["Failed", {"error": "x", "traceback": ["x"]}],
        ["Failed", {"error": None}],
        ["Failed", {"error": "x", "more": "x"}],
        ["Snoozed", {"delay": 1e300}],
        ["Cancelled", {"reason": {}}],
        ["Completed", {"error": "x"}],
        ["Released", {}],
        ["os.system", {}],
        [["Failed"], {}],
        ["Failed", []],
        ["Failed"],
        [],
        None,
        {"Failed": {}},
    ],
    ids=json.dumps,
)
def test_from_bytes_what_is_not_an_outcome_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        from_bytes(json.dumps(answer).encode(), claimed_job())


@pytest.mark.parametrize("answer", [b"", b"[", b"\xff", b"[" * 100_000, pickle.dumps(Completed())], ids=range(5))
def test_bytes_that_are_no_json_are_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        from_bytes(answer, claimed_job())


def test_text_that_cannot_be_stored_is_escaped() -> None:
    outcome = from_bytes(
        json.dumps(["Failed", {"error": "a\0b\nc" + "x" * 9999, "traceback": "\ud800" * 99_999}]).encode(),
        claimed_job(),
    )
    assert isinstance(outcome, Failed)
    assert len(outcome.error) <= 500
    assert "\0" not in outcome.error
    assert "\n" not in outcome.error
    assert outcome.traceback is not None
    assert len(outcome.traceback) < 10_000
    outcome.traceback.encode()


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner))


@given(
    st.sampled_from(["Completed", "Failed", "Retried", "Snoozed", "Cancelled"]),
    st.dictionaries(st.sampled_from(["error", "delay", "traceback", "isolate", "reason"]), JSON),
)
def test_whatever_comes_is_an_outcome_or_refused(name: str, values: dict[str, Any]) -> None:
    with suppress(ValueError):  # and no other
        outcome = from_bytes(json.dumps([name, values]).encode(), claimed_job())
        assert type(outcome).__name__ == name
        assert not isinstance(outcome, Released)


def test_an_answer_that_is_too_long_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        send(theirs, b"x" * 10)
        assert receive(ours, most=10) == b"x" * 10
        theirs.sendall((MAX_OUTCOME_BYTES + 1).to_bytes(4, "big"))
        with pytest.raises(ValueError, match="bytes"):
            receive(ours, most=MAX_OUTCOME_BYTES)
