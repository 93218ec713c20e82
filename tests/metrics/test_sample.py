"""Counts of jobs from a share of the pages of their tables."""

from __future__ import annotations

from pgjobs.db.depths import Sample


def test_jobs_that_are_due_in_two_tables_are_scaled_by_the_share_of_each() -> None:
    rows = [
        {"queue": "mail", "state": "due", "part": "live", "jobs": 3},
        {"queue": "mail", "state": "due", "part": "waiting", "jobs": 10},
        {"queue": "mail", "state": "dead", "part": "dead", "jobs": 5},
    ]
    sample = Sample(rows, {"live": 1.0, "waiting": 0.01, "dead": 0.5})
    assert (sample.of("mail", "due"), sample.of("mail", "dead"), sample.of("mail", "later")) == (1003, 10, 0)
