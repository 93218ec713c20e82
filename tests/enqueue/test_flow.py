"""Options that hold a job up: where its row goes, and which keys it gets there."""

from __future__ import annotations

import asyncio
import functools
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, JobHandle, Limit, Sequence, Unique, UsageError, enqueue, enqueue_many, job
from pgjobs.flow.options import NO_FLOW, FlowOptions
from tests.support.callers import KINDS, settled
from tests.support.functions import add
from tests.support.rows import row_of

AT = datetime(2040, 1, 1, tzinfo=UTC)
KEYS = ("status", "held", "lane", "limit_key", "sequence", "breaker", "cost", "on_failure", "expires_at")
PLAIN: dict[str, Any] = dict.fromkeys(KEYS) | {"status": "queued"}


def plain() -> None:
    """Do nothing."""


class Named:
    name = "stripe"


@job(
    limit=Limit("tenant:{tenant}", cost="units"),
    fair_by="tenant",
    sequence=Sequence("account:{account}/{kind}", on_failure="skip"),
    breaker=Named(),
    expires=60,
)
def bill(tenant: str, account: int = 7, *, kind: str = "eur", units: float = 1) -> None:
    """Bill."""


@job(limit="mail")
def send(to: str) -> None:
    """Send."""


@job(expires=AT)
def report() -> None:
    """Report."""


class Mailer:
    def __init__(self, host: str) -> None:
        self.host = host

    @job(limit="mail:{to}")
    def send(self, to: str) -> None:
        """Send."""

    @classmethod
    @job(limit="class:{to}")
    def send_for_all(cls, to: str) -> None:
        """Send."""


def keys_of(conn: psycopg.Connection, handle: JobHandle[Any]) -> dict[str, Any]:
    row = row_of(conn, handle.id)
    return {name: row[name] for name in KEYS}


def test_a_controlled_job_waits_with_its_keys(conn: psycopg.Connection) -> None:
    handle = enqueue(conn, bill, "acme", kind="usd", units=2.5)
    row = row_of(conn, handle.id)
    assert {name: row[name] for name in KEYS} == {
        "status": "waiting",
        "held": None,
        "lane": "acme\x1ftenant:acme\x1faccount:7/usd\x1fstripe",
        "limit_key": "tenant:acme",
        "sequence": "account:7/usd",
        "breaker": "stripe",
        "cost": 2.5,
        "on_failure": "skip",
        "expires_at": row["run_at"] + timedelta(seconds=60),
    }
    assert row["summary"] == "bill('acme', kind='usd', units=2.5)"
    assert pickle.loads(row["payload"])[1:] == (("acme",), {"kind": "usd", "units": 2.5})


def test_what_is_missing_is_empty_in_the_lane(conn: psycopg.Connection) -> None:
    assert keys_of(conn, enqueue(conn, send, "a"))["lane"] == "\x1fmail\x1f\x1f"
    sequence = keys_of(conn, enqueue(conn, add.options(sequence="s:{left}"), 4))
    assert (sequence["lane"], sequence["on_failure"]) == ("\x1f\x1fs:4\x1f", "block")
    assert keys_of(conn, enqueue(conn, add.options(breaker="b"), 4))["lane"] == "\x1f\x1f\x1fb"
    assert keys_of(conn, enqueue(conn, add.options(fair_by="{left}-{right}"), 4))["lane"] == "4-0\x1f\x1f\x1f"


def test_a_plain_job_stays_one(conn: psycopg.Connection) -> None:
    unordered = add.options(sequence=Sequence("s", on_failure="end")).options(sequence=None)
    alone = add.options(after=[], if_failed="run")
    jobs: list[Any] = [add, unordered, alone, send.options(limit=None), report.options(expires=None)]
    for one in jobs:
        args = () if one.__name__ == "report" else ("1",)
        assert keys_of(conn, enqueue(conn, one, *args)) == PLAIN
    assert send.options(limit=None).job_options.flow == NO_FLOW


def test_one_that_expires_takes_turns(conn: psycopg.Connection) -> None:
    expiring = PLAIN | {"status": "waiting", "lane": "\x1f\x1f\x1f", "expires_at": AT}
    assert keys_of(conn, enqueue(conn, report)) == expiring
    later = row_of(conn, enqueue(conn, add.options(delay=100, expires=5), 1).id)
    assert later["expires_at"] - later["run_at"] == timedelta(seconds=5)
    soon = row_of(conn, enqueue(conn, add.options(expires=timedelta(minutes=1)), 1).id)
    assert soon["expires_at"] - soon["run_at"] == timedelta(minutes=1)
    assert keys_of(conn, enqueue_many(conn, report, [()])[0]) == expiring


@pytest.mark.parametrize(("changes", "held"), [({"delay": 60}, "later"), ({"run_at": AT}, "later"), ({}, None)])
def test_one_that_is_due_later_is_held_until_then(
    conn: psycopg.Connection, changes: dict[str, Any], held: str | None
) -> None:
    assert keys_of(conn, enqueue(conn, send.options(**changes), "a"))["held"] == held
    assert keys_of(conn, enqueue_many(conn, send.options(**changes), [("a",)])[0])["held"] == held


def test_in_bulk_each_has_its_own_keys(conn: psycopg.Connection) -> None:
    items: list[Any] = [(f"t{n}",) if n % 2 else {"tenant": f"t{n}", "units": n + 1} for n in range(2_500)]
    handles = enqueue_many(conn, bill, items)
    assert [handle.id for handle in handles] == sorted(handle.id for handle in handles)
    rows = conn.execute("SELECT split_part(lane, chr(31), 1), limit_key, cost FROM pgjobs.jobs ORDER BY id").fetchall()
    assert rows == [(f"t{n}", f"tenant:t{n}", 1 if n % 2 else n + 1) for n in range(2_500)]


def test_keys_are_made_through_partials_and_methods(conn: psycopg.Connection) -> None:
    assert keys_of(conn, enqueue(conn, functools.partial(bill, "acme", units=2), 9))["sequence"] == "account:9/eur"
    assert keys_of(conn, enqueue(conn, functools.partial(bill, "acme", units=2), 9))["cost"] == 2
    assert keys_of(conn, enqueue(conn, Mailer("mx").send, "a"))["limit_key"] == "mail:a"
    made: Any = Mailer.send_for_all  # type checkers do not see through @classmethod here
    assert keys_of(conn, enqueue(conn, made, "b"))["limit_key"] == "class:b"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_on_every_connection(database_url: str, conn: psycopg.Connection, kind: str) -> None:
    async def main() -> tuple[JobHandle[Any], list[JobHandle[Any]]]:
        async with KINDS[kind](database_url) as caller:
            one = await settled(enqueue(caller.conn, bill, "acme", units=2.5))
            many = await settled(enqueue_many(caller.conn, bill.options(delay=60), [("a",), ("b",)]))
            await caller.commit()
            return one, many

    one, many = asyncio.run(main())
    assert keys_of(conn, one)["lane"] == "acme\x1ftenant:acme\x1faccount:7/eur\x1fstripe"
    assert [keys_of(conn, handle)["limit_key"] for handle in many] == ["tenant:a", "tenant:b"]


def test_an_argument_that_makes_no_key_is_refused_and_nothing_is_written(conn: psycopg.Connection) -> None:
    value: Any = object()
    with conn.transaction():
        with pytest.raises(EnqueueError, match=r"test_flow:send_to is refused: limit=.*'to'.*object"):
            enqueue(conn, send_to, value)
        with pytest.raises(EnqueueError, match=r"item 1 of enqueue_many is refused: .*send_to.*limit="):
            enqueue_many(conn, send_to, [("a",), ("a\n",)])
        with pytest.raises(EnqueueError, match=r"bill is refused: cost=0"):
            enqueue(conn, bill, "acme", units=0)
        enqueue(conn, send_to, "a")
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (1,)


@job(limit="mail:{to}")
def send_to(to: str) -> None:
    """Send."""


@pytest.mark.parametrize("option", ["limit", "sequence", "fair_by"])
def test_a_template_that_names_no_parameter_is_refused_when_the_job_is_made(option: str) -> None:
    changes: Any = {option: "x:{nonsense}"}

    def function(left: int, *rest: int, **more: int) -> None: ...

    with pytest.raises(UsageError, match=rf"^{option}=.*function takes the value of 'nonsense'.*these are left\.$"):
        job(**changes)(function)
    with pytest.raises(UsageError, match=rf"^{option}=.*add takes the value of 'nonsense'.*these are left, right\.$"):
        add.options(**changes)
    with pytest.raises(UsageError, match="cost='nonsense'"):
        add.options(limit=Limit("a", cost="nonsense"))


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("limit", ["", "x" * 101, "a\n", 7, b"x", "{", "{0}", Sequence("a")]),
        ("sequence", ["", "x" * 101, "a\n", 7, "{left.x}"]),
        ("fair_by", ["", "a b", 7, "{"]),
        ("breaker", ["", "x" * 101, 7, object()]),
        ("expires", [0, -1, "soon", True, datetime(2040, 1, 1), 10**9, timedelta(0)]),  # noqa: DTZ001 (the subject)
    ],
    ids=lambda value: value if isinstance(value, str) else "values",
)
def test_options_refuse_a_value_that_cannot_be_used_in_one_line(option: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=f"^{option}=") as caught:
            add.options(**{option: value})
        assert "\n" not in str(caught.value)


def test_values_refuse_a_part_that_cannot_be_used_in_one_line() -> None:
    costs: list[Any] = [0, -1, float("nan"), 1e7, True, "", "a b", 1e-30]
    for cost in costs:
        with pytest.raises(UsageError, match=r"^cost=") as caught:
            Limit("a", cost=cost)
        assert "\n" not in str(caught.value)
    ends: list[Any] = ["", "stop", None, 1]
    for on_failure in ends:
        with pytest.raises(UsageError, match=r"^Sequence\(on_failure="):
            Sequence("a", on_failure=on_failure)


def test_a_text_is_short_for_a_value_with_the_defaults() -> None:
    short = add.options(limit="a", sequence="b", unique="c")
    assert short.job_options == add.options(limit=Limit("a"), sequence=Sequence("b"), unique=Unique("c")).job_options


def test_if_failed_without_after_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(
        UsageError, match=r"^if_failed='run' does nothing without after=: .*Sequence\(on_failure=…\)\.$"
    ):
        enqueue(conn, add.options(if_failed="run"), 1, 2)
    assert add.options(if_failed="wait").job_options.flow == NO_FLOW
    changed = add.options(after=[1]).options(if_failed="run")
    assert changed.job_options == add.options(after=[1], if_failed="run").job_options
    assert pickle.loads(pickle.dumps(changed.options(after=None))).job_options.flow.if_failed == "run"


def test_a_limit_that_no_worker_would_know_is_refused_at_enqueue() -> None:
    with pytest.raises(UsageError, match=r"^options\(limit='a'\) has 2 at once, which is not part of one enqueue: "):
        add.options(limit=Limit("a", concurrency=2))


def test_a_part_of_a_value_is_refused_as_an_option_with_the_way_to_give_it() -> None:
    for part, said in (("cost", "limit=Limit"), ("until", "unique=Unique"), ("on_failure", "sequence=Sequence")):
        changes: Any = {part: 1}
        with pytest.raises(
            UsageError, match=rf"^options\({part}=…\) is part of another option: give {said}\(…, {part}=…\)"
        ):
            add.options(**changes)
        with pytest.raises(UsageError, match=rf"^@job\({part}=…\) is part of another option"):
            job(**changes)


def test_one_that_would_expire_before_it_is_due_is_refused() -> None:
    with pytest.raises(UsageError, match="would never run"):
        add.options(run_at=AT, expires=AT)


def test_changed_options_survive_as_an_argument_of_another_job() -> None:
    for changed in (send.options(sequence="s"), bill.options(breaker=None, expires=AT), send.options(delay=3)):
        back = pickle.loads(pickle.dumps(changed))
        assert back.job_options == changed.job_options
    assert send.options(sequence="s").job_options.flow == FlowOptions(limit=Limit("mail"), sequence=Sequence("s"))
