"""`docs/how-it-is-tested/reliability.md` shows the results that are kept."""

from __future__ import annotations

from benchmarks.report import filled

from tests.system.chaos.report import DOCUMENT, load, tables


def test_the_page_shows_the_results_of_the_runs() -> None:
    text = DOCUMENT.read_text()
    assert filled(text, tables(load())) == text, "run `python -m tests.system.chaos.report`"


def test_nothing_that_may_not_happen_is_kept_silent() -> None:
    runs = load()
    runs[0]["results"][0]["wrong"] = ["lost: 1"]
    assert "lost: 1" in tables(runs)["wrong"]
