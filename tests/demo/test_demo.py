"""The demo as a stranger runs it: on some hundred files of the library, so that it takes seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgjobs.embedded import stop_server
from tests.support.processes import children, environment, is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = """
import sys
from pgjobs.cli.main import main
from pgjobs.demo import story

most, files = int(sys.argv.pop(1)), story.source_files()
story.source_files = lambda: [*files[: -2 : max(1, len(files) // most)], *files[-2:]]
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(binaries: Path) -> Iterator[Path]:
    """A folder that is the demo's current and temporary folder; not in tmp_path, whose parents are closed to all."""
    folder = Path(tempfile.mkdtemp(prefix="pgjobs-test-"))
    folder.chmod(0o711)
    yield folder
    stop_server(folder / ".pgjobs")
    shutil.rmtree(folder)


def start(place: Path, *arguments: str, most: int = 250) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(most), "demo", *arguments],
        cwd=place,
        env=environment() | {"TMPDIR": str(place), "PGJOBS_SCHEMA": "another", "PGJOBS_DATABASE_URL": "postgresql://"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def supervisor_of(demo: subprocess.Popen[str]) -> int | None:
    """Return the process id of `pgjobs work` once it has started its two workers."""
    return next((child for child in children(demo.pid) if len(children(child)) >= 2), None)


def nothing_is_left(place: Path) -> bool:
    return not processes_of(place) and not list(place.iterdir())


def processes_of(place: Path) -> list[str]:
    """List the processes that have the folder in their environment or their arguments."""
    everything = [process for process in Path("/proc").iterdir() if process.name.isdecimal()]
    return [process.name for process in everything if str(place) in _environment_of(process)]


def _environment_of(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace") + (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_tells_its_story_and_leaves_nothing(place: Path) -> None:
    demo = start(place)
    out, err = demo.communicate(timeout=240)

    assert demo.returncode == 0, err
    assert err == ""
    for words in ("SIGKILL to worker process", "was rolled back", "UnicodeDecodeError", "SyntaxError", "p99_ms"):
        assert words in out
    assert nothing_is_left(place)


@pytest.mark.in_turns(3)
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 129)]
)
def test_a_demo_that_is_interrupted_leaves_nothing(place: Path, number: signal.Signals, code: int) -> None:
    demo = start(place)
    wait_until(lambda: supervisor_of(demo), 60)
    time.sleep(1)

    demo.send_signal(number)
    out, err = demo.communicate(timeout=60)

    assert demo.returncode == code
    assert "Traceback" not in out + err
    assert nothing_is_left(place)


@pytest.mark.in_turns(3)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_demo_that_is_killed_takes_its_workers_along(place: Path) -> None:
    demo = start(place)
    wait_until(lambda: supervisor_of(demo), 60)
    supervisor = supervisor_of(demo)
    time.sleep(1)

    demo.kill()
    demo.communicate()

    assert supervisor is not None
    wait_until(lambda: not is_alive(supervisor), 30)
    # Its files stay, since the demo cannot remove them; its server and its workers exit by themselves.
    wait_until(lambda: not processes_of(place), 60)


@pytest.mark.in_turns(3)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_fails_in_one_line_when_its_workers_stop(place: Path) -> None:
    demo = start(place, most=100_000)
    wait_until(lambda: supervisor_of(demo), 60)
    supervisor = supervisor_of(demo)
    assert supervisor is not None
    time.sleep(1)

    os.kill(supervisor, signal.SIGTERM)
    _, err = demo.communicate(timeout=120)

    assert demo.returncode == 1
    assert err.startswith("pgjobs: the workers have stopped: ")
    assert err.count("\n") == 1
    assert nothing_is_left(place)


@pytest.mark.in_turns(3)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_keep_the_database_stays_and_the_next_demo_starts_anew(place: Path) -> None:
    for _ in range(2):
        demo = start(place, "--keep", most=60)
        out, err = demo.communicate(timeout=240)
        assert demo.returncode == 0, err
        assert "pgjobs dead list" in out
        assert "`pgjobs db stop`" in out

    listed = subprocess.run(
        [sys.executable, "-m", "pgjobs", "dead", "list"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "UnicodeDecodeError" in listed.stdout
