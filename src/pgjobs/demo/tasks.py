"""The demo's jobs, as an application would write them: functions of a module that the workers import.

A job may run more than once, but its effect happens exactly once: the job writes its findings in one transaction, under
a key that is the same in every run (the document's id). A second run finds the row and only increments `runs`.
"""

from __future__ import annotations

import ast
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs import connect, job

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

QUEUE = "pgjobs-demo"
PING_QUEUE = "pgjobs-demo-ping"

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of a source file: lines, functions and classes, imported modules."""

    lines: int
    definitions: int
    imports: int


def examine(source: bytes) -> Findings:
    """Count what is in a source file.

    Raises:
        UnicodeDecodeError: the file is not UTF-8.
        SyntaxError: the file is not Python, or not of this version.

    """
    text = source.decode("utf-8-sig")
    tree = ast.parse(text)
    definitions = imports = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions += 1
        elif isinstance(node, ast.Import):
            imports += len(node.names)
        elif isinstance(node, ast.ImportFrom):
            imports += 1
    return Findings(len(text.splitlines()), definitions, imports)


@job(queue=QUEUE, max_attempts=3, backoff=0.2, give_up_on=SyntaxError, timeout=60)
def index_document(document_id: int, path: str) -> None:
    """Record what is in a source file. A file that does not parse is not tried again: it never will."""
    found = examine(Path(path).read_bytes())
    with connection() as conn:
        conn.execute(
            """
            INSERT INTO pgjobs_demo.findings AS f (document_id, lines, definitions, imports)
            VALUES (%s, %s, %s, %s)
            ON CONFLICT (document_id) DO UPDATE SET runs = f.runs + 1
            """,
            (document_id, found.lines, found.definitions, found.imports),
        )


@job(queue=PING_QUEUE)
def ping(number: int, sent_at: datetime) -> None:
    """Record when the job was sent, and when it ran."""
    ran_at = datetime.now(UTC)
    with connection() as conn:
        conn.execute(
            "INSERT INTO pgjobs_demo.pings (number, sent_at, ran_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (number, sent_at, ran_at),
        )


@contextmanager
def connection() -> Iterator[psycopg.Connection]:
    """Lend this thread's connection for a transaction, which is committed at the end of the block."""
    conn: psycopg.Connection | None = getattr(_thread, "connection", None)
    if conn is None or conn.closed:
        conn = _thread.connection = connect(autocommit=True)
    try:
        with conn.transaction():
            yield conn
    except BaseException:
        conn.close()  # the next job opens a new one
        raise


# The library's tests have invalid escapes on purpose, and would cause hundreds of warnings.
warnings.filterwarnings("ignore", category=SyntaxWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning, module="<unknown>")
