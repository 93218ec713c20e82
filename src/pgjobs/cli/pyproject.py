"""Options of `pgjobs work` that stand in `[tool.pgjobs]` of `./pyproject.toml`.

[tool.pgjobs]
queues = ["mail:20", "*:4"]
imports = ["shop.tasks"]
hooks = ["shop.hooks"]
processes = 2
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

FILE = "pyproject.toml"
LISTS = {
    "queues": "queue",
    "imports": "imports",
    "hooks": "hooks",
    "allow": "allow",
}  # and the parameters that they are for
WORDS = ("payload", "log-level", "log-format", "listen")
NUMBERS = (
    "processes",
    "max-jobs",
    "max-memory",
    "job-memory",
    "grace",
    "heartbeat",
    "rescue-after",
    "metrics-port",
    "health-port",
)


def defaults(folder: Path) -> dict[str, Any]:
    """Return the parameters of `work` that the file sets, by their names; empty without a file or such a table.

    Raises:
        UsageError: it cannot be read as TOML, or has an option or a value that cannot be used.

    """
    try:
        text = (folder / FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):  # no such file, or one that is not for us
        return {}
    try:
        table = tomllib.loads(text).get("tool", {}).get("pgjobs", {})
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise UsageError(f"{FILE} cannot be read: {error}.") from None
    return read_table(table)


def read_table(table: object) -> dict[str, Any]:
    """Read the table `[tool.pgjobs]`.

    >>> read_table({"queues": "mail:20", "max-jobs": 1000})
    {'queue': ['mail:20'], 'max_jobs': 1000}

    Raises:
        UsageError: it has an option or a value that cannot be used.

    """
    if not isinstance(table, dict):
        raise UsageError(f"tool.pgjobs in {FILE} is {shorten_repr(table)}: give a table.")
    return dict(_read(str(name), value) for name, value in table.items())


def _read(name: str, value: object) -> tuple[str, Any]:
    what = f"{name} in tool.pgjobs of {FILE}"
    if name in LISTS:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise UsageError(f"{what} is {shorten_repr(value)}: give a list of strings.")
        return LISTS[name], items
    if name in WORDS:
        if not isinstance(value, str):
            raise UsageError(f"{what} is {shorten_repr(value)}: give a string.")
    elif name in NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{what} is {shorten_repr(value)}: give a number.")
    else:
        raise UsageError(f"{what}: there is no such option. Give one of {', '.join((*LISTS, *WORDS, *NUMBERS))}.")
    return name.replace("-", "_"), value
