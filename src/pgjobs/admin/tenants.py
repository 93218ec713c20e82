"""Tenants (`fair_by=`) that get more or fewer turns than the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import UsageError, shorten_repr
from pgjobs.core.validate import as_number, as_str
from pgjobs.db.query import fetch, fetch_dicts

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

MAX_NAME = 100  # characters
MAX_WEIGHT = 1000
MIN_WEIGHT = 0.001


@dataclass(frozen=True)
class Tenant:
    """`weight`: turns for one of the tenants that have no weight of their own."""

    name: str
    weight: float
    updated_at: datetime


def list_tenants(conn: psycopg.Connection) -> list[Tenant]:
    """List the tenants that have a weight of their own, by name."""
    return fetch(conn, "list_tenants", Tenant)


def set_weight(conn: psycopg.Connection, name: str, weight: float) -> None:
    """Give a tenant so many turns for one of the others. Workers follow at once.

    Raises:
        UsageError: it is no name, or no weight.

    """
    number = as_number(weight)
    if number is None or not MIN_WEIGHT <= number <= MAX_WEIGHT:
        raise UsageError(f"weight={shorten_repr(weight)}: give a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:,}.")
    fetch_dicts(conn, "set_tenant", tenant=check_tenant(name), weight=float(number))


def remove_weight(conn: psycopg.Connection, name: str) -> bool:
    """Let a tenant have as many turns as the others; False if it had no weight of its own.

    Raises:
        UsageError: it is no name.

    """
    return bool(fetch_dicts(conn, "remove_tenant", tenant=check_tenant(name)))


def check_tenant(name: object) -> str:
    """Give the name of a tenant, or refuse what is none.

    Raises:
        UsageError: it is empty, too long, no string, or not printable.

    """
    text = as_str(name)
    if text is None or not text or not text.isprintable() or len(text) > MAX_NAME:
        raise UsageError(f"tenant={shorten_repr(name)}: give a name of up to {MAX_NAME} printable characters.")
    return text
