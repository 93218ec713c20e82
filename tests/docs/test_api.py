"""docs/api.md is what the docstrings say now."""

from __future__ import annotations

import re

import pgjobs
from pgjobs import admin
from tests.docs.api import PAGE, page, prose


def test_api_reference_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make docs-api`"


def test_api_reference_has_every_public_name() -> None:
    titles = set(re.findall(r"^### (\S+)$", PAGE.read_text(), re.MULTILINE))

    assert {name for name in pgjobs.__all__ if not name.startswith("_")} <= titles
    assert {f"admin.{name}" for name in admin.__all__} <= titles


def test_docstring_becomes_markdown() -> None:
    written = prose("""Do it.

    >>> do()
    1

    Raises:
        ValueError: it is,
            and long.
        OSError: another.

    """)

    assert written.strip() + "\n" == (
        "Do it.\n\n```pycon\n>>> do()\n1\n```\n\nRaises:\n\n- `ValueError`: it is, and long.\n- `OSError`: another.\n"
    )
