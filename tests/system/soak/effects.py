"""What the jobs wrote down, read piece by piece, in a file that does not grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.chaos.auditor import Line, parse

if TYPE_CHECKING:
    from pathlib import Path


class Effects:
    """Reads new lines. A file that was read is moved away, read once more for stragglers, and removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old = path.with_suffix(".old")
        self._offset = 0

    def read(self) -> list[Line]:
        """Return the lines that were written since the last call."""
        found = []
        if self._old.exists():
            # Writers that had it open when it was moved have finished long ago.
            found += self._rest()
            self._old.unlink()
        if self._path.exists():
            self._path.rename(self._old)
            self._offset = 0
            found += self._rest()
        return found

    def _rest(self) -> list[Line]:
        with self._old.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        return [parse(text) for text in data.decode().splitlines()]
