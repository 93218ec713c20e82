from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import admin, declare_limit, declare_queue_limit
from pgjobs.admin import list_limits, list_tenants, remove_limit, remove_tenant_weight, set_limit, set_tenant_weight
from pgjobs.admin.limits import MAX_HOLDERS, MAX_KEYS
from pgjobs.core.errors import UsageError
from pgjobs.db.limits import LimitWriter
from pgjobs.db.statements import statement
from pgjobs.flow.limits import NO_LIMIT, LimitSettings, declared_limits, declared_queue_limits, forget_declared
from pgjobs.flow.rates import Rate
from tests.support.rows import put_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    forget_declared()
    yield
    forget_declared()


def put(conn: Connection, key: str, **columns: Any) -> int:
    """Put a job with this key, which waits unless told otherwise."""
    columns = {"limit_key": key, "lane": f"\x1f{key}\x1f\x1f", "status": "waiting", **columns}
    if columns["status"] == "running":
        columns["worker_id"] = 1
    return put_job(conn, **columns)


def limits(conn: Connection) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        "SELECT name, concurrency, rate, extract(epoch FROM period)::int, burst FROM pgjobs.limits ORDER BY name"
    )
    return rows.fetchall()


def test_a_limit_that_is_set_replaces_the_whole_one_before(conn: Connection) -> None:
    set_limit(conn, "stripe", LimitSettings(2, Rate(10, 30), 5))
    assert limits(conn) == [("stripe", 2, 10, 30, 5)]
    set_limit(conn, "stripe", LimitSettings(3))
    assert limits(conn) == [("stripe", 3, None, None, None)]
    set_limit(conn, "stripe", NO_LIMIT)
    assert limits(conn) == [("stripe", None, None, None, None)]
    assert remove_limit(conn, "stripe") is False
    assert remove_limit(conn, "stripe") is None


def test_what_is_not_a_name_is_refused(conn: Connection) -> None:
    for name in ("", "a*", "x" * 101):
        with pytest.raises(UsageError):
            set_limit(conn, name, LimitSettings(1))
        with pytest.raises(UsageError):
            remove_limit(conn, name)


def test_a_listing_has_holders_waiting_jobs_and_tokens_of_each_key(conn: Connection) -> None:
    set_limit(conn, "tenant:*", LimitSettings(2, Rate(60, 60), 10))
    set_limit(conn, "tenant:vip", LimitSettings(5))
    set_limit(conn, "idle", LimitSettings(1))
    first, second = (put(conn, "tenant:1", status="running") for _ in range(2))
    third = put(conn, "tenant:vip", status="running")
    for key in ("tenant:1", "tenant:1", "tenant:2", "unlimited"):
        put(conn, key)
    put(conn, "tenant:2", held="later", run_at=datetime(2100, 1, 1, tzinfo=UTC))
    conn.execute("INSERT INTO pgjobs.buckets VALUES ('limit', 'tenant:1', 3, now()), ('queue', 'tenant:2', 1, now())")
    idle, tenants, vip = list_limits(conn)
    assert (idle.name, idle.concurrency, idle.running, idle.waiting, idle.busy_keys) == ("idle", 1, 0, 0, 0)
    assert (tenants.name, tenants.running, tenants.waiting, tenants.waiting_capped) == ("tenant:*", 2, 3, False)
    one, two = tenants.keys
    assert (one.key, one.running, one.waiting, one.holders) == ("tenant:1", 2, 2, [first, second])
    assert one.tokens is not None
    assert 3 <= one.tokens < 5
    assert (two.key, two.running, two.waiting, two.holders, two.tokens) == ("tenant:2", 0, 1, [], 10)
    assert (vip.name, vip.running, [key.holders for key in vip.keys]) == ("tenant:vip", 1, [[third]])
    assert [key.tokens for key in vip.keys] == [None]


def test_a_listing_has_a_bounded_number_of_keys_and_holders(conn: Connection) -> None:
    set_limit(conn, "tenant:*", LimitSettings(100))
    for number in range(MAX_KEYS + 2):
        put(conn, f"tenant:{number}")
    for _ in range(MAX_HOLDERS + 3):
        put(conn, "tenant:5", status="running")
    (found,) = list_limits(conn)
    assert (found.busy_keys, len(found.keys)) == (MAX_KEYS + 2, MAX_KEYS)
    assert (found.keys[0].key, found.keys[0].running, len(found.keys[0].holders)) == (
        "tenant:5",
        MAX_HOLDERS + 3,
        MAX_HOLDERS,
    )


def write(conn: Connection) -> None:
    """Do what a worker does when it starts."""
    LimitWriter().write(conn)


def test_what_code_declares_follows_the_code(conn: Connection) -> None:
    declare_limit("tenant:*", concurrency=2, rate="100/min", burst=20)
    declare_queue_limit("mail", rate="0.1/s")
    for _ in range(2):
        write(conn)
        assert limits(conn) == [("tenant:*", 2, 100, 60, 20)]
        assert [(each.name, each.set_by) for each in list_limits(conn)] == [("tenant:*", "code")]
        assert [(q.name, q.concurrency, q.rate, q.period) for q in admin.list_queues(conn)] == [("mail", None, 0.1, 1)]
    declared_limits["tenant:*"], declared_queue_limits["mail"] = LimitSettings(7), LimitSettings(9)
    write(conn)
    assert limits(conn) == [("tenant:*", 7, None, None, None)]
    assert [(q.concurrency, q.rate, q.period) for q in admin.list_queues(conn)] == [(9, None, None)]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO pgjobs.limits VALUES ('a', 9) ON CONFLICT (name) DO UPDATE SET concurrency = 9",
        "UPDATE pgjobs.limits SET concurrency = 9",
        "UPDATE pgjobs.limits SET set_by = 'operator', concurrency = 9",
    ],
    ids=["insert", "update", "update as operator"],
)
@pytest.mark.parametrize("declared_before", [True, False])
def test_what_an_operator_has_set_stays_whatever_code_declares(
    conn: Connection, change: str, declared_before: bool
) -> None:
    declare_limit("a", concurrency=1)
    if declared_before or change.startswith("UPDATE"):
        write(conn)
    conn.execute(change.encode())
    for concurrency in (1, 2):
        declared_limits["a"] = LimitSettings(concurrency)
        write(conn)
        assert limits(conn) == [("a", 9, None, None, None)]
        assert [each.set_by for each in list_limits(conn)] == ["operator"]


def test_what_an_operator_has_set_for_a_queue_stays_whatever_code_declares(conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name, concurrency) VALUES ('before', 9)")
    for name in ("before", "sql", "cli", "none"):
        declare_queue_limit(name, concurrency=1)
    write(conn)
    conn.execute("UPDATE pgjobs.queues SET concurrency = 9 WHERE name = 'sql'")
    admin.set_queue_limit(conn, "cli", LimitSettings(9))
    admin.set_queue_limit(conn, "none", NO_LIMIT)
    for concurrency in (1, 2):
        declared_queue_limits.update(dict.fromkeys(declared_queue_limits, LimitSettings(concurrency)))
        write(conn)
        assert {q.name: q.concurrency for q in admin.list_queues(conn)} == {
            "before": 9,
            "sql": 9,
            "cli": 9,
            "none": None,
        }


def test_a_declared_limit_that_was_removed_comes_back_and_one_that_was_lifted_does_not(conn: Connection) -> None:
    declare_limit("a", concurrency=1)
    write(conn)
    assert remove_limit(conn, "a") is True
    write(conn)
    assert limits(conn) == [("a", 1, None, None, None)]
    set_limit(conn, "a", NO_LIMIT)
    write(conn)
    assert limits(conn) == [("a", None, None, None, None)]


def test_what_is_declared_later_is_news() -> None:
    declared = LimitWriter()
    assert not declared.has_news()
    declare_queue_limit("mail", concurrency=1)
    assert declared.has_news()


def test_aging_is_set_and_taken_back(conn: Connection) -> None:
    admin.set_queue_aging(conn, "mail", 90)
    assert [(q.name, q.aging) for q in admin.list_queues(conn)] == [("mail", 90)]
    admin.set_queue_aging(conn, "mail", None)
    assert [(q.name, q.aging) for q in admin.list_queues(conn)] == [("mail", None)]
    for seconds in (0, -1, float("nan"), 1e12):
        with pytest.raises(UsageError):
            admin.set_queue_aging(conn, "mail", seconds)


def test_operations_take_a_timedelta_where_they_take_seconds_or_days(conn: Connection) -> None:
    admin.set_queue_aging(conn, "mail", timedelta(minutes=1.5))
    assert [(q.name, q.aging) for q in admin.list_queues(conn)] == [("mail", 90)]
    admin.open_breaker(conn, "stripe", timedelta(minutes=1))
    until = admin.show_breaker(conn, "stripe").until
    assert until is not None
    assert timedelta(seconds=50) < until - datetime.now(UTC) <= timedelta(minutes=1)
    assert admin.wait_for_exit(conn, [1], timedelta(seconds=1)) == ()
    assert admin.wait_until_idle(conn, "mail", timeout=timedelta(seconds=1)) == []
    admin.keep_history(conn, timedelta(weeks=1))
    admin.keep_dead(conn, timedelta(days=30))
    kept = admin.show_retention(conn)
    assert (kept.history_days, kept.dead_letter_days) == (7, 30)
    with pytest.raises(UsageError, match="not a number of days"):
        admin.keep_history(conn, timedelta(hours=36))


def test_one_queue_needs_no_list_where_what_is_left_is_counted(conn: Connection) -> None:
    for queue in ("mail", "m"):
        put_job(conn, queue=queue)
        put_job(conn, queue=queue, status="running", worker_id=1, claims=1, started_at=datetime.now(UTC))
    counted = admin.count_unfinished(conn, "mail")
    waited = admin.wait_until_idle(conn, "mail", timeout=timedelta(milliseconds=100))
    assert counted == waited
    assert [(left.queue, left.due, left.running) for left in waited] == [("mail", 1, 1)]


def test_tenants_have_weights(conn: Connection) -> None:
    set_tenant_weight(conn, "big", 3)
    set_tenant_weight(conn, "small", 0.5)
    set_tenant_weight(conn, "big", 2)
    assert [(tenant.name, tenant.weight) for tenant in list_tenants(conn)] == [("big", 2), ("small", 0.5)]
    assert remove_tenant_weight(conn, "big")
    assert not remove_tenant_weight(conn, "big")
    for name, weight in (("big", 0), ("big", 1001), ("big", float("nan")), ("", 1), ("x" * 101, 1), ("a\n", 1)):
        with pytest.raises(UsageError):
            set_tenant_weight(conn, name, weight)


def test_buckets_that_are_full_again_are_forgotten_and_no_others(conn: Connection) -> None:
    set_limit(conn, "slow:*", LimitSettings(rate=Rate(10, 3600)))
    set_limit(conn, "fast:*", LimitSettings(rate=Rate(10, 60)))
    set_limit(conn, "slow:off", NO_LIMIT)
    admin.set_queue_limit(conn, "mail", LimitSettings(rate=Rate(10, 3600), burst=5))
    old = datetime.now(UTC) - timedelta(minutes=10)
    for kind, name, tokens, at in (
        ("limit", "slow:1", 2, old),
        ("limit", "slow:2", 9.5, old),
        ("limit", "slow:off", 2, old),
        ("limit", "fast:1", 2, old),
        ("limit", "fast:2", 9, datetime.now(UTC)),
        ("limit", "gone:1", 0, old),
        ("queue", "mail", 1, old),
        ("queue", "gone", 1, old),
    ):
        conn.execute("INSERT INTO pgjobs.buckets VALUES (%s, %s, %s, %s)", [kind, name, tokens, at])
    conn.execute(statement("purge_buckets"))
    left = conn.execute("SELECT name FROM pgjobs.buckets ORDER BY name").fetchall()
    assert left == [("fast:2",), ("mail",), ("slow:1",)]
