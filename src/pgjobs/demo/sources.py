"""The demo's input: the source files of the Python standard library on this machine."""

from __future__ import annotations

import sysconfig
from pathlib import Path

# Two files that no Python 3 reads, for machines whose library came without its tests. They do not end in .py, so that
# no tool takes them for code.
UNREADABLE = Path(__file__).with_name("unreadable")
_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


def standard_library() -> Path:
    """Give its folder."""
    return Path(sysconfig.get_paths()["stdlib"])


def source_files() -> list[Path]:
    """List what is to be indexed, in a stable order."""
    root = standard_library()
    files = sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and not _NOT_THE_LIBRARY.intersection(path.relative_to(root).parts)
    )
    return [*files, *sorted(UNREADABLE.glob("*.txt"))]
