"""The verdict on growth, and how a run is thinned out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.soak.growth import MEASURES, SHORTEST, Measure, by_quarter, has_grown, quarters_of, verdicts
from tests.system.soak.series import compact

HOUR = 3600


def run_of(seconds: int = HOUR, **columns: list[float | None]) -> dict[str, Any]:
    return {"seconds": seconds, "step": seconds / 8, "columns": columns, "waits": [[] for _ in range(8)]}


@pytest.mark.parametrize(
    ("second", "last", "grew"),
    [(100, 100, False), (100, 50, False), (100, 114, False), (100, 116, True), (0, 5, False), (0, 6, True)],
)
def test_a_measure_may_grow_by_its_share_and_its_room(second: float, last: float, grew: bool) -> None:
    assert has_grown(Measure("x", "x", share=0.1, room=5), second, last) is grew


@pytest.mark.parametrize(("second", "last"), [(None, 5), (5, None)])
def test_what_was_not_seen_is_not_judged(second: float | None, last: float | None) -> None:
    assert has_grown(Measure("x", "x", share=0.1), second, last) is None


def test_what_is_only_shown_may_grow() -> None:
    assert has_grown(Measure("x", "x"), 1, 1000) is None


def test_the_first_quarter_is_not_compared_with() -> None:
    filling_up = run_of(worker_mb=[10, 30, 50, 50, 50, 50, 50, 50])
    leaking = run_of(worker_mb=[50, 50, 50, 50, 60, 60, 70, 70])
    grew = [{verdict.measure.name for verdict in verdicts(run) if verdict.grew} for run in (filling_up, leaking)]
    assert grew == [set(), {"worker_mb"}]


def test_a_short_run_is_not_judged() -> None:
    run = run_of(int(SHORTEST) - 1, worker_mb=[1, 1, 1, 1, 1, 1, 1000, 1000])
    assert {verdict.grew for verdict in verdicts(run)} == {None}


def test_quarters_leave_out_what_was_not_seen() -> None:
    assert by_quarter(run_of(live=[1, None, None, None, 4, 6, None, 7]), "live") == (1, None, 5, 7)


@pytest.mark.parametrize("length", [4, 5, 6, 7, 240])
def test_quarters_have_each_value_once(length: int) -> None:
    assert [value for quarter in quarters_of(range(length)) for value in quarter] == list(range(length))


def test_latency_is_that_of_all_probes_of_a_quarter() -> None:
    run = run_of()
    run["waits"] = [[1.0], [100.0] * 3, *[[]] * 6]
    assert by_quarter(run, "p50_ms")[0] == 100
    assert by_quarter(run, "p50_ms")[1] is None


def test_wal_is_counted_by_the_run() -> None:
    run = run_of(wal_kb=[100.0] * 8, runs_per_second=[50, 50, 0, 25, 10, 10, 0, 0])
    assert by_quarter(run, "wal_per_job_kb") == (2, 4, 10, None)


def sample(at: float, wal: float, live: int = 1, lines: int = 0) -> dict[str, Any]:
    row = [40.0, 30.0, 3, 10]
    return {
        "kind": "sample",
        "at": at,
        "calm": {"supervisor": [row], "worker": [row, row], "child": []},
        "all": [row] * 3,
        "lines": lines,
        "server_lines": 0,
        "own": 70.0,
        "busy": 50.0,
        "database": {
            "connections": 9,
            "xmin_age": 0,
            "live": live,
            "backlog": 0,
            "oldest_due": 0.0,
            "days": 4,
            "wal": wal,
            "temp_bytes": None,
            "sizes": {
                "jobs_live": {"heap": 1_000_000, "index": 0, "toast": 0, "jobs_live_pkey": 500_000},
                "history": {"heap": 2_000_000, "index": 1_000_000},
                "dead_jobs": {"heap": 0},
                "queues": {"heap": 8192},
            },
            "dead": {"jobs_live": 3, "history": 2, "workers": 1},
        },
    }


def test_a_run_is_thinned_out_to_medians_and_rates() -> None:
    lines = [
        {"kind": "begin", "at": 0, "seconds": 20, "seed": 1},
        sample(1, 0, live=1),
        sample(3, 4_000, live=5, lines=8),
        sample(4, 9_000, live=9),  # a log that became shorter gives no rate
        {"kind": "runs", "at": 4, "ends": [[1, 10], [6, 5], [99, 1]]},
        {"kind": "probes", "at": 4, "waits": [[1.0, 3.5], [7.0, 4.5]]},
        {"kind": "fault", "at": 9, "name": "worker killed", "began": 8},
        {"kind": "end", "at": 21, "counts": {"jobs": 1}, "faults": {}, "wrong": []},
    ]
    run = compact(lines)
    assert run["step"] == 5
    assert run["columns"]["live"] == [5, None, None, None]
    assert run["columns"]["wal_kb"] == [3.5, None, None, None]  # 2 and 5 kB a second
    assert run["columns"]["log_lines"] == [4, None, None, None]
    assert run["columns"]["runs_per_second"] == [2, 1, 0, 0]
    assert run["columns"]["files"] == [30, None, None, None]
    assert run["waits"] == [[3.5], [4.5], [], []]
    assert run["faults"] == [["worker killed", 8, 9]]
    assert run["end"]["counts"] == {"jobs": 1}


def test_a_run_that_was_broken_off_says_so() -> None:
    run = compact([{"kind": "begin", "at": 0, "seconds": 20}, sample(3, 0)])
    assert run["end"]["wrong"] == ["it was broken off after 3 s"]


def test_each_measure_is_a_column_of_a_run() -> None:
    run = compact([{"kind": "begin", "at": 0, "seconds": 20}, sample(3, 0), sample(4, 0)])
    run["columns"]["runs_per_second"] = [1.0] * 4
    run["waits"] = [[1.0]] * 4
    empty = {verdict.measure.name for verdict in verdicts(run) if verdict.quarters[0] is None}
    assert empty == {"child_mb", "jobs_live_due_mb"}  # what this sample does not have
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
