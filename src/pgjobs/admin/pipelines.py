"""Pipelines: list and show them, pause and resume them, and remove those that no code declares.

They are declared in code, by `pgjobs.pipeline`; here they can be paused, but not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.validate import check_name
from pgjobs.db.adapters.operations import operation
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import fetch_dicts
from pgjobs.flow.pipeline_state import StageLoad, jam_of, room_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import psycopg

MAX_PIPELINE_NAME = 60  # characters
CAP = 100_000  # items that wait and are counted in a stage
SEEN = 200_000  # jobs of history from which rates are computed


@dataclass(frozen=True)
class PipelineStage:
    """A stage of a pipeline, and its items.

    `room`: how many more may wait here (below 0: what one job has yielded was more than there was room for); None: the
    first stage. `rate`: items that completed in a second, in the last minute; 0 also where the queue keeps no history.
    `dead`: its dead letters. `waits_for`: the next stage, if that has no room.
    """

    name: str
    task: str
    queue: str
    waiting: int
    room: int | None
    running: int
    rate: float
    dead: int
    waits_for: str | None


@dataclass(frozen=True)
class PipelineRow:
    """A pipeline as it is listed.

    `app`: whose code declares it. `state`: active; paused: its first stage starts nothing; or retired: no code declares
    it now. `at_most`: how many items may wait in each stage behind the first. `jam`: the stage that holds up those
    before it; None: none does.
    """

    name: str
    app: str
    state: str
    at_most: int
    stages: list[PipelineStage]
    jam: str | None
    paused_at: datetime | None
    retired_at: datetime | None
    created_at: datetime
    updated_at: datetime


@operation
def list_pipelines(conn: psycopg.Connection) -> list[PipelineRow]:
    """List all pipelines, by name. Items that wait in a stage are counted up to 100,000, or to what it has room for."""
    return _pipelines(conn, None)


@operation
def show_pipeline(conn: psycopg.Connection, name: str) -> PipelineRow:
    """Return one pipeline.

    Raises:
        NotFoundError: there is no pipeline of that name.

    """
    found = _pipelines(conn, check_name("name", name, MAX_PIPELINE_NAME))
    if not found:
        raise NotFoundError(f"There is no pipeline {name!r}: `pgjobs pipelines list` shows what there is.")
    return found[0]


@operation
def pause_pipeline(conn: psycopg.Connection, name: str) -> bool:
    """Pause a pipeline at its first stage; return False if it was paused already. A deployment does not resume it.

    Items can be enqueued, and wait. Those that are in later stages go through all of them, so that it runs empty.

    Raises:
        NotFoundError: there is no pipeline of that name.

    """
    show_pipeline(conn, name)
    return bool(fetch_dicts(conn, "pause_pipeline", pipeline=name))


@operation
def resume_pipeline(conn: psycopg.Connection, name: str) -> bool:
    """Resume a pipeline; return False if it was not paused.

    Raises:
        NotFoundError: there is no pipeline of that name.

    """
    first = show_pipeline(conn, name).stages[0]
    resumed = bool(fetch_dicts(conn, "resume_pipeline", pipeline=name))
    if resumed:
        notify_queues(conn, [first.queue])
    return resumed


@operation
def remove_pipeline(conn: psycopg.Connection, name: str) -> None:
    """Remove a retired pipeline. Items that are in it stay, and cannot be run until code declares it again.

    Raises:
        NotFoundError: there is no pipeline of that name.
        UsageError: code declares it, and would declare it again.

    """
    row = show_pipeline(conn, name)
    if not fetch_dicts(conn, "remove_pipeline", pipeline=name):
        raise UsageError(
            f"the pipeline {name!r} is declared in the code of {row.app}, which would declare it again: remove it "
            "there."
        )


def _pipelines(conn: psycopg.Connection, name: str | None) -> list[PipelineRow]:
    rows = fetch_dicts(conn, "list_pipelines", pipeline=name, cap=CAP, seen=SEEN)
    return [_made_of(list(some)) for _, some in groupby(rows, itemgetter("pipeline"))]


def _made_of(rows: list[dict[str, Any]]) -> PipelineRow:
    first = rows[0]
    loads = [
        StageLoad(row["name"], row["waiting"], row["running"], row["at_most"] if place else None)
        for place, row in enumerate(rows)
    ]
    return PipelineRow(
        name=first["pipeline"],
        app=first["app"],
        state="retired" if first["retired_at"] else "paused" if first["paused_at"] else "active",
        at_most=first["at_most"],
        stages=list(_stages(rows, loads)),
        jam=jam_of(loads),
        **{name: first[name] for name in ("paused_at", "retired_at", "created_at", "updated_at")},
    )


def _stages(rows: list[dict[str, Any]], loads: list[StageLoad]) -> Iterable[PipelineStage]:
    for place, (row, load) in enumerate(zip(rows, loads, strict=True)):
        following = room_in(loads[place + 1], load) if place + 1 < len(loads) else None
        yield PipelineStage(
            name=load.name,
            task=row["task"],
            queue=row["queue"],
            waiting=load.waiting,
            room=room_in(load, loads[place - 1]),
            running=load.running,
            rate=round(row["rate"], 3),
            dead=row["dead"],
            waits_for=loads[place + 1].name if load.waiting and following is not None and following <= 0 else None,
        )
