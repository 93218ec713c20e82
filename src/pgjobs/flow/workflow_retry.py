"""Which steps of a workflow run again when it is retried, and what they wait for: decided without SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LOST = ("failed", "cancelled")


class EndedStep(NamedTuple):
    """A step, as far as that decides. `parent`: the step that has added it while it ran. `status`: None: not ended.

    `is_there`: its job still is; else retention has dropped it with its day of history, and it cannot run again.
    """

    job_id: int
    node: int
    needs: list[int] | None
    parent: int | None
    status: str | None
    is_there: bool = True


class Retry(NamedTuple):
    """What a retry changes, by ids.

    `again`: steps that run again. `gone`: those that go, because they are added again. `waiting`: those that have not
    begun, and wait for one of the former. `edges`: what these two wait for: a step, and one that it needs.
    """

    again: list[int]
    gone: set[int]
    waiting: list[int]
    edges: list[tuple[int, int]]


def may_run_again(step: EndedStep, what: str) -> bool:
    """Return True for a step that a retry may choose: one of what "failed", or any that has ended."""
    return step.status in LOST if what == "failed" else step.status is not None


def steps_to_retry(steps: Sequence[EndedStep], what: str) -> Retry:
    """Return what a retry changes.

    `what`: "failed" (or cancelled), "after": also what waited for one of these, or "all". What waits for a step waits
    for all that it has added, too. Of a step that stays lost, because its job is gone, those that run again are told
    anew: so they follow their `if_failed`.

    >>> graph = [EndedStep(1, 1, None, None, "failed"), EndedStep(2, 2, [1], None, "completed"),
    ...          EndedStep(3, 3, None, None, "completed"), EndedStep(4, 4, None, 2, "completed"),
    ...          EndedStep(5, 5, [1, 2], None, None)]
    >>> steps_to_retry(graph, "failed")
    Retry(again=[1], gone=set(), waiting=[5], edges=[(5, 1)])
    >>> steps_to_retry(graph, "after")
    Retry(again=[1, 2], gone={4}, waiting=[5], edges=[(2, 1), (5, 1), (5, 2)])
    >>> steps_to_retry(graph, "all")
    Retry(again=[1, 2, 3], gone={4}, waiting=[5], edges=[(2, 1), (5, 1), (5, 2)])

    """
    graph = _Graph(steps)
    failed = {step.job_id for step in steps if step.status in LOST}
    if what == "all":
        chosen = {step.job_id for step in steps if step.status is not None}
    elif what == "after":
        chosen = failed | graph.after(failed)
    else:
        chosen = failed
    chosen &= {step.job_id for step in steps if step.is_there}
    gone: set[int] = set()
    for step in steps:  # in the order of their ids: a step that adds others has a smaller one than those
        if step.parent in chosen or step.parent in gone:
            gone.add(step.job_id)
    again = chosen - gone
    nodes = {node for step in steps if step.job_id in chosen for node in graph.nodes_of(step)}
    waiting = [
        step.job_id
        for step in steps
        if step.status is None and step.job_id not in gone and not nodes.isdisjoint(step.needs or ())
    ]
    waits = again.union(waiting)
    edges = [
        (step.job_id, needed.job_id)
        for step in steps
        if step.job_id in waits
        for needed in graph.needed_by(step)
        if needed.job_id in again
        or (step.job_id in again and needed.job_id not in gone and needed.status not in ("completed", "skipped"))
    ]
    return Retry(sorted(again), gone, waiting, edges)


class _Graph:
    """The steps by what they need, and by what has added them."""

    def __init__(self, steps: Sequence[EndedStep]) -> None:
        self._needed: dict[tuple[int, ...], list[EndedStep]] = {}
        self._steps = {step.job_id: step for step in steps}
        self._of_node: dict[int, list[EndedStep]] = defaultdict(list)
        self._needing: dict[int, list[EndedStep]] = defaultdict(list)
        self._added_by: dict[int, list[EndedStep]] = defaultdict(list)
        for step in steps:
            self._of_node[step.node].append(step)
            if step.parent is not None:
                self._added_by[step.parent].append(step)
            for node in step.needs or ():
                self._needing[node].append(step)

    def nodes_of(self, step: EndedStep) -> Iterator[int]:
        """Yield the nodes that a step is part of: its own, and those of the steps that have led to it."""
        found: EndedStep | None = step
        while found is not None:
            yield found.node
            found = None if found.parent is None else self._steps.get(found.parent)

    def needed_by(self, step: EndedStep) -> list[EndedStep]:
        """Return the steps that one waits for, with all that they have added."""
        needs = tuple(step.needs or ())
        if needs not in self._needed:
            self._needed[needs] = self._find(needs)
        return self._needed[needs]

    def _find(self, needs: tuple[int, ...]) -> list[EndedStep]:
        found = {each.job_id: each for node in needs for each in self._of_node[node]}
        left = list(found.values())
        while left:
            for added in self._added_by[left.pop().job_id]:
                if added.job_id not in found:
                    found[added.job_id] = added
                    left.append(added)
        return list(found.values())

    def after(self, failed: set[int]) -> set[int]:
        """Return the steps that have ended, and waited for one of these, directly or not."""
        found: set[int] = set()
        nodes = list({node for job in failed for node in self.nodes_of(self._steps[job])})
        seen = set(nodes)
        while nodes:
            for step in self._needing[nodes.pop()]:
                if step.status is not None:
                    found.add(step.job_id)
                for node in self.nodes_of(step):
                    if node not in seen:
                        seen.add(node)
                        nodes.append(node)
        return found
