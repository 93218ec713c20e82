"""What the demo's job counts, and that it may run twice."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgjobs import configure
from pgjobs.demo import tasks
from pgjobs.demo.sources import UNREADABLE, source_files
from pgjobs.demo.tables import make_tables
from pgjobs.demo.tasks import Findings, examine, index_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SOURCE = b"""\
import os, sys
from pathlib import Path

class Shop:
    def open(self): ...
    async def close(self): ...
"""


@pytest.fixture
def demo(conn: psycopg.Connection, database_url: str) -> Iterator[psycopg.Connection]:
    make_tables(conn)
    configure(database_url=database_url)
    yield conn
    tasks._thread.connection.close()


def test_lines_definitions_and_imports_are_counted() -> None:
    assert examine(SOURCE) == Findings(lines=6, definitions=3, imports=3)


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    assert examine(b"\xef\xbb\xbfx = 1\n").lines == 1


@pytest.mark.parametrize(("name", "error"), [("python2.txt", SyntaxError), ("latin1.txt", UnicodeDecodeError)])
def test_unreadable_files_of_demo_raise(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        examine((UNREADABLE / name).read_bytes())


def test_the_files_are_those_of_the_library_and_the_two_of_the_demo() -> None:
    files = source_files()

    assert Path(inspect.__file__) in files
    assert files[-2:] == [UNREADABLE / "latin1.txt", UNREADABLE / "python2.txt"]
    assert not [path for path in files if "site-packages" in path.parts]


def test_a_document_that_is_indexed_twice_has_one_row_that_says_so(demo: psycopg.Connection, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    demo.execute("INSERT INTO pgjobs_demo.documents (path) VALUES ('a.py')")

    for _ in range(2):
        index_document(1, str(tmp_path / "a.py"))

    assert demo.execute("SELECT document_id, lines, runs FROM pgjobs_demo.findings").fetchall() == [(1, 6, 2)]


def test_a_connection_on_which_something_failed_is_not_used_again(demo: psycopg.Connection, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    with pytest.raises(Exception, match="foreign key"):
        index_document(404, str(tmp_path / "a.py"))
    demo.execute("INSERT INTO pgjobs_demo.documents (path) VALUES ('a.py')")

    index_document(1, str(tmp_path / "a.py"))
