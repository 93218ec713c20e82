"""What the benchmark makes of its figures: no failure is hidden, and no aim is said to be met that is not."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks import tables
from benchmarks.aims import aims
from benchmarks.figures import Probe, next_rate, percentile, ratio
from benchmarks.measures.latency import latencies
from benchmarks.running import Failed, anonymous


def result(**measures: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    names = {"pgjobs": "pgjobs", "raw_sql": "the SQL alone", "pgqueuer": "PgQueuer", "graphile": "graphile-worker"}
    keeps = {"pgqueuer": True, "graphile": False}
    return {
        "contenders": [{"name": name, "title": names[name], "keeps": keeps.get(name, True)} for name in names],
        "measures": measures,
    }


def rates(*values: float) -> list[dict[str, Any]]:
    return [{"per_second": value} for value in values]


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100)])
def test_a_percentile_is_a_value_that_this_share_does_not_exceed(percent: int, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_a_ratio_is_that_of_the_rounds_so_a_slow_minute_does_not_count() -> None:
    # The machine was slow in the second round, for both.
    assert ratio([80, 10, 90], [100, 20, 100]) == pytest.approx(0.8)


@pytest.mark.parametrize("capacity", [900.0, 7_000.0, 30_000.0, 44_000.0])
def test_the_search_ends_below_what_the_queue_can_take_and_near_it(capacity: float) -> None:
    probes: list[Probe] = []
    while (rate := next_rate(45_000, probes)) is not None:
        probes.append(Probe(rate, min(rate, capacity), rate <= capacity))

    best = max(probe.rate for probe in probes if probe.held)
    assert 0.5 * capacity < best <= capacity
    assert len(probes) <= 5


def test_the_search_goes_down_also_where_nothing_is_served() -> None:
    assert next_rate(1000, [Probe(1000, 0, held=False)]) == 500


def test_latency_counts_from_the_commit_and_of_a_job_that_ran_twice_the_first_time() -> None:
    found = latencies([(0, 1_000_000, 3_000_000)], [(0, 5_000_000), (0, 90_000_000), (-1, 0)])

    assert found["after"]["max"] == 2.0
    assert found["before"]["max"] == 4.0


def test_a_job_that_never_ran_is_not_a_latency() -> None:
    with pytest.raises(Failed, match="job 7 never ran"):
        latencies([(7, 0, 0)], [(8, 1)])


def test_an_aim_that_was_missed_says_no() -> None:
    found = result(drain_1={"pgjobs best": rates(70, 80), "raw_sql best": rates(100, 100)})

    row = aims(found, found, {})[0]

    assert (row.reached, row.met) == ("0.75", True)
    found["measures"]["drain_1"]["pgjobs best"] = rates(70, 79)
    assert aims(found, found, {})[0].met is False


def test_an_aim_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {row.met for row in aims({}, {}, {})} == {None}


def test_costs_are_compared_with_those_who_keep_finished_jobs_too() -> None:
    def cost(value: float) -> list[dict[str, Any]]:
        return [{"per_second": 1, "cost": {"cpu_us": value}}]

    drains = {"pgjobs best": cost(50), "pgqueuer best": cost(60), "graphile best": cost(20)}
    rows = {row.aim: row for row in aims({}, result(drain_1=drains), {})}

    assert rows["CPU per job"].met is True
    assert "PgQueuer, needs 1.20" in rows["CPU per job"].reached


def test_growth_is_compared_with_the_first_point_that_took_long_enough() -> None:
    points = [
        {"x": 1000, "per_second": 500, "seconds": 0.01},
        {"x": 10_000, "per_second": 100, "seconds": 1},
        {"x": 100_000, "per_second": 89, "seconds": 9},
    ]
    rows = {row.aim: row for row in aims({}, {}, {"backlog": {"series": [{"contender": "pgjobs", "points": points}]}})}

    assert (rows["backlog 10³ → 10⁷"].reached, rows["backlog 10³ → 10⁷"].met) == ("0.89", False)


def test_who_failed_and_what_ran_twice_is_told() -> None:
    found = result(
        drain_1={
            "pgqueuer best": [{"error": "no jobs ran in 90 s"}],
            "graphile best": [{"per_second": 1, "twice": 2}, {"per_second": 1, "twice": 1}],
        }
    )

    assert "| PgQueuer, best | failed | failed |" in tables.figures(found, tables.THROUGHPUT)
    assert "PgQueuer, best, drain_1: no jobs ran in 90 s" in tables.failures(found)
    assert "graphile-worker, best, drain_1: 3 jobs ran twice" in tables.failures(found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('File "/home/anna/work/main/driver.py", line 3', 'File "driver.py", line 3'),
        ("cannot connect to postgresql://anna:secret@db.example/jobs now", "cannot connect to (a URL) now"),
    ],
)
def test_what_a_contender_said_last_names_no_person(line: str, said: str) -> None:
    assert anonymous(line) == said
