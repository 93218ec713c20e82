"""Reasons of items of pipelines: the next stage has no room, or the pipeline is paused."""

from __future__ import annotations

from pgjobs.core.text import plural
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import argument
from pgjobs.diagnose.why.snapshot import Snapshot


def paused(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its pipeline is paused, and it is in the first stage."""
    stage = snapshot.stage
    if snapshot.job is None or stage is None or not stage.paused:
        return None
    return Finding(
        "pipeline_paused",
        f"Job {snapshot.id} does not start, because its pipeline {stage.pipeline} is paused.",
        f"Resume it: `pgjobs pipelines resume {argument(stage.pipeline)}`.",
        {"pipeline": stage.pipeline},
    )


def no_room(snapshot: Snapshot) -> Finding | None:
    """Return a finding if as many items wait in the next stage as may."""
    stage = snapshot.stage
    if snapshot.job is None or stage is None or stage.paused or stage.room is None or stage.room > 0:
        return None
    verb = "is on its" if stage.coming == 1 else "are on their"
    coming = f", {stage.coming:,} more {verb} way" if stage.coming else ""
    return Finding(
        "no_room",
        f"Job {snapshot.id} waits for room in {stage.next}: {plural(stage.waiting, 'item')} of the pipeline "
        f"{stage.pipeline} {'waits' if stage.waiting == 1 else 'wait'} there{coming}, and {stage.at_most:,} may.",
        f"See where it jams, with `pgjobs pipelines show {argument(stage.pipeline)}`: give that stage more slots, or "
        "fix what holds it up.",
        {"pipeline": stage.pipeline, "stage": stage.stage, "next": stage.next, "waiting": stage.waiting},
    )
