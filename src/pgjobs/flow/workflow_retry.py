"""Which steps of a workflow run again when it is retried: decided without SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class EndedStep(NamedTuple):
    """A step, as far as that decides. `parent`: the step that has added it while it ran. `status`: None: not ended."""

    job_id: int
    node: int
    needs: list[int] | None
    parent: int | None
    status: str | None


class Retry(NamedTuple):
    """What a retry changes, by ids.

    `again`: steps that run again. `gone`: those that go, because they are added again. `waiting`: those that have not
    begun, and wait for one of the former.
    """

    again: list[int]
    gone: set[int]
    waiting: list[int]


def steps_to_retry(steps: Sequence[EndedStep], what: str) -> Retry:
    """Return what a retry changes.

    `what`: "failed" (or cancelled), "after": also what waited for one of these, or "all".

    >>> graph = [EndedStep(1, 1, None, None, "failed"), EndedStep(2, 2, [1], None, "completed"),
    ...          EndedStep(3, 3, None, None, "completed"), EndedStep(4, 4, None, 2, "completed"),
    ...          EndedStep(5, 5, [1, 2], None, None)]
    >>> steps_to_retry(graph, "failed")
    Retry(again=[1], gone=set(), waiting=[5])
    >>> steps_to_retry(graph, "after")
    Retry(again=[1, 2], gone={4}, waiting=[5])
    >>> steps_to_retry(graph, "all")
    Retry(again=[1, 2, 3], gone={4}, waiting=[5])

    """
    failed = {step.job_id for step in steps if step.status in ("failed", "cancelled")}
    if what == "all":
        chosen = {step.job_id for step in steps if step.status is not None}
    elif what == "after":
        chosen = failed | _after(steps, failed)
    else:
        chosen = failed
    gone: set[int] = set()
    for step in sorted(steps, key=lambda step: step.job_id):  # a step that adds others has a smaller id than those
        if step.parent in chosen or step.parent in gone:
            gone.add(step.job_id)
    nodes = {step.node for step in steps if step.job_id in chosen}
    waiting = [
        step.job_id
        for step in steps
        if step.status is None and step.job_id not in gone and not nodes.isdisjoint(step.needs or ())
    ]
    return Retry(sorted(chosen - gone), gone, waiting)


def _after(steps: Sequence[EndedStep], failed: set[int]) -> set[int]:
    """Return the steps that have ended, and waited for one of these, directly or not."""
    needing: dict[int, list[EndedStep]] = defaultdict(list)
    for step in steps:
        for node in step.needs or ():
            needing[node].append(step)
    found: set[int] = set()
    nodes = [step.node for step in steps if step.job_id in failed]
    seen = set(nodes)
    while nodes:
        for step in needing[nodes.pop()]:
            if step.status is not None:
                found.add(step.job_id)
            if step.node not in seen:
                seen.add(step.node)
                nodes.append(step.node)
    return found
