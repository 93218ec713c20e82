"""The configuration of a worker: what is refused, and its way to the worker process."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.errors import UsageError
from pgjobs.worker.config import QueueSlots, WorkerConfig, parse_queue, parse_queues


@pytest.mark.parametrize(
    ("text", "name", "slots"),
    [("mail", "mail", 10), ("mail:20", "mail", 20), ("a:b:3", "a:b", 3), ("größe:1", "größe", 1)],
)
def test_a_queue_is_a_name_and_its_slots(text: str, name: str, slots: int) -> None:
    assert parse_queue(text) == QueueSlots(name, slots)


@pytest.mark.parametrize(
    "text", ["", ":", ":5", "mail:", "mail:0", "mail:-1", "mail:x", "mail:1.5", "mail:10001", "x" * 101, "--drain"]
)
def test_what_is_not_a_queue_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_queue(text)


@given(
    st.lists(
        st.tuples(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20), st.integers(1, 10_000)),
        min_size=1,
        unique_by=lambda queue: queue[0],
    ),
    st.integers(1, 256),
    st.booleans(),
)
def test_a_configuration_survives_the_way_to_the_worker_process(
    queues: list[tuple[str, int]], processes: int, drain: bool
) -> None:
    config = WorkerConfig(
        "postgresql://a:b@c/d",
        tuple(QueueSlots(*queue) for queue in queues),
        ("shop.tasks",),
        processes=processes,
        drain=drain,
    )
    assert WorkerConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"queues": ()},
        {"queues": (QueueSlots("a"), QueueSlots("a", 2))},
        {"patterns": (QueueSlots("*"), QueueSlots("*", 2))},
        {"processes": 0},
        {"processes": 257},
        {"grace": -1},
        {"heartbeat": 0},
        {"heartbeat": 16},
        {"rescue_after": 9},
    ],
)
def test_configuration_that_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        WorkerConfig("postgresql://a", **changes)


def test_queues_are_separated_by_commas_and_patterns_are_told_apart() -> None:
    queues, patterns = parse_queues(["mail:20,reports", "mail-?,*:4"])
    assert queues == (QueueSlots("mail", 20), QueueSlots("reports", 10), QueueSlots("default", 4))
    assert patterns == (QueueSlots("mail-?", 10), QueueSlots("*", 4))
    assert parse_queues(["*:4", "d*:2"])[0] == (QueueSlots("default", 4),), "once, as of the first that matches it"


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("mail", 20),
        ("mail-eu", 2),
        ("mailbox", None),
        ("mail-", 2),
        ("MAIL-eu", 9),
        ("a.b", 1),
        ("a.bc", None),
        ("axb", None),
    ],
)
def test_a_queue_has_the_slots_of_its_name_or_of_the_first_pattern_that_matches(name: str, slots: int | None) -> None:
    queues, patterns = parse_queues(["mail:20", "mail-*:2", "*-eu:9", "a.?:1"])
    found = WorkerConfig("", queues=queues, patterns=patterns).slots_of(name)
    assert (found and found.concurrency) == slots


def test_patterns_reach_the_worker_process() -> None:
    config = WorkerConfig("", queues=(), patterns=(QueueSlots("*", 200),))
    assert WorkerConfig.from_json(config.to_json()) == config
    assert config.slots() == 10_000  # at most


@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        ("shop.py", "--import shop."),
        ("./shop/tasks.py", "--import shop.tasks."),
        ("shop/tasks", "--import shop.tasks."),
        ("shop.tasks:send", "--import shop.tasks."),
        ("shop-tasks", "such as --import shop.tasks."),
        ("", "such as --import shop.tasks."),
        ("/srv/shop.py", "such as --import shop.tasks."),
    ],
)
def test_file_or_function_as_import_is_refused_with_the_module_that_was_meant(given: str, way_out: str) -> None:
    with pytest.raises(UsageError) as caught:
        WorkerConfig("postgresql://a", imports=(given,))
    assert str(caught.value) == f"--import {given!r}: give the name of a module, {way_out}"
