"""Inserts what items of pipelines have led to in the next stages, in the transaction that completes the items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pgjobs.db.statements import statement

if TYPE_CHECKING:
    import psycopg

    from pgjobs.flow.stage import NextItems

ROWS_AT_ONCE = 2_000  # rows of one statement


def pass_on(cursor: psycopg.Cursor[Any], items: Iterable[NextItems]) -> None:
    """Insert these items. One statement writes those of a stage, with the same metadata.

    Raises:
        TriggeredActionException: a trigger or rule of others has kept one out.

    """
    for values in statements(items):
        if cursor.execute(statement("enqueue_many_in_lane"), values).rowcount != len(values["payloads"]):
            from psycopg.errors import TriggeredActionException

            raise TriggeredActionException("a trigger or rule of pgjobs.jobs has kept an item out")


def statements(items: Iterable[NextItems]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each statement."""
    groups: dict[tuple[Any, ...], list[NextItems]] = defaultdict(list)
    for each in items:
        groups[each.shared()].append(each)
    for group in groups.values():
        rows = {name: [value for each in group for value in each.rows[name]] for name in group[0].rows}
        for at in range(0, len(rows["payloads"]), ROWS_AT_ONCE):
            part = {name: values[at : at + ROWS_AT_ONCE] for name, values in rows.items()}
            yield {**group[0].columns, **group[0].common, **part}
