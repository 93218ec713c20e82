from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs.hooks.kinds import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    """Start without hooks, as modules of other tests register theirs at their import, and leave none behind."""
    _forget_all()
    yield
    _forget_all()


def _forget_all() -> None:
    for registry in ALL:
        registry.clear()
