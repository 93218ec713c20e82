"""Standard input, output and error, for a process that was started without them (`2>&-`, some init systems)."""

from __future__ import annotations

import os
import sys


def open_standard_files() -> None:
    """Open what is missing, on nothing: else the next file or connection would get its number, and its output."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (it stays open)
