"""NOTIFY for queues: wake their producers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.db.query import fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg


def notify_queues(conn: psycopg.Connection, queues: Iterable[str]) -> None:
    """Wake the workers that wait for one of the queues."""
    names = sorted(queues)
    if names:
        fetch_dicts(conn, "notify_queues", queues=names)
