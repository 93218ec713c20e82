"""A file without a name that two processes share."""

from __future__ import annotations

import os
from contextlib import suppress


def unnamed_file() -> int:
    """Return the descriptor of a new file: in memory, for a machine on which no folder can be written; else on disk."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            return os.memfd_create("pgjobs")
    import tempfile  # imported lazily: Linux does not need it

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
