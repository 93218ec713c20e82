"""Which job is which step, and what waits for what: decided from the graph alone, without SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pgjobs.core.errors import UsageError

MAX_EDGES = 1_000_000


class PlannedNode(Protocol):
    """What a plan has to know of a node: `add` or `map` was called once for it."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def needs(self) -> list[int]:
        """The nodes that it waits for, by their indexes."""

    @property
    def if_failed(self) -> str:
        """What it does when one of these fails."""

    @property
    def items(self) -> Sequence[object] | None:
        """Of a map over a list: one for each job."""

    @property
    def at_once(self) -> int | None:
        """How many of its jobs run at a time."""


@dataclass(slots=True)
class Plan:
    """The jobs of a graph, by number from 0. `first`: of each node, and after the last; `edges`: what each needs."""

    first: list[int]
    edges: list[list[tuple[int, str]]] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return self.first[-1]

    @property
    def roots(self) -> int:
        """How many of them wait for no other one."""
        return sum(not needed for needed in self.edges)

    def jobs_of(self, node: int) -> range:
        """Return the jobs of a node."""
        return range(self.first[node], self.first[node + 1])


def make_plan(nodes: Sequence[PlannedNode]) -> Plan:
    """Make a plan: number the jobs of a graph, and say which of them each one waits for.

    Of a map with `at_once`, each job waits for the one that many places before it, however that ends: so no more than
    that many run at a time.

    Raises:
        UsageError: a node waits for itself, or for one that waits for it; or there are too many edges.

    """
    check_order(nodes)
    first = [0]
    for node in nodes:
        first.append(first[-1] + (1 if node.items is None else len(node.items)))
    plan, count = Plan(first), 0
    for index, node in enumerate(nodes):
        needed = [(job, node.if_failed) for needs in node.needs for job in plan.jobs_of(needs)]
        here = plan.jobs_of(index)
        count += len(needed) * len(here)
        if count > MAX_EDGES:
            raise UsageError(
                f"{node.name} makes this workflow one of more than {MAX_EDGES:,} edges: each of {len(here):,} jobs "
                f"waits for {len(needed):,}. Put a step between, which waits for the ones and lets go the others."
            )
        for job in here:
            before = job - (node.at_once or len(here))
            turn = [(before, "run")] if before >= here.start and (before, "run") not in needed else []
            plan.edges.append([*needed, *turn])
    return plan


def check_order(nodes: Sequence[PlannedNode]) -> None:
    """Refuse cycles: a node waits for nodes before it alone.

    Raises:
        UsageError: there is one.

    """
    for index, node in enumerate(nodes):
        late = next((needed for needed in node.needs if not 0 <= needed < index), None)
        if late is not None:
            name = nodes[late].name if 0 <= late < len(nodes) else "a step that is not there"
            raise UsageError(f"{node.name} waits for {name}, which does not come before it: a workflow has no cycles.")
