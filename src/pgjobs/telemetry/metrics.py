"""What pgjobs measures: the names, kinds and labels of all metrics, and families of values as plain data.

Nothing here needs a library. `prometheus.py` beside this writes families for Prometheus.

What describes the whole installation comes from `pgjobs metrics`, and is the same from each instance of it:
`pgjobs_queue_…`, dead letters, workflows, and so on. What worker processes did comes from their supervisor, if that has
a port for metrics. `SHARED` are the two names that come from both: supervisors without a port add them up in
PostgreSQL, and the installation serves their sums, so that a sum over all counts nothing twice. `pgjobs_up` and the
other two of `ABOUT` are about the scrape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pgjobs.core.text import label

MAX_TASKS = 200
"""Values of the label `task`; what comes after them is `other`."""
MAX_QUEUES = 1000
"""Values of the label `queue`, in the same way."""
OTHER = "other"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""Upper bounds in seconds, of how long jobs run and wait."""
QUICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, of how long statements take."""
Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """A metric. `worst`: of values that get the same labels, the largest counts, and not their sum.

    `bounds`: of a histogram's buckets.
    """

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    worst: bool = False
    bounds: tuple[float, ...] = ()


ABOUT: dict[str, Metric] = {
    "pgjobs_up": Metric("gauge", "1 if all that is behind the other metrics could be read within the time limit."),
    "pgjobs_build_info": Metric("gauge", "1, with the version of pgjobs as a label.", ("version",)),
    "pgjobs_scrape_duration_seconds": Metric("gauge", "How long it took to read what is behind the other metrics."),
}

SHARED: dict[str, Metric] = {
    "pgjobs_jobs_finished_total": Metric(
        "counter",
        "Jobs that ended in workers, by outcome: completed, failed, cancelled. Of supervisors without a port for "
        "metrics `pgjobs metrics` serves them, up to a minute old.",
        ("queue", "task", "outcome"),
    ),
    "pgjobs_retries_total": Metric(
        "counter", "Attempts that failed in workers and are repeated; served in the same way.", ("queue", "task")
    ),
}

INSTALLATION: dict[str, Metric] = {
    **SHARED,
    "pgjobs_queue_latency_seconds": Metric(
        "gauge", "How long the oldest due job has been due; 0 if no job is due.", ("queue",), worst=True
    ),
    "pgjobs_queue_jobs": Metric(
        "gauge",
        "Jobs by state: due (can start now, or wait for their turn), later, waiting (for other jobs or a paused task), "
        "running. Beyond 8 MB of such jobs these are estimates, from a sample of the tables' pages; small numbers "
        "of due and later are exact even then.",
        ("queue", "state"),
    ),
    "pgjobs_queue_sla_seconds": Metric(
        "gauge", "How late a job of the queue may start, where that was set.", ("queue",), worst=True
    ),
    "pgjobs_queue_paused": Metric("gauge", "1 if the queue is paused, or everything is.", ("queue",), worst=True),
    "pgjobs_queue_workers": Metric("gauge", "Worker processes that serve the queue and are heard from.", ("queue",)),
    "pgjobs_jobs_enqueued_total": Metric(
        "counter",
        "Ids that were given to jobs since the tables were made: what was enqueued and rolled back counts as well.",
    ),
    "pgjobs_dead_letters": Metric(
        "gauge", "Dead letters. Beyond 8 MB of them an estimate, from a sample of their pages.", ("queue",)
    ),
    "pgjobs_limit_in_use": Metric(
        "gauge", "Running jobs that hold a limit; those of all keys, where the limit is a pattern.", ("limit",)
    ),
    "pgjobs_breaker_state": Metric(
        "gauge",
        "1 for the state that the circuit breaker has (closed, open, half_open), 0 for the others.",
        ("breaker", "state"),
        worst=True,
    ),
    "pgjobs_schedule_lateness_seconds": Metric(
        "gauge", "For how long a schedule that is not paused should have fired.", ("schedule",), worst=True
    ),
    "pgjobs_workflows": Metric(
        "gauge", "Workflows by state, those that have ended as long as they are kept; up to 10,000 of each.", ("state",)
    ),
    "pgjobs_held_snapshot_seconds": Metric(
        "gauge", "Age of the oldest transaction of this database, which keeps VACUUM from removing dead rows."
    ),
    "pgjobs_dead_rows": Metric(
        "gauge", "Dead rows that VACUUM has not removed yet, as PostgreSQL estimates them.", ("table",)
    ),
    "pgjobs_doctor_findings": Metric(
        "gauge", "What `pgjobs doctor` finds, without reading jobs one by one; looked at once a minute.", ("level",)
    ),
}


WORKERS: dict[str, Metric] = {
    **SHARED,
    "pgjobs_job_duration_seconds": Metric("histogram", "How long attempts ran.", ("queue", "task"), bounds=BUCKETS),
    "pgjobs_job_wait_seconds": Metric(
        "histogram",
        "From the time at which a job was due to its start, by this machine's clock.",
        ("queue",),
        bounds=BUCKETS,
    ),
    "pgjobs_slots": Metric("gauge", "How many jobs may run at once, over all processes.", ("queue",)),
    "pgjobs_slots_busy": Metric("gauge", "How many of these are taken.", ("queue",)),
    "pgjobs_claim_duration_seconds": Metric("histogram", "How long claims took.", ("queue",), bounds=QUICK_BUCKETS),
    "pgjobs_acknowledge_duration_seconds": Metric(
        "histogram", "How long it took to write the outcomes of a batch.", bounds=QUICK_BUCKETS
    ),
    "pgjobs_rescued_jobs_total": Metric("counter", "Jobs that were taken back from dead workers by this supervisor."),
    "pgjobs_processes": Metric(
        "gauge", "Worker processes: registered (they work or finish their jobs), starting.", ("state",)
    ),
    "pgjobs_process_deaths_total": Metric("counter", "Worker processes that died, or were killed for not ending."),
}


class Family:
    """The values of one metric, by their labels. That of a histogram is its counts and its sum."""

    def __init__(self, name: str, metric: Metric) -> None:
        self.name = name
        self.metric = metric
        self.values: dict[tuple[str, ...], float] = {}
        self.histograms: dict[tuple[str, ...], list[float]] = {}

    def put(self, value: float, *labels: str) -> None:
        """Take in a value. Labels that look the same once they are written are one: their values come together."""
        key = tuple(map(label, labels))
        before = self.values.get(key)
        if before is not None:
            value = max(before, value) if self.metric.worst else before + value
        self.values[key] = value

    def put_counts(self, counts: Sequence[float], *labels: str) -> None:
        """Take in a histogram: a number for each bucket, one for what is beyond them, and the sum of the values."""
        key = tuple(map(label, labels))
        before = self.histograms.get(key)
        self.histograms[key] = [*counts] if before is None else [a + b for a, b in zip(before, counts, strict=True)]


class Capped:
    """The values that a label may have: the first `most`, and `other` for the rest.

    >>> tasks = Capped(2)
    >>> [tasks(name) for name in ("a", "b", "c", "a")]
    ['a', 'b', 'other', 'a']

    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return the name, if it is one of the first, else `other`."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


def about(version: str, seconds: float, *, up: bool) -> list[Family]:
    """Return the families about the scrape itself."""
    up_family, build, duration = (Family(name, metric) for name, metric in ABOUT.items())
    up_family.put(float(up))
    build.put(1.0, version)
    duration.put(seconds)
    return [up_family, build, duration]


def families(metrics: dict[str, Metric]) -> dict[str, Family]:
    """Return an empty family for each metric."""
    return {name: Family(name, metric) for name, metric in metrics.items()}


def filled(found: Iterable[Family]) -> Sequence[Family]:
    """Return the families that have values."""
    return [family for family in found if family.values or family.histograms]
