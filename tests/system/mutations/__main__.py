"""Take out each protection on a copy of the project, and see its test go red.

    python -m tests.system.mutations [--only TEXT] [--json FILE]

Without the change the same test has to be green. A test that stays green is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.processes import ROOT
from tests.system.mutations.protection import Protection
from tests.system.mutations.protections import PROTECTIONS

PARTS = ("src", "tests", "migrations", "benchmarks", "docs", "examples", "pyproject.toml", "alembic.ini", "README.md")
LIMIT = 400  # seconds a test run
TOO_LONG = -1  # in place of pytest's exit code


def copy(place: Path) -> None:
    """Copy what tests need."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.svg"))
        elif source.exists():
            shutil.copy(source, place / name)


def run(place: Path, test: tuple[str, ...]) -> tuple[int, str]:
    """Run tests in the copy, up to the first that fails, and give pytest's exit code and the name of that one."""
    path = os.pathsep.join([str(place / "src"), str(place)])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *test],
            cwd=place,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TURN": "all"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:  # neither red nor green, and the others are still to be looked at
        return TOO_LONG, f"no end after {LIMIT} s"
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode, failed[1] if failed else done.stdout[-300:]


def mutate(place: Path, one: Protection) -> None:
    """Take it out."""
    path = place / one.path
    text = path.read_text()
    assert text.count(one.old) == 1, f"{one.what}: found {text.count(one.old)} times in {one.path}"
    path.write_text(text.replace(one.old, one.new))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="protections that have this in their words or path")
    parser.add_argument("--json", type=Path, help="write the results into this file")
    options = parser.parse_args()
    chosen = [one for one in PROTECTIONS if options.only in f"{one.what} {one.path}"]
    results = []
    with tempfile.TemporaryDirectory(prefix="pgjobs-mutations-") as folder:
        Path(folder).chmod(0o755)
        whole = Path(folder, "whole")
        whole.mkdir()
        copy(whole)
        for one in chosen:
            began = time.monotonic()
            place = Path(folder, "copy")
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(whole, place)
            mutate(place, one)
            code, said = run(place, one.test)
            red = code == 1
            if red:  # and green without the change
                code, before = run(whole, (said, "-p", "no:randomly"))
                red = code == 0
                said = said if red else f"fails also with the protection: {before}"
            results.append({"what": one.what, "path": one.path, "red": red, "test": said})
            print(f"{'red' if red else 'GREEN'}  {one.what}: {said}  ({time.monotonic() - began:.0f} s)", flush=True)
    green = sum(not result["red"] for result in results)
    print(f"{len(results)} protections taken out, {green} not noticed")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main())
