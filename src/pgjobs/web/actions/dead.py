"""Replay and discard dead letters: one, a group, or those of a filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.core.errors import UsageError
from pgjobs.core.text import plural
from pgjobs.db.query import clock
from pgjobs.web.actions.action import Action, Asked, Done, Field, Preview
from pgjobs.web.actions.previewed import pack, unpack
from pgjobs.web.alike import alike
from pgjobs.web.values import CAP, count

if TYPE_CHECKING:
    from pgjobs.admin import Change, DeadLetter

GROUP = ("queue", "task", "alike")
PAGE = 2_000
SCANNED = 50_000  # letters that are looked through


def _find(asked: Asked) -> tuple[list[int], bool]:
    """Return the ids of the letters of a group, the newest first, and whether there are more."""
    queue, task, wanted = (asked.optional(name) for name in GROUP)
    given = asked.optional("until")
    until, previewed = (None, None) if given is None else unpack(given)
    found: list[int] = []
    last: DeadLetter | None = None
    for _ in range(SCANNED // PAGE):
        page = admin.list_dead(
            asked.conn,
            queue=queue,
            task=task,
            limit=PAGE,
            before=None if last is None else last.id,
            died_before=None if last is None else last.died_at,
        )
        found += [
            letter.id
            for letter in page
            # What was not in the preview is left alone, and so is what has died again since.
            if (until is None or letter.died_at <= until)
            and (previewed is None or letter.id in previewed)
            and (wanted is None or alike(letter.error) == wanted)
        ]
        if len(page) < PAGE or len(found) > CAP:
            return found[:CAP], len(found) > CAP
        last = page[-1]
    return found[:CAP], True


def _group(sentence: str, fields: tuple[Field, ...] = ()) -> Callable[[Asked], Preview]:
    def preview(asked: Asked) -> Preview:
        ids, more = _find(asked)
        named = ", ".join(f"{name} {asked.needed(name)}" for name in GROUP if asked.optional(name)) or "all of them"
        notes = (f"At most {CAP:,} are changed at once: repeat it for the rest.",) if more else ()
        noun = "dead letter" if len(ids) == 1 else "dead letters"
        return Preview(
            f"{sentence.format(count(len(ids), more=more), noun)} {named}.",
            len(ids),
            more,
            notes,
            fields=fields,
            until=pack(clock(asked.conn), ids),
        )

    return preview


def _one(sentence: str) -> Callable[[Asked], Preview]:
    def preview(asked: Asked) -> Preview:
        letter = admin.show_dead(asked.conn, asked.id())
        return Preview(sentence.format(f"{letter.id}, {letter.summary or letter.task}"), 1)

    return preview


def _came_of(change: Change, word: str) -> Done:
    """Write what came of a change.

    Raises:
        UsageError: nothing was changed, because all was refused.

    """
    if not change.done and change.refused:
        raise UsageError(change.refused[0].reason)
    refused = f"; {len(change.refused):,} were left: {change.refused[0].reason}" if change.refused else "."
    return Done(len(change.done), f"{plural(len(change.done), 'dead letter')} {word}{refused}")


def _replay(ids: Callable[[Asked], list[int]]) -> Callable[[Asked], Done]:
    return lambda asked: _came_of(admin.replay_dead(asked.conn, ids(asked), rate=asked.optional("rate")), "replayed")


def _discard(ids: Callable[[Asked], list[int]]) -> Callable[[Asked], Done]:
    return lambda asked: _came_of(admin.discard_dead(asked.conn, ids(asked)), "discarded")


def _id(asked: Asked) -> list[int]:
    return [asked.id()]


def _ids(asked: Asked) -> list[int]:
    return _find(asked)[0]


RATE = (Field("rate", "Due at a rate, such as 10/s or 100/min; else all now"),)
ACTIONS: dict[str, Action] = {
    "replay-letter": Action(
        "retry",
        "Replay a dead letter",
        ("id",),
        _one("Queue dead letter {} again, due now, with fresh attempts."),
        _replay(_id),
        "/jobs/{id}",
    ),
    "discard-letter": Action(
        "discard",
        "Discard a dead letter",
        ("id",),
        _one("Discard dead letter {}. The job stays in history as failed, as long as history is kept."),
        _discard(_id),
        "/dead",
        is_danger=True,
    ),
    "replay-letters": Action(
        "retry",
        "Replay dead letters",
        GROUP,
        _group("Queue {} {} again, with fresh attempts:", RATE),
        _replay(_ids),
        "/dead",
        fields=("rate",),
    ),
    "discard-letters": Action(
        "discard",
        "Discard dead letters",
        GROUP,
        _group("Discard {} {}:"),
        _discard(_ids),
        "/dead",
        is_danger=True,
    ),
}
