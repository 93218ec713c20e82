from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs.hooks.kinds import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    """Leave no hook to other tests."""
    yield
    for registry in ALL:
        registry.clear()
