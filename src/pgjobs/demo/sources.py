"""The demo's input: the source files of the Python standard library on this machine."""

from __future__ import annotations

import sysconfig
from pathlib import Path

# Two files that Python 3 cannot read, for machines whose library has no tests. They do not end in .py, so that tools do
# not treat them as code.
UNREADABLE = Path(__file__).with_name("unreadable")
_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


def standard_library() -> Path:
    """Return the folder of the standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def source_files() -> list[Path]:
    """List the files to index, in a stable order."""
    root = standard_library()
    files = sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and not _NOT_THE_LIBRARY.intersection(path.relative_to(root).parts)
    )
    return [*files, *sorted(UNREADABLE.glob("*.txt"))]
