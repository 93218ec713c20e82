"""The claims at the end of the demo: a sentence, the SQL that shows it, and a check of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import PgjobsError

if TYPE_CHECKING:
    import psycopg

PINGS = 100


class DemoError(PgjobsError):
    """A claim of the demo is not true here."""


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a query."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def __getitem__(self, column: str) -> Any:
        """Return a value of the first row."""
        return self.rows[0][self.columns.index(column)]


@dataclass(frozen=True, slots=True)
class Claim:
    """`wrong` returns what is wrong with the rows, given what the demo has done, or None."""

    sentence: str
    sql: str
    wrong: Callable[[Table, Facts], str | None]

    def look(self, conn: psycopg.Connection) -> Table:
        """Run the SQL."""
        cursor = conn.execute(self.sql.encode())
        return Table(tuple(column.name for column in cursor.description or ()), cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Facts:
    """What the demo has done: documents committed, jobs rolled back, and dead letters of readable files."""

    committed: int
    rolled_back: int
    dead_and_readable: int


def _every_document(found: Table, facts: Facts) -> str | None:
    if found["documents"] != facts.committed:
        return f"{facts.committed} documents were committed, and {found['documents']} are there."
    if found["both_or_neither"]:
        return f"{found['both_or_neither']} documents are indexed and dead, or neither."
    if facts.dead_and_readable:
        return f"{facts.dead_and_readable} of the dead letters are of files that can be read."
    return None


def _nothing_rolled_back(found: Table, facts: Facts) -> str | None:
    if found["rolled_back"] != facts.rolled_back or found["documents"] or found["jobs"]:
        return f"of {facts.rolled_back} rolled-back jobs {found['jobs']} are there."
    return None


def _all_ended(found: Table, facts: Facts) -> str | None:
    left = {row[0]: row[1] for row in found.rows if row[0] not in ("completed", "failed")}
    return f"not every job has ended: {left}." if left else None


def _letters_say_why(found: Table, facts: Facts) -> str | None:
    known = ("SyntaxError", "IndentationError", "TabError", "UnicodeDecodeError", "ValueError")
    others = [row[0] for row in found.rows if row[0] not in known]
    return f"dead letters that should not be there: {', '.join(others)}." if others else None


def _the_kill_was_felt(found: Table, facts: Facts) -> str | None:
    return None if found["attempts_lost"] else "no job was running in the worker process that was killed."


def _fast_enough_to_say(found: Table, facts: Facts) -> str | None:
    return None if found["jobs"] else "no job was run."


def _all_pings(found: Table, facts: Facts) -> str | None:
    return None if found["jobs"] == PINGS else f"{PINGS} pings were sent, and {found['jobs']} have run."


CLAIMS = tuple(
    Claim(sentence, dedent(sql).strip(), wrong)
    for sentence, sql, wrong in [
        (
            "Every document that was committed was indexed exactly once, or is a dead letter.",
            """
            SELECT count(*) AS documents, count(f.document_id) AS indexed, count(d.id) AS dead,
                   count(*) FILTER (WHERE (f.document_id IS NULL) = (d.id IS NULL)) AS both_or_neither
            FROM pgjobs_demo.documents AS doc
            LEFT JOIN pgjobs_demo.findings AS f ON f.document_id = doc.id
            LEFT JOIN pgjobs.dead_jobs AS d ON d.id = doc.job_id
            """,
            _every_document,
        ),
        (
            "The transaction that was rolled back has left nothing: no document, and no job.",
            """
            SELECT count(*) AS rolled_back, count(doc.id) AS documents, count(j.id) AS jobs
            FROM pgjobs_demo.rolled_back AS r
            LEFT JOIN pgjobs_demo.documents AS doc ON doc.path = r.path
            LEFT JOIN pgjobs.jobs AS j ON j.id = r.job_id
            """,
            _nothing_rolled_back,
        ),
        (
            "No job is lost or stuck.",
            """
            SELECT status, count(*) AS jobs, sum(attempt) AS attempts
            FROM pgjobs.jobs WHERE queue = 'pgjobs-demo' GROUP BY status ORDER BY status
            """,
            _all_ended,
        ),
        (
            "What the SIGKILL cost: attempts that were lost and repeated.\n"
            "Jobs that had written their row but not completed ran twice; the key kept it at one row.",
            """
            SELECT count(*) AS attempts_lost,
                   count(*) FILTER (WHERE j.status = 'completed') AS completed_later,
                   (SELECT count(*) FROM pgjobs_demo.findings WHERE runs > 1) AS ran_twice
            FROM pgjobs.jobs AS j, jsonb_array_elements(j.errors) AS e
            WHERE j.queue = 'pgjobs-demo' AND e ->> 'error' LIKE '%killed by SIGKILL'
            """,
            _the_kill_was_felt,
        ),
        (
            "The dead letters, and why. A SyntaxError is given up at once; what else fails uses up its attempts.",
            """
            SELECT split_part(d.error, ':', 1) AS error, max(d.attempt) AS attempts, count(*) AS letters,
                   substring(min(doc.path) FROM '[^/]*/[^/]*$') AS for_example
            FROM pgjobs.dead_jobs AS d
            LEFT JOIN pgjobs_demo.documents AS doc ON doc.job_id = d.id
            WHERE d.queue = 'pgjobs-demo' GROUP BY 1 ORDER BY 3 DESC, 1
            """,
            _letters_say_why,
        ),
        (
            "Jobs per second; one job parses one file.",
            """
            SELECT count(*) AS jobs, round(s.seconds, 1) AS seconds, round(count(*) / s.seconds) AS jobs_per_s,
                   (SELECT sum(lines) FROM pgjobs_demo.findings) AS lines,
                   (SELECT sum(definitions) FROM pgjobs_demo.findings) AS definitions,
                   (SELECT sum(imports) FROM pgjobs_demo.findings) AS imports
            FROM pgjobs.jobs, (SELECT extract(epoch FROM max(finished_at) - min(started_at)) AS seconds
                               FROM pgjobs.jobs WHERE queue = 'pgjobs-demo') AS s
            WHERE queue = 'pgjobs-demo' GROUP BY s.seconds
            """,
            _fast_enough_to_say,
        ),
        (
            "Latency of idle workers, from just before COMMIT to the first line of the job, jobs enqueued one by one.",
            """
            SELECT count(*) AS jobs, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 1) AS p50_ms,
                   round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 1) AS p99_ms
            FROM (SELECT 1000 * extract(epoch FROM ran_at - sent_at)::float8 AS ms FROM pgjobs_demo.pings) AS p
            """,
            _all_pings,
        ),
    ]
)
