"""Tenants (`fair_by=`) that get more or fewer turns than the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_number, check_printable
from pgjobs.db.query import fetch, fetch_dicts

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

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


def set_tenant_weight(conn: psycopg.Connection, name: str, weight: float) -> None:
    """Give a tenant so many turns for one of the others. Workers follow at once.

    Raises:
        UsageError: it is no name, or no weight.

    """
    number = as_number(weight)
    if number is None or not MIN_WEIGHT <= number <= MAX_WEIGHT:
        raise UsageError(f"weight={shorten_repr(weight)}: give a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:,}.")
    fetch_dicts(conn, "set_tenant", tenant=check_tenant(name), weight=float(number))


def remove_tenant_weight(conn: psycopg.Connection, name: str) -> bool:
    """Let a tenant have as many turns as the others; False if it had no weight of its own.

    Raises:
        UsageError: it is no name.

    """
    return bool(fetch_dicts(conn, "remove_tenant", tenant=check_tenant(name)))


def check_tenant(name: object) -> str:
    """Return the name of a tenant, which is the value of an argument and may have spaces at its ends.

    Raises:
        UsageError: it is not a text of 1 to 100 printable characters.

    """
    return check_printable("tenant", name)
