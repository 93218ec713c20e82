"""Two ways to run the command line: in this process (fast), and as a user does (a process of its own)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pgjobs.cli.main import main
from pgjobs.core.config import forget_settings

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Cli(Protocol):
    """A way to run the command line with these arguments."""

    def __call__(self, *arguments: object) -> Result: ...


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, on the test's database."""
    monkeypatch.setenv("PGJOBS_DATABASE_URL", database_url)
    forget_settings()  # to make the first database of a process reads them

    def run(*arguments: object) -> Result:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process without a configured database."""
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Callable[..., Result]:
    """Run `python -m pgjobs` as a user does, in an empty folder."""

    def run(*arguments: object, url: str | None = None, **options: Any) -> Result:
        if url is not None:
            environment["PGJOBS_DATABASE_URL"] = url
        done = subprocess.run(
            [sys.executable, "-m", "pgjobs", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
            cwd=tmp_path,
            **options,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run
