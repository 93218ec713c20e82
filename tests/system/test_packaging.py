"""What an application gets with pgjobs is what the record about dependencies says, and no more."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RECORD = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text("utf-8")


def section(title: str) -> str:
    return RECORD.partition(f"## {title}\n")[2].partition("\n## ")[0]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in requirements}


def test_what_is_always_installed_is_what_the_record_says() -> None:
    said = re.findall(r"^\| ([a-z]+)(?: \(.*?\))? \|", section("Always installed"), re.MULTILINE)
    assert names(PROJECT["project"]["dependencies"]) == set(said) - {"package"}


def test_the_extras_are_those_of_the_record() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| (.+?) \|", section("Extras"), re.MULTILINE)
    said = {extra: {re.sub(r"\[.*\]", "", package) for package in packages.split(", ")} for extra, packages in rows}
    assert said == {extra: names(wanted) for extra, wanted in PROJECT["project"]["optional-dependencies"].items()}


def test_a_worker_process_is_started_before_psycopg_is_loaded() -> None:
    """It takes as long as all else together, and the supervisor loads it while its workers start."""
    program = "import sys, pgjobs.worker.process, pgjobs.worker.supervisor; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
