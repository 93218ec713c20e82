"""A dashboard in this process, and what asks it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from starlette.testclient import TestClient

from pgjobs.web import ALL, User, dashboard

Site: TypeAlias = Callable[..., TestClient]


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    """Return a client of a dashboard; its keywords are those of `dashboard`."""

    def make(may: Any = ALL, **keywords: Any) -> TestClient:
        keywords.setdefault("authorize", lambda request: User("ada", may=may))
        app = dashboard(database_url=database_url, **keywords)
        return TestClient(app, base_url="http://localhost", follow_redirects=False)

    yield make
    gc.collect()  # which closes its connections, before the database is given back
