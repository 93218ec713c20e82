"""Stages of a pipeline: what a row has to say of its own, and what an item has led to.

The lane of an item says in which stage it is, as a sixth part. So items wait lane by lane, a stage whose next one has
no room costs a claim one look, and neither a column nor an index of plain jobs knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pgjobs.flow.batch import SEPARATOR

MAX_LANE = 420  # characters, as jobs_waiting_lane_check has it
_PARTS = 6


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pipeline. `module`: where the pipeline is declared."""

    pipeline: str
    name: str
    module: str

    @property
    def key(self) -> str:
        """What it is called in lanes and tables; no two stages have the same."""
        return f"{self.pipeline}/{self.name}"

    def head(self) -> dict[str, str]:
        """Return what the payload of an item says."""
        return {"pipeline": self.pipeline, "stage": self.name, "module": self.module}


def stage_of_lane(lane: str) -> str | None:
    r"""Return the key of the stage whose items wait in a lane; None: it is of no pipeline.

    >>> stage_of_lane("\x1f\x1fdoc:1\x1f\x1f\x1findex/embed")
    'index/embed'
    >>> stage_of_lane("\x1f\x1fdoc:1\x1f")

    """
    parts = lane.split(SEPARATOR, _PARTS - 1)
    return parts[-1] or None if len(parts) == _PARTS else None


@dataclass(frozen=True, slots=True)
class NextItems:
    """What an item has led to in the next stage.

    `columns`, `common`: what all of them share. `rows`: by the names of the statement's arrays, a value for each item.
    """

    columns: dict[str, Any]
    common: dict[str, Any]
    rows: dict[str, list[Any]]

    def shared(self) -> tuple[Any, ...]:
        """Return what is the same for what one statement can insert."""
        return (*self.columns.values(), *self.common.values())
