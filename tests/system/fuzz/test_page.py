"""`docs/how-it-is-tested/bad-input.md` shows what really happens."""

from __future__ import annotations

from tests.system.fuzz.catalogue import try_all
from tests.system.fuzz.table import PAGE, page


def test_the_page_of_bad_input_is_up_to_date(database_url: str) -> None:
    found = try_all(database_url)
    assert sum(map(len, found.values())) >= 80
    assert beginnings(page(found)) == beginnings(PAGE.read_text("utf-8")), "run `python -m tests.system.fuzz.table`"


def beginnings(text: str) -> list[str]:
    """Return each line without the end of its message: other versions of libpq and of the command line's library have
    words of their own."""
    lines = []
    for line in text.splitlines():
        tried, bar, got = line.rpartition(" | ")
        lines.append(f"{tried}{bar}{' '.join(got.split()[:3])}" if line.startswith("|") else line)
    return lines
