"""A snapshot as text, for `pgjobs top --once`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.cli.output import print_table, say
from pgjobs.cli.top.cells import (
    LETTERS,
    QUEUES,
    RUNNING,
    WORKERS,
    head,
    job_cells,
    letter_cells,
    queue_cells,
    worker_cells,
)
from pgjobs.cli.top.snapshot import MAX_DUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgjobs.cli.output import Column
    from pgjobs.cli.top.snapshot import Snapshot


def print_snapshot(snapshot: Snapshot) -> None:
    """Print all parts that have something in them."""
    say(head(snapshot))
    parts: list[tuple[Sequence[Column], list[list[str]]]] = [
        (QUEUES, [queue_cells(queue, MAX_DUE) for queue in snapshot.queues]),
        (RUNNING, [job_cells(job) for job in snapshot.running]),
        (LETTERS, [letter_cells(letter) for letter in snapshot.letters]),
        (WORKERS, [worker_cells(worker) for worker in snapshot.workers]),
    ]
    for columns, rows in parts:
        if rows:
            say("")
            print_table(columns, rows, empty="")
