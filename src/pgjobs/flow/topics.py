"""Topics of events, and the patterns of those who subscribe: `order.placed` is matched by `order.*` and `order.#`.

A topic is segments with dots between them. In a pattern `*` stands for one segment, and `#` for any number of them,
also for none. Both are whole segments. The twin in SQL is `pgjobs.topic_matches`.
"""

from __future__ import annotations

import re

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str

MAX_TOPIC = 200  # characters, of a pattern too
_SEGMENT = r"[A-Za-z0-9_:-]+"
_TOPIC = re.compile(rf"{_SEGMENT}(\.{_SEGMENT})*")
_PATTERN = re.compile(rf"({_SEGMENT}|[*#])(\.({_SEGMENT}|[*#]))*")


def check_topic(topic: object) -> str:
    """Return a topic.

    Raises:
        UsageError: it is not one of up to 200 characters.

    """
    text = as_str(topic)
    if text is None or len(text) > MAX_TOPIC or not _TOPIC.fullmatch(text):
        raise UsageError(
            f"topic={shorten_repr(topic)}: give segments of letters, digits, _, - and :, separated by dots, such as "
            f"'order.placed', of {MAX_TOPIC} characters at most."
        )
    return text


def check_pattern(pattern: object) -> str:
    """Return a pattern of topics.

    Raises:
        UsageError: it is not one of up to 200 characters.

    """
    text = as_str(pattern)
    if text is None or len(text) > MAX_TOPIC or not _PATTERN.fullmatch(text):
        raise UsageError(
            f"pattern={shorten_repr(pattern)}: give a topic such as 'order.placed', in which * stands for one segment "
            f"and # for any number of them ('order.*', 'order.#'), of {MAX_TOPIC} characters at most."
        )
    return text


def matches(pattern: str, topic: str) -> bool:
    """Return True if a pattern matches a topic; both are checked."""
    if "*" not in pattern and "#" not in pattern:
        return pattern == topic
    # How many segments of the topic the segments of the pattern so far may stand for.
    segments = topic.split(".")
    reached = {0}
    for part in pattern.split("."):
        if part == "#":
            reached = set(range(min(reached, default=len(segments) + 1), len(segments) + 1))
        else:
            reached = {n + 1 for n in reached if n < len(segments) and part in ("*", segments[n])}
    return len(segments) in reached
