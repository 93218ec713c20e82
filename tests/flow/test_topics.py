"""Topics and their patterns: what they may be, what matches what, and that PostgreSQL says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs.core.errors import UsageError
from pgjobs.flow.topics import check_pattern, check_topic, matches

if TYPE_CHECKING:
    import psycopg

SEGMENTS = st.sampled_from(["a", "b", "order", "a-b", "X:1", "_"])
TOPICS = st.lists(SEGMENTS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(SEGMENTS, st.sampled_from("*#")), min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("order.placed", "order.placed", True),
        ("order.placed", "order.paid", False),
        ("order.*", "order.placed", True),
        ("order.*", "order", False),
        ("order.*", "order.item.added", False),
        ("order.#", "order", True),
        ("order.#", "order.item.added", True),
        ("order.#", "orders.placed", False),
        ("*.placed", "order.placed", True),
        ("*", "order", True),
        ("*", "order.placed", False),
        ("#", "order.item.added", True),
        ("#.added", "added", True),
        ("order.#.added", "order.added", True),
        ("order.#.added", "order.item.line.added", True),
        ("order.#.added", "order.item.removed", False),
        ("#.item.#", "order.item", True),
        ("order.*.#", "order", False),
    ],
)
def test_a_star_is_one_segment_and_a_hash_any_number(pattern: str, topic: str, expected: bool) -> None:
    assert matches(check_pattern(pattern), check_topic(topic)) is expected


@pytest.mark.parametrize("topic", ["", ".", "order.", "a..b", "order.*", "#", "a b", "ä", "a" * 201, 'a"', None, 7])
def test_a_text_that_cannot_be_a_topic_is_refused(topic: object) -> None:
    with pytest.raises(UsageError, match="separated by dots"):
        check_topic(topic)


@pytest.mark.parametrize("pattern", ["", "order.", "order*", "a#", "a.**", "a b", "a" * 201, None])
def test_a_text_that_cannot_be_a_pattern_is_refused(pattern: object) -> None:
    with pytest.raises(UsageError, match=r"order\.\*"):
        check_pattern(pattern)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(PATTERNS, TOPICS), min_size=20, max_size=60))
def test_postgresql_matches_what_python_matches(conn: psycopg.Connection, pairs: list[tuple[str, str]]) -> None:
    """With the function, and with what a statement looks at: prefix and expression."""
    patterns, topics = map(list, zip(*pairs, strict=True))
    rows = conn.execute(
        """
        SELECT pgjobs.topic_matches(p, t),
               p = t OR coalesce(starts_with(t, rtrim(split_part(translate(p, '#', '*'), '*', 1), '.'))
                                 AND (t || '.') ~ pgjobs.topic_regex(p), false)
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS a (p, t, n) ORDER BY n
        """,
        [patterns, topics],
    ).fetchall()
    expected = [matches(pattern, topic) for pattern, topic in pairs]
    assert [row[0] for row in rows] == expected
    assert [row[1] for row in rows] == expected
