"""Writes `docs/how-it-is-tested/bad-input.md` from what really happens: `python -m tests.system.fuzz.table`."""

from __future__ import annotations

import os

from tests.support import postgres
from tests.support.processes import ROOT
from tests.system.fuzz.catalogue import Tried, try_all

PAGE = ROOT / "docs" / "how-it-is-tested" / "bad-input.md"
INTRODUCTION = """\
# Bad input

Inputs that are refused, with their messages. `python -m tests.system.fuzz.table` writes this page from what really
happens, and a test checks that it is up to date. Besides these, the tests in `tests/system/fuzz/` try random values:
`make test` runs them briefly, `make fuzz` for some ten minutes.

- A refused call writes nothing, and the caller's transaction can continue.
- Python raises a `pgjobs.PgjobsError`; a command prints one line and exits with 1 (a failure) or 2 (wrong usage).
- Errors of the connection itself (closed, read-only, its transaction has failed) are the driver's own exceptions, and
  exceptions from the iterable of `enqueue_many` are passed on unchanged.
- A row that gets into the table ends as a dead letter with an error, and other jobs continue to run.

Messages are shortened; … replaces what differs between systems.
"""


def page(found: dict[str, list[Tried]]) -> str:
    """Make the page."""
    parts = [INTRODUCTION]
    for title, rows in found.items():
        lines = [f"| {_cell(row.what)} | {_cell(row.got)} |" for row in rows]
        parts.append("\n".join([f"## {title}\n", "| tried | got |", "| --- | --- |", *lines]) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return printable.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def main() -> None:
    """Try everything on a server of its own, and write the page."""
    for name in [name for name in os.environ if name.startswith("PGJOBS_")]:
        del os.environ[name]
    with postgres.start(None, "embedded") as server:
        PAGE.write_text(page(try_all(server.create())), "utf-8")


if __name__ == "__main__":
    main()
