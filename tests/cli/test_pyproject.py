"""Options of `pgjobs work` from the environment and from pyproject.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs.cli.commands import load
from pgjobs.cli.pyproject import defaults
from pgjobs.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[tool.pgjobs]
queues = ["mail:20", "*:4"]
imports = "shop.tasks"
hooks = ["shop.hooks"]
processes = 3
log-level = "debug"
"""


def options(folder: Path, *arguments: str) -> dict[str, Any]:
    """What the command makes of arguments, environment and file."""
    return dict(load("work").make_context("work", list(arguments), default_map=defaults(folder)).params)


def test_an_option_wins_over_its_variable_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(FILE)
    found = options(tmp_path)
    assert (found["queue"], found["imports"]) == (["mail:20", "*:4"], ["shop.tasks"])
    assert found["hooks"] == ["shop.hooks"]
    assert (found["processes"], found["log_level"], found["grace"]) == (3, "debug", 30.0)
    monkeypatch.setenv("PGJOBS_QUEUES", "reports:2,default")
    monkeypatch.setenv("PGJOBS_PROCESSES", "2")
    found = options(tmp_path, "--processes", "1")
    assert (found["queue"], found["processes"]) == (["reports:2,default"], 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[tool.pgjobs]\nqueue = 'mail'",
            "queue in tool.pgjobs of pyproject.toml: there is no such option. Give one of",
        ),
        ("[tool.pgjobs]\nqueues = [1]", "queues in tool.pgjobs of pyproject.toml is [1]: give a list of strings."),
        ("[tool.pgjobs]\nprocesses = '2'", "processes in tool.pgjobs of pyproject.toml is '2': give a number."),
        ("[tool.pgjobs]\nprocesses = true", "processes in tool.pgjobs of pyproject.toml is True: give a number."),
        ("[tool.pgjobs]\nlog-level = 3", "log-level in tool.pgjobs of pyproject.toml is 3: give a string."),
        ("tool = 3", "pyproject.toml cannot be read: "),
        ("[tool]\npgjobs = 3", "tool.pgjobs in pyproject.toml is 3: give a table."),
        ("[tool.pgjobs", "pyproject.toml cannot be read: "),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        defaults(tmp_path)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("variable", "text", "option", "value"),
    [
        ("PGJOBS_IMPORTS", "shop.tasks", "imports", ["shop.tasks"]),
        ("PGJOBS_HOOKS", "shop.hooks", "hooks", ["shop.hooks"]),
        ("PGJOBS_PROCESSES", "3", "processes", 3),
        ("PGJOBS_MAX_JOBS", "500", "max_jobs", 500),
        ("PGJOBS_MAX_MEMORY", "128", "max_memory", 128),
        ("PGJOBS_JOB_MEMORY", "256", "job_memory", 256),
        ("PGJOBS_GRACE", "7", "grace", 7.0),
        ("PGJOBS_HEARTBEAT", "2", "heartbeat", 2.0),
        ("PGJOBS_RESCUE_AFTER", "9", "rescue_after", 9.0),
        ("PGJOBS_LOG_LEVEL", "debug", "log_level", "debug"),
        ("PGJOBS_LOG_FORMAT", "json", "log_format", "json"),
    ],
)
def test_options_have_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, option: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert options(tmp_path)[option] == value


@pytest.mark.parametrize("text", ["", "[project]\nname = 'shop'", "[tool.other]\nx = 1", "# k\xfcche"])
def test_a_file_of_others_sets_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="latin-1")
    assert defaults(tmp_path) == {}
