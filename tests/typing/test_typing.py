"""mypy and pyright accept the right calls, and refuse every wrong one and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.in_turns(3)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT, WRONG = HERE / "right_calls.py", HERE / "wrong_calls.py"

EXPECTED = {
    (WRONG.name, number)
    for number, line in enumerate(WRONG.read_text("utf-8").splitlines(), start=1)
    if line.endswith("  # wrong")
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_refuses_the_wrong_calls_and_nothing_else() -> None:
    # Strict, as all of the project is, so that what `make lint` has remembered serves here, too.
    done = run("mypy", "--no-error-summary", str(RIGHT), str(WRONG))
    found = {
        (Path(match[1]).name, int(match[2]))
        for match in re.finditer(r"^(.+?):(\d+): error:", done.stdout, re.MULTILINE)
    }
    assert done.returncode == 1, done.stdout + done.stderr
    assert found == EXPECTED, done.stdout


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright_refuses_the_wrong_calls_and_nothing_else() -> None:
    done = run("pyright", "--outputjson", "--pythonpath", sys.executable, str(RIGHT), str(WRONG))
    if not done.stdout.lstrip().startswith("{"):  # the package fetches pyright itself at its first use
        pytest.skip(f"pyright cannot be run here: {(done.stderr or done.stdout).strip()[-300:]}")
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    found = {
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1)
        for error in report["generalDiagnostics"]
        if error["severity"] == "error"
    }
    assert found == EXPECTED, done.stdout
