"""The named SQL statements of `sql/`: one in each file, in the folder of what it changes.

In the files the schema is always written `pgjobs`, and parameters are in psycopg's style, `%(name)s`. A name in braces,
such as `{kept_columns}`, stands for a list of columns: see enqueue_columns.py.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, LiteralString, cast

from pgjobs.core.config import DEFAULT_SCHEMA, Settings, settings
from pgjobs.db.enqueue_columns import LISTS
from pgjobs.db.installation import installation_name, text_hash

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_COMMENT = re.compile(r"^[ \t]*--.*\n?", re.MULTILINE)
_LIST = re.compile(r"\{([a-z_]+)\}")
_PARAMETER = re.compile(r"%\((\w+)\)s")


def rename_schema(sql: str, schema: str) -> str:
    """Put another schema's name where `sql` says `pgjobs.` or `'pgjobs'`.

    Raises:
        UsageError: it is not a plain identifier (see `Settings`): nothing else ever gets into SQL.

    """
    if Settings(schema=schema).schema == DEFAULT_SCHEMA:
        return sql
    return re.sub(r"\bpgjobs\.", f'"{schema}".', sql).replace("'pgjobs'", f"'{schema}'")


@cache
def _files() -> dict[str, Traversable]:
    from importlib.resources import files  # 14 ms: `pgjobs --help` does without

    return files_by_name(files("pgjobs.db") / "sql")


def files_by_name(root: Traversable) -> dict[str, Traversable]:
    """Return the file of each statement by its name, whatever its folder.

    Raises:
        AssertionError: two folders have a statement of one name, and only one of the two would ever run.

    """
    found: dict[str, Traversable] = {}
    for folder in root.iterdir():
        for file in folder.iterdir() if folder.is_dir() else ():
            name, dot, kind = file.name.rpartition(".")
            if dot and kind == "sql" and found.setdefault(name, file) is not file:
                raise AssertionError(f"two statements are called {name}: {found[name]} and {file}; rename one of them")
    return found


@cache
def _statement(name: str, schema: str) -> LiteralString:
    text = _LIST.sub(lambda found: LISTS[found[1]], _files()[name].read_text("utf-8"))
    # To mypy it is str anyway; pyright tells them apart.
    return cast("LiteralString", rename_schema(_COMMENT.sub("", text).strip(), schema))  # type: ignore[redundant-cast]


def statement(name: str, schema: str | None = None) -> LiteralString:
    """Return the statement `sql/*/{name}.sql` for the schema (default: the setting), with psycopg's placeholders."""
    return _statement(name, schema or settings().schema)


def load_statements() -> None:
    """Read all statements now, before any job runs here."""
    for name in _files():
        statement(name)


@cache
def _named(name: str, schema: str) -> str:
    return _PARAMETER.sub(r":\1", _statement(name, schema))


def named_statement(name: str, schema: str | None = None) -> str:
    """Return the same statement with `:name` placeholders, as `sqlalchemy.text` reads them."""
    return _named(name, schema or settings().schema)


def doorbell_channel(queue: str, schema: str | None = None) -> str:
    """Name the NOTIFY channel of a queue, as the SQL function `doorbell_channel` does."""
    return f"{installation_name(schema)}:{text_hash(queue)}"


def cancel_channel(schema: str | None = None) -> str:
    """Name the NOTIFY channel on which supervisors hear that running jobs are to be cancelled (request_cancel.sql)."""
    return f"{installation_name(schema)}:cancel"


def broadcast_channel(schema: str | None = None) -> str:
    """Name the NOTIFY channel of broadcasts, as the SQL function `commit_broadcast` does."""
    return f"{installation_name(schema)}:broadcasts"


def results_channel(schema: str | None = None) -> str:
    """Name the NOTIFY channel of results, as the SQL function `ring_results` does."""
    return f"{installation_name(schema)}:results"
