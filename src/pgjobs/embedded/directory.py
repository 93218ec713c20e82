"""The folder of an embedded server: its files, and where its data directory is."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded.binaries import shared_place

if TYPE_CHECKING:
    from pgjobs.embedded.account import Account


class ServerDirectory:
    """The files of one embedded server; see the table in `pgjobs.embedded`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.start_lock = self.directory / "start.lock"
        self.users_lock = self.directory / "users.lock"
        self.daemon_lock = self.directory / "daemon.lock"
        self.server_lock = self.directory / "server.lock"
        self.data = self.directory / "data"
        self.url = self.directory / "url"
        self.keep = self.directory / "keep"
        self.password = self.directory / "password"
        self.log = self.directory / "server.log"

    def refuse_if_foreign(self) -> None:
        """Refuse a folder that another user could have filled: its `url` may name a database with that user's jobs.

        For root, the folder may also belong to the user who called sudo.

        Raises:
            ConfigurationError: the folder belongs to another user, or all users may write to it.

        """
        try:
            found = self.directory.stat()
        except OSError:  # it does not exist, or says why when it is used
            return
        own = [os.geteuid()]
        if own == [0] and (caller := os.environ.get("SUDO_UID", "")).isdecimal():
            own.append(int(caller))
        if found.st_uid not in own:
            problem = f"belongs to {_user_name(found.st_uid)}"
        elif found.st_mode & 0o002:
            problem = "can be written to by all users"
        else:
            return
        raise ConfigurationError(
            f"{self.directory} {problem}, so its database and its jobs may be those of another user: remove it, run "
            "pgjobs in a folder of your own, or set PGJOBS_DATABASE_URL."
        )

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            ConfigurationError: the folder cannot be made, or is not this user's.

        """
        self.refuse_if_foreign()
        root = os.geteuid() == 0
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o711 if root else 0o700)
            # Root's server runs as another user, who needs to pass through this folder (its parents are not ours to
            # change). Secrets in it are 0600; the data directory is 0700.
            if root and (self.start_lock.exists() or not any(self.directory.iterdir())):
                self.directory.chmod(self.directory.stat().st_mode & 0o7777 | 0o011)
            ignore = self.directory / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise ConfigurationError(
                f"No embedded PostgreSQL in {self.directory}: {error.strerror}. Run pgjobs in a folder that you can "
                "write to, or set PGJOBS_DATABASE_URL."
            ) from error

    def status(self) -> str:
        """Return the state in postmaster.pid: `starting`, `ready`, `stopping`, or an empty string."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""

    def answers(self) -> bool:
        """Return True if a server listens at the URL. The `status` of a killed server stays as it was."""
        try:
            address = urlsplit(self.url.read_text())
            with socket.create_connection((address.hostname, address.port), timeout=1.0):
                return True
        except OSError:
            return False

    def server_pid(self) -> int | None:
        """Return the process id in postmaster.pid, or None. The process may have exited long ago."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def write_secret(self, path: Path, text: str) -> None:
        """Write a file that only its owner can read, atomically."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
        if os.geteuid() == 0:
            owner = self.directory.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.rename(path)

    def choose_data_parent(self, account: Account) -> Path:
        """Return the folder for a new data directory: this one, or one that the account can reach.

        The name of the latter is derived from this one. Data of an earlier server in it is removed: its folder here,
        with the password, is gone.
        """
        if account.can(self.directory, 1):
            return self.directory
        parent = self._elsewhere(account)
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir(mode=0o711)
        parent.chmod(0o711)  # whatever the umask
        return parent

    def _elsewhere(self, account: Account) -> Path:
        return shared_place(account) / f"data-{sha256(os.fsencode(self.directory)).hexdigest()[:16]}"

    def delete(self) -> None:
        """Remove the folder, and the data directory if that is elsewhere."""
        if self.data.is_symlink():
            shutil.rmtree(self.data.resolve().parent, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (user {uid})"
    except KeyError:
        return f"user {uid}"
