"""The account that PostgreSQL runs as: it refuses to be root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgjobs.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its group. `switched`: they differ from those of this process."""

    uid: int
    gid: int
    switched: bool

    def popen_options(self) -> dict[str, Any]:
        """Return the arguments of `subprocess.Popen` that start a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switched else {}

    def own(self, path: Path) -> None:
        """Make this user the owner of a file or folder."""
        if self.switched:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can(self, path: Path, bits: int) -> bool:
        """Return True if this user has these bits of one `rwx` digit on `path`, and can pass through its parents."""
        if not self.switched:
            return True
        path = path.resolve()
        return self._has(path, bits) and all(self._has(parent, 1) for parent in path.parents)

    def _has(self, path: Path, bits: int) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return (stat.S_IMODE(status.st_mode) >> shift) & bits == bits


def choose_account(*folders: Path) -> Account:
    """Choose this process's user. For root: the first owner of a folder that is not root, else an unprivileged account.

    Raises:
        ConfigurationError: this is root, and the machine has no other account.

    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switched=False)
    for folder in folders:
        if folder.exists() and (owner := folder.stat()).st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, switched=True)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switched=True)
    for entry in pwd.getpwall():  # initdb wants an account with a name, not just a number
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, switched=True)
    raise ConfigurationError(
        "PostgreSQL refuses to run as root, and this machine has no other account: run pgjobs as another user, "
        "or set PGJOBS_DATABASE_URL."
    )
