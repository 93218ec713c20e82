"""Who can be measured: an environment for each contender, made once, and one line where none can be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from benchmarks.contender import Configuration, Contender
from benchmarks.environments import CanNotBeInstalled, prepare
from benchmarks.peers import PEERS

ANY = Configuration("default", "")
OURS = Contender("pgjobs", "pgjobs", ANY, ANY, jobs=1)
GRAPHILE = next(peer for peer in PEERS if peer.name == "graphile")

NPM = """#!/bin/sh
echo run >> "{log}"
{body}
"""
INSTALL = """
for last; do :; done
for name in graphile-worker pg; do
    mkdir -p "$last/node_modules/$name"
    echo '{"version": "1.2.3"}' > "$last/node_modules/$name/package.json"
done
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PGJOBS_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The search path has a node and an npm of ours alone, which notes its runs in this file."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), "/bin", "/usr/bin"]))
    program(programs / "node", "#!/bin/sh\necho v99.0.0\n")
    npm(programs, INSTALL)
    return programs / "runs"


def npm(programs: Path, body: str) -> None:
    program(programs / "npm", NPM.format(log=programs / "runs", body=body))


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def count(runs: Path) -> int:
    return len(runs.read_text().splitlines())


def test_what_needs_no_package_runs_with_this_interpreter() -> None:
    assert sys.executable in prepare(OURS)
    assert prepare(OURS)[-2:] == ["-m", "benchmarks.drivers.pgjobs"]


def test_an_environment_of_other_requirements_is_made_again(runs: Path, cache: Path) -> None:
    prepare(GRAPHILE)
    (cache / "graphile" / "installed.txt").write_text("something else")
    (cache / "graphile" / "left over").touch()
    prepare(GRAPHILE)
    assert count(runs) == 2
    assert not (cache / "graphile" / "left over").exists()


def test_an_installation_that_failed_is_said_and_not_kept(runs: Path) -> None:
    npm(
        runs.parent,
        "echo 'npm warn old' >&2; echo 'npm error code E404' >&2; echo 'npm error A log is kept' >&2; exit 1",
    )
    for _ in range(2):
        with pytest.raises(CanNotBeInstalled, match=r"^npm error code E404$"):
            prepare(GRAPHILE)
    assert count(runs) == 2


def test_each_peer_says_what_it_is_and_pins_what_it_installs() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    for peer in PEERS:
        assert peer.default != peer.best
        assert peer.redis != bool(peer.pending), "jobs in PostgreSQL can be counted there, others cannot"
        assert peer.node or (peer.packages and all("==" in package for package in peer.packages))
