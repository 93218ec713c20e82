from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pgjobs.testing import Jobs
from tests.testing import app


@pytest.fixture
def own(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The connection of a test, in a transaction that is rolled back."""
    app.calls.clear()
    with psycopg.connect(database_url) as conn:
        app.here["conn"] = conn
        conn.execute("CREATE TABLE notes (text text)")
        yield conn
        conn.rollback()


@pytest.fixture
def jobs(own: psycopg.Connection[Any]) -> Jobs:
    return Jobs(own)
