"""Where the nodes of a workflow, and the lines between them, stand in a picture: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pgjobs.core.text import short_duration

if TYPE_CHECKING:
    from pgjobs.admin import WorkflowNode

MAX_NODES = 120
WIDTH, HEIGHT = 152, 44  # of a node
GAP_X, GAP_Y = 44, 16
MARGIN = 8
NAME = 19  # characters


@dataclass(frozen=True)
class Box:
    """A node. `state`: the word for how it is. `share`: how much of it has ended, from 0 to 1."""

    node: WorkflowNode
    x: int
    y: int
    name: str
    state: str
    detail: str
    share: float
    is_critical: bool


@dataclass(frozen=True)
class Line:
    """A line from one node to one that waits for it. `path`: what SVG calls its path."""

    path: str
    is_critical: bool


@dataclass(frozen=True)
class Graph:
    """A picture. `left_out`: nodes that have no place in it."""

    width: int
    height: int
    boxes: list[Box]
    lines: list[Line]
    left_out: int


def draw(nodes: Sequence[WorkflowNode], path: Sequence[int]) -> Graph:
    """Place nodes in columns: each to the right of all that it waits for."""
    depth: dict[int, int] = {}
    for node in sorted(nodes, key=lambda node: node.id):
        depth[node.id] = max((depth[needed] + 1 for needed in node.needs if needed in depth), default=0)
    shown = sorted(nodes, key=lambda node: (depth[node.id], node.id))[:MAX_NODES]
    critical = set(path) if len(path) > 1 else set()
    steps = set(pairwise(path))
    columns: dict[int, list[WorkflowNode]] = {}
    for node in shown:
        columns.setdefault(depth[node.id], []).append(node)
    places: dict[int, tuple[int, int]] = {}
    for column in sorted(columns):
        # Near those that it waits for, which keeps lines short.
        order = sorted(columns[column], key=lambda node: (_middle(node, places), node.id))
        for row, node in enumerate(order):
            places[node.id] = (MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    boxes = [_box(node, *places[node.id], is_critical=node.id in critical) for node in shown]
    lines = [
        Line(_curve(places[needed], places[node.id]), (needed, node.id) in steps)
        for node in shown
        for needed in node.needs
        if needed in places
    ]
    return Graph(
        width=max((box.x + WIDTH + MARGIN for box in boxes), default=0),
        height=max((box.y + HEIGHT + MARGIN for box in boxes), default=0),
        boxes=boxes,
        lines=sorted(lines, key=lambda line: line.is_critical),
        left_out=len(nodes) - len(shown),
    )


def _middle(node: WorkflowNode, places: dict[int, tuple[int, int]]) -> float:
    heights = [places[needed][1] for needed in node.needs if needed in places]
    return sum(heights) / len(heights) if heights else 0.0


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x2, y2 = end[0], end[1] + HEIGHT // 2
    bend = max((x2 - x1) // 2, GAP_X // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def _box(node: WorkflowNode, x: int, y: int, *, is_critical: bool) -> Box:
    ended = node.completed + node.failed + node.cancelled + node.skipped
    name = node.name if len(node.name) <= NAME else f"{node.name[: NAME - 1]}…"
    detail = f"{ended:,} of {node.steps:,}" if node.steps > 1 else state_of(node)
    if node.seconds is not None:
        detail += f" · {short_duration(node.seconds)}"
    share = ended / node.steps if node.steps else 0.0
    return Box(node, x, y, name, state_of(node), detail, share, is_critical)


def state_of(node: WorkflowNode) -> str:
    """Return the word for how the steps of a node are: the worst that is not over, or how all have ended."""
    for state in ("failed", "running", "queued", "waiting", "cancelled"):
        if getattr(node, state):
            return state
    return "failed" if node.dead else "completed" if node.completed else "skipped"
