"""Where a pipeline jams: decided from what waits in its stages."""

from __future__ import annotations

from typing import NamedTuple


class StageLoad(NamedTuple):
    """What a stage holds. `waiting`, `running`: items there; `at_most`: how many may wait (None: the first stage)."""

    name: str
    waiting: int
    running: int
    at_most: int | None


def room_in(stage: StageLoad, before: StageLoad) -> int | None:
    """Return how many items the stage has room for: those that run in the one before will each lead to one."""
    return None if stage.at_most is None else stage.at_most - stage.waiting - before.running


def jam_of(stages: list[StageLoad]) -> str | None:
    """Return the stage that holds the others up: the last one that is full. None: no stage is.

    >>> parse, embed = StageLoad("parse", 500, 0, None), StageLoad("embed", 10, 4, 10)
    >>> store = StageLoad("store", 2, 1, 10)
    >>> jam_of([parse, embed, store])
    'embed'
    >>> jam_of([parse, embed, store._replace(waiting=12)])
    'store'
    >>> jam_of([parse, embed._replace(waiting=3), store])

    """
    for stage in reversed(stages):
        if stage.at_most is not None and stage.waiting >= stage.at_most:
            return stage.name
    return None
