from __future__ import annotations

import io
import json
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from pgjobs.cli import terminal as module
from pgjobs.cli.output import Column, clean, distance, plain_table, print_json
from pgjobs.cli.terminal import progress
from pgjobs.core.text import short_duration

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.0123, "12ms"),
        (0.5, "0.5s"),
        (9.94, "9.9s"),
        (10, "10s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "120m"),
        (7200, "2h"),
        (172800, "2d"),
        (1e12, "never"),
    ],
)
def test_spans_are_short(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


def test_distances_say_before_and_after() -> None:
    assert distance(NOW - timedelta(minutes=5), NOW) == "5m ago"
    assert distance(NOW + timedelta(minutes=5), NOW) == "in 5m"
    assert distance(datetime.max.replace(tzinfo=UTC), NOW) == "in never"


def test_a_plain_table_is_aligned_and_cuts_nothing() -> None:
    table = plain_table([Column("ID", right=True), Column("JOB")], [["7", "x" * 200], ["100", "y"]])
    assert table == f" ID  JOB\n  7  {'x' * 200}\n100  y\n"


def test_cleaned_text_is_one_printable_line() -> None:
    assert clean("é\n\x1b[2J\u202e") == "é\\n\\x1b[2J\\u202e"


def test_json_moves_no_cursor_either(capsys: pytest.CaptureFixture[str]) -> None:
    value = [{"error": "é \x9b2J \x7f \u202e", "\u2066": "\x1b[2J"}]
    print_json(value)
    written = capsys.readouterr().out
    assert written.replace("\n", "").isprintable()
    assert "é" in written
    assert json.loads(written) == value


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def _run(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress("replaying", 10) as update:
        for done in (1, 5, 10):
            time.sleep(0.02)
            update(done)
    return stream.getvalue()


def test_a_bar_is_shown_for_what_takes_long_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.01)
    assert "replaying" in _run(monkeypatch, Screen())


def test_no_bar_is_shown_for_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, Screen()) == ""


def test_no_bar_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.01)
    assert _run(monkeypatch, io.StringIO()) == ""
