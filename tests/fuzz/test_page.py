"""`docs/bad-input.md` shows what really happens."""

from __future__ import annotations

import pytest

from tests.fuzz.catalogue import try_all
from tests.fuzz.table import PAGE, page


@pytest.mark.xdist_group("worker")
def test_the_page_of_bad_input_is_up_to_date(database_url: str) -> None:
    found = try_all(database_url)
    assert sum(map(len, found.values())) >= 80
    assert page(found) == PAGE.read_text("utf-8"), "run `python -m tests.fuzz.table`"
