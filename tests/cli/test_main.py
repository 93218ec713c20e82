from __future__ import annotations

import signal
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from pgjobs import __version__
from pgjobs.cli.commands import COMMANDS, load
from pgjobs.cli.main import hoist
from tests.support.processes import ROOT
from tests.support.refusals import writes_refused
from tests.support.rows import put_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from psycopg import Connection

    from tests.cli.conftest import Cli, Result

    Command = Callable[..., Result]

HEAVY = {"psycopg", "sqlalchemy", "alembic", "structlog", "rich", "asyncio"}


def test_help_lists_the_commands(command: Command) -> None:
    result = command("--help")
    assert result.code == 0
    for name in ("migrate", "work", "status", "jobs", "dead", "queues", "demo", "--database-url", "--schema"):
        assert name in result.out


def test_help_of_every_command_imports_no_database_driver(environment: dict[str, str]) -> None:
    script = (
        "import sys\n"
        "from pgjobs.cli.main import main\n"
        "for command in sys.argv[1:]:\n"
        "    main([command, '--help'])\n"
        "    heavy = [name for name in ('psycopg', 'sqlalchemy', 'alembic', 'rich') if name in sys.modules]\n"
        "    assert not heavy, (command, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", script, *COMMANDS], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["work", "--help"], ["--version"], ["nonsense"], []])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str], environment: dict[str, str]) -> None:
    script = (
        "import sys; from pgjobs.cli.main import main; main(sys.argv[1:]); "
        "sys.stderr.write('\\nMODULES ' + ' '.join({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stderr.rpartition("MODULES ")[2].split()) & HEAVY == set()


def test_the_version_is_shown(command: Command) -> None:
    result = command("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"pgjobs {__version__}\n"


def test_the_version_of_the_package_is_the_one_that_is_built() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["jobs", "nonsense"], "pgjobs jobs --help"),
        (["jobs", "show"], "Missing argument"),
        (["jobs", "show", "x"], "Invalid value for 'ID'"),
        (["jobs", "list", "--limit", "0"], "'--limit' / '-n': give 1 or more. See"),
        (["drain", "--timeout", "9e9"], "'--timeout': give 604800 or less. See"),
        (["jobs", "list", "--status", "done"], "'--status' / '-s': 'done' is not one of 'waiting', 'queued'"),
        (["work", "--processes", "0"], "--processes"),
        (["work", "-c", "4"], "No such option: -c: -c is -q NAME:CONCURRENCY here: each queue has"),
        (["work", "--burst"], "No such option: --burst: --burst is --drain here. See `pgjobs work --help`."),
        (["work", "-q", "mail:x"], "'mail:x': give NAME:CONCURRENCY"),
        (["work", "-q", ":3"], "queue"),
        (["work", "-q", "a:1", "-q", "a:2"], "named twice"),
        (["status", "--schema", "No Name"], "schema 'No Name' cannot be used"),
        (["dead", "replay"], "say which dead letters"),
        (["migrate", "--sql", "--downgrade", "base"], "use one of them"),
        (["jobs", "retry", "99999999999999999999"], "is not the id of a job"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(cli: Cli, arguments: list[str], line: str) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("pgjobs: ")
    assert line in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "option", "times"),
    [
        (["jobs", "list", "--status", "failed", "-s", "queued"], "--status", "twice"),
        (["jobs", "list", "-n1", "-n1", "--limit=1"], "--limit", "3 times"),
        (["limits", "set", "crm", "-c", "1", "-c", "2"], "--concurrency", "twice"),
        (["work", "--drain", "--grace", "1", "--grace", "2"], "--grace", "twice"),
        (["drain", "--timeout", "1", "--timeout", "2"], "--timeout", "twice"),
        (["status", "--schema", "here", "--schema", "there"], "--schema", "twice"),
    ],
)
def test_an_option_with_one_value_that_is_given_more_often_is_refused(
    cli: Cli, arguments: list[str], option: str, times: str
) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"pgjobs: {option} was given {times}, and takes one value. See `pgjobs")
    assert len(result.err.splitlines()) == 1


def test_flags_and_options_with_several_values_may_be_repeated(cli: Cli) -> None:
    assert cli("jobs", "list", "--json", "--json").out == "[]\n"
    assert cli("work", "--drain", "-q", "mail", "-q", "default", "--import", "os", "--import", "sys").code == 0


def test_help_is_shown_whatever_is_given_twice(cli: Cli) -> None:
    result = cli("jobs", "list", "-n", "1", "-n", "1", "--help")
    assert (result.code, result.out.startswith("Usage: ")) == (0, True)


@pytest.mark.parametrize("arguments", [[], ["jobs"], ["dead"], ["queues"]])
def test_no_command_shows_help(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.code == 2
    assert "Usage: pgjobs" in result.out + result.err


def test_a_server_that_does_not_answer_is_one_line(command: Command) -> None:
    result = command("status", url="postgresql://bob:sekret@127.0.0.1:1/shop")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "127.0.0.1:1/shop" in result.err
    assert "sekret" not in result.err


def test_a_database_that_does_not_exist_is_one_line(command: Command, empty_database_url: str) -> None:
    url = urlunsplit(urlsplit(empty_database_url)._replace(path="/nowhere"))
    result = command("status", url=url)
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert 'database "nowhere" does not exist' in result.err


def test_a_role_that_may_not_log_in_is_one_line_without_its_password(command: Command, empty_database_url: str) -> None:
    parts = urlsplit(empty_database_url)
    place = parts.netloc.rpartition("@")[2]
    result = command("status", url=urlunsplit(parts._replace(netloc=f"nobody:sekret@{place}")))
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "nobody" in result.err
    assert "sekret" not in result.err


def test_a_database_without_tables_says_what_to_run(command: Command, empty_database_url: str) -> None:
    result = command("jobs", "list", url=empty_database_url)
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "run `pgjobs migrate`" in result.err


@pytest.mark.parametrize("url", ["mysql://bob:sekret@host/db", "nonsense", "postgresql://host:port/db"])
def test_what_is_not_a_url_is_one_line(command: Command, url: str) -> None:
    result = command("status", url=url)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert "sekret" not in result.err


def test_debug_shows_the_traceback_without_the_password(command: Command) -> None:
    result = command("status", "--debug", url="postgresql://bob:sekret@127.0.0.1:1/shop")
    assert result.code == 1
    assert "Traceback (most recent call last)" in result.err
    assert "sekret" not in result.err


def test_unexpected_error_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgjobs.admin.jobs.list_jobs", lambda *_, **__: 1 / 0)
    result = cli("jobs", "list")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "pgjobs: unexpected ZeroDivisionError: division by zero (run it again with --debug for the traceback)\n"
    )


def test_a_refused_statement_is_one_line(cli: Cli, conn: Connection, database_url: str) -> None:
    job = put_job(conn)
    with writes_refused(conn, "jobs_live"):
        result = cli("jobs", "cancel", job)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert "read-only" in result.err


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_database_can_be_named_before_and_behind_the_command(
    command: Command, database_url: str, place: str
) -> None:
    option = ["--database-url", database_url]
    arguments = [*option, "jobs", "list"] if place == "before" else ["jobs", "list", f"--database-url={database_url}"]
    result = command(*arguments, url="postgresql://127.0.0.1:1/wrong")
    assert (result.code, result.err) == (0, "No such jobs.\n")


def test_another_schema_is_another_runner(cli: Cli, conn: Connection) -> None:
    put_job(conn)
    assert "went from revision none to" in cli("migrate", "--schema", "other").out
    assert cli("jobs", "list", "--schema", "other", "--json").out == "[]\n"
    assert cli("jobs", "list", "--schema", "pgjobs", "--json").out != "[]\n"


def test_a_reader_that_goes_away_is_not_an_error(
    environment: dict[str, str], database_url: str, conn: Connection
) -> None:
    conn.execute("INSERT INTO pgjobs.jobs (task, payload) SELECT 'a:b', 'x' FROM generate_series(1, 5000)")
    environment["PGJOBS_DATABASE_URL"] = database_url
    for form in ([], ["--json"]):
        listing = subprocess.Popen(
            [sys.executable, "-m", "pgjobs", "jobs", "list", "-n", "5000", *form],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.read(10)
        listing.stdout.close()
        assert listing.stderr.read() == b""
        listing.stderr.close()
        assert listing.wait(30) == 0


def test_ctrl_c_is_quiet(environment: dict[str, str], database_url: str, conn: Connection) -> None:
    environment["PGJOBS_DATABASE_URL"] = database_url
    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE pgjobs.jobs IN ACCESS EXCLUSIVE MODE")
        listing = subprocess.Popen(
            [sys.executable, "-m", "pgjobs", "jobs", "list"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(1000):
            row = conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
            if row and row[0]:
                break
            time.sleep(0.01)
        listing.send_signal(signal.SIGINT)
        out, err = listing.communicate(timeout=30)
    assert (listing.returncode, out, err) == (130, b"", b"")


def test_a_terminal_that_knows_ascii_only_gets_escapes(
    command: Command, environment: dict[str, str], database_url: str, conn: Connection
) -> None:
    put_job(conn, summary="f('é')")
    environment["PYTHONIOENCODING"] = "ascii"
    result = command("jobs", "list", url=database_url)
    assert result.code == 0
    assert "f('\\xe9')" in result.out


def test_completion_offers_commands_and_values(environment: dict[str, str]) -> None:
    for words, expected in (("pgjobs de", {"dead", "demo"}), ("pgjobs jobs list --status c", {"completed"})):
        environment.update({"_PGJOBS_COMPLETE": "complete_bash", "COMP_WORDS": words})
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
        done = subprocess.run(
            [sys.executable, "-m", "pgjobs"], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert expected <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("given", "hoisted"),
    [
        (["jobs", "list"], ["jobs", "list"]),
        (["jobs", "--debug", "list", "--schema", "x"], ["--debug", "--schema", "x", "jobs", "list"]),
        (["status", "--database-url=a=b"], ["--database-url=a=b", "status"]),
        (["status", "--schema"], ["--schema", "status"]),
        (["jobs", "show", "--", "--debug"], ["jobs", "show", "--", "--debug"]),
    ],
)
def test_options_of_all_commands_are_brought_to_the_front(given: list[str], hoisted: list[str]) -> None:
    assert hoist(given) == hoisted


def test_a_password_in_the_environment_is_never_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGJOBS_DATABASE_URL", "host=127.0.0.1 port=1 password=sekret dbname=shop")
    result = cli("status")
    assert result.code == 1
    assert "sekret" not in result.err


def test_no_database_is_refused_and_both_ways_out_are_named(command: Command, tmp_path: Path) -> None:
    for arguments in (["status"], ["migrate"], ["work", "--drain"], ["doctor"]):
        result = command(*arguments)
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        for way in ("PGJOBS_DATABASE_URL", "--database-url", "`pgjobs db start`", "--embedded"):
            assert way in result.err
    assert list(tmp_path.iterdir()) == []


def test_embedded_and_a_url_exclude_one_another(command: Command) -> None:
    result = command("status", "--embedded", "--database-url", "postgresql://x")
    assert (result.code, result.out) == (2, "")
    assert "use one of them" in result.err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_line_of_table_equals_the_commands_own(name: str) -> None:
    assert load(name).get_short_help_str(200) == COMMANDS[name].help


def test_help_imports_no_command(environment: dict[str, str]) -> None:
    script = (
        "import sys; from pgjobs.cli.main import main; main(['--help']); "
        "sys.stderr.write(' '.join(m for m in sys.modules if m.startswith(('pgjobs.cli.', 'pgjobs.demo'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) == {"pgjobs.cli.main", "pgjobs.cli.commands", "pgjobs.cli.invocation"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("why", "abc"), "Invalid value for 'ID': give a whole number."),
        (("jobs", "cancel", "1", "x"), "give a whole number."),
        (("jobs", "cancel", "1", "--wait", "soon"), "Invalid value for '--wait': give a number."),
    ],
)
def test_text_where_a_number_is_wanted_is_refused_in_plain_words(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


@pytest.mark.parametrize("command", [("jobs", "retry"), ("dead", "replay"), ("db", "psql")])
def test_help_shows_arguments_that_may_be_repeated_once(cli: Cli, command: tuple[str, ...]) -> None:
    assert "[[" not in cli(*command, "--help").out
