"""Limits of keys, and tenants that get more or fewer turns than others. Workers follow within a second."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_number, check_printable
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import fetch, fetch_dicts
from pgjobs.flow.limits import LimitSettings, check_limit_name, check_no_template
from pgjobs.flow.rates import refill

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

MAX_WAITING = 10_000  # rows that a listing looks at
MAX_KEYS = 10  # of one limit in a listing
MAX_HOLDERS = 10  # ids of running jobs for each key
MAX_WEIGHT = 1000
MIN_WEIGHT = 0.001


@dataclass(frozen=True)
class Key:
    """A key with jobs that run or wait now. `holders`: ids of the oldest jobs that run. `tokens`: left of its rate."""

    key: str
    running: int
    waiting: int
    tokens: float | None
    holders: list[int]


@dataclass(frozen=True)
class KeyLimit:
    """A limit, and its keys with jobs that run or wait now, the busiest first.

    `concurrency`: jobs that may run at once. `rate`: starts per `period_seconds`; `burst`: starts at once. `set_by`:
    "code" or "operator". `running`, `waiting`: jobs of all its keys; `waiting_capped`: more wait than were counted.
    Without concurrency and rate it limits nothing.
    """

    name: str
    concurrency: int | None
    rate: float | None
    period_seconds: float | None
    burst: float | None
    set_by: str
    updated_at: datetime
    running: int
    waiting: int
    waiting_capped: bool
    busy_keys: int
    keys: list[Key]


@operation
def list_limits(conn: psycopg.Connection) -> list[KeyLimit]:
    """List the limits by name, with the jobs that hold them and those that wait for them."""
    rows = fetch_dicts(conn, "list_limits", most=MAX_WAITING, holders=MAX_HOLDERS)
    return [_limit(list(of_one)) for _, of_one in groupby(rows, key=lambda row: row["name"])]


@operation
def set_limit(conn: psycopg.Connection, name: str, limit: LimitSettings) -> None:
    """Set the limit of a key (`tenant:7`) or of all keys of a pattern (`tenant:*`). It replaces what the code declares.

    What `limit` leaves out is not limited. Jobs that run already are not stopped.

    Raises:
        UsageError: the name cannot be one of a limit, or is a template.

    """
    fetch_dicts(conn, "set_limit", key=check_no_template(check_limit_name(name)), **limit.columns())


@operation
def remove_limit(conn: psycopg.Connection, name: str) -> bool | None:
    """Remove a limit, so that the limit of its pattern applies again. Return None if there is no such limit.

    True: code declares it, so it comes back with the next worker that starts; to lift it, set a limit of nothing.

    Raises:
        UsageError: the name cannot be one of a limit.

    """
    rows = fetch_dicts(conn, "remove_limit", key=check_limit_name(name))
    return bool(rows[0]["declared"]) if rows else None


def _limit(rows: list[dict[str, Any]]) -> KeyLimit:
    first = rows[0]
    busy = [row for row in rows if row["running"] or row["waiting"]]
    # A limit of one key has tokens to show also while no job runs.
    shown = busy[:MAX_KEYS] or [row for row in rows if row["key"] == first["name"] and not first["name"].endswith("*")]
    return KeyLimit(
        name=first["name"],
        concurrency=first["concurrency"],
        rate=first["rate"],
        period_seconds=first["period"],
        burst=first["burst"],
        set_by=first["set_by"],
        updated_at=first["updated_at"],
        running=sum(row["running"] for row in busy),
        waiting=sum(row["waiting"] for row in busy),
        waiting_capped=not first["counted"],
        busy_keys=len(busy),
        keys=[_key(row) for row in shown],
    )


def _key(row: dict[str, Any]) -> Key:
    limit = LimitSettings.of_columns(row["concurrency"], row["rate"], row["period"], row["burst"])
    tokens = None
    if limit.rate is not None:
        tokens = round(refill(row["tokens"], row["at"] or row["now"], row["now"], limit.rate, limit.burst), 3)
    return Key(row["key"], row["running"], row["waiting"], tokens, row["holders"])


@dataclass(frozen=True)
class Tenant:
    """A tenant with a weight of its own. `weight`: turns it gets while a tenant without one gets one turn."""

    name: str
    weight: float
    updated_at: datetime


@operation
def list_tenants(conn: psycopg.Connection) -> list[Tenant]:
    """List the tenants that have a weight of their own, by name."""
    return fetch(conn, "list_tenants", Tenant)


@operation
def set_tenant_weight(conn: psycopg.Connection, name: str, weight: float) -> None:
    """Set the weight of a tenant: it gets `weight` turns while a tenant without one gets one turn.

    Workers follow at once.

    Raises:
        UsageError: the name cannot be one of a tenant, or the weight is not from 0.001 to 1,000.

    """
    number = as_number(weight)
    if number is None or not MIN_WEIGHT <= number <= MAX_WEIGHT:
        raise UsageError(f"weight={shorten_repr(weight)}: give a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:,}.")
    fetch_dicts(conn, "set_tenant", tenant=check_printable("tenant", name), weight=float(number))


@operation
def remove_tenant_weight(conn: psycopg.Connection, name: str) -> bool:
    """Remove the weight of a tenant, so that it gets as many turns as others. Return False if it had none.

    Raises:
        UsageError: the name cannot be one of a tenant.

    """
    return bool(fetch_dicts(conn, "remove_tenant", tenant=check_printable("tenant", name)))
