"""An environment of its own for each contender, so that none's dependencies decide what another gets.

They live under a cache folder (PGJOBS_BENCH_CACHE; without it ~/.cache/pgjobs-bench) and are kept: a stamp in each
says what was installed, and one that says something else is made again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.contender import Contender

DRIVERS = Path(__file__).parent / "drivers"
ROOT = Path(__file__).parents[1]
STAMP = "installed.txt"
TIME_LIMIT = 600  # seconds for one installation


class CanNotBeInstalled(Exception):
    """A contender has to be left out; the message says why, in one line."""


def cache() -> Path:
    return Path(os.environ.get("PGJOBS_BENCH_CACHE") or Path.home() / ".cache" / "pgjobs-bench")


def prepare(contender: Contender) -> list[str]:
    """Install what the contender needs, if it is not there yet, and give the command line of its driver.

    The driver's own words (`worker default`) follow it. A Python driver is started as a module from the project's
    root: as a script its folder would come first in the search for modules, and in it its own file has the name of the
    package that it imports.

    Raises:
        CanNotBeInstalled: no interpreter that fits, no Node, no Redis, or the installation failed.
    """
    if contender.redis and not shutil.which("redis-server"):
        raise CanNotBeInstalled("redis-server is not installed")
    if contender.node:
        modules = _node_environment(contender) / "node_modules"
        return ["env", f"NODE_PATH={modules}", "NODE_ENV=production", "node", str(DRIVERS / f"{contender.name}.js")]
    python = _python_environment(contender) if contender.packages else Path(sys.executable)
    return ["env", f"PYTHONPATH={search_path(contender)}", str(python), "-m", f"benchmarks.drivers.{contender.name}"]


def search_path(contender: Contender) -> str:
    """PYTHONPATH for a driver. One that runs in this environment keeps what is there: pgjobs may come from it."""
    inherited = [] if contender.packages else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(ROOT), *(str(Path(entry).absolute()) for entry in inherited if entry)])


def versions(contender: Contender) -> dict[str, str]:
    """What is installed for a contender that was prepared: the version of each package that was asked for."""
    if contender.node:
        asked = json.loads((DRIVERS / contender.name / "package.json").read_text())["dependencies"]
        folder = cache() / contender.name / "node_modules"
        found = {name: json.loads((folder / name / "package.json").read_text())["version"] for name in asked}
        return found | {"node": _output(["node", "--version"]).lstrip("v")}
    names = [_package(requirement) for requirement in contender.packages]
    program = (
        "import importlib.metadata, json, platform, sys; "
        "print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}"
        " | {'python': platform.python_version()}))"
    )
    python = _binary(contender) if contender.packages else Path(sys.executable)
    found = json.loads(_output([str(python), "-c", program, *names]))
    return {str(name): str(version) for name, version in found.items()}


def _python_environment(contender: Contender) -> Path:
    python = _interpreter(contender.python)
    folder = cache() / contender.name
    wanted = "\n".join([_output([python, "--version"]), *contender.packages]) + "\n"
    if not _installed(folder, wanted):
        _run([python, "-m", "venv", str(folder)])
        pip = [str(_binary(contender)), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "install", *contender.packages])
        _run([*pip, "check"])  # that what is in there fits together
        (folder / STAMP).write_text(wanted)
    return _binary(contender)


def _node_environment(contender: Contender) -> Path:
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise CanNotBeInstalled(f"{program} is not installed")
    folder = cache() / contender.name
    wanted = (DRIVERS / contender.name / "package.json").read_text()
    if not _installed(folder, wanted):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(wanted)
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)])
        (folder / STAMP).write_text(wanted)
    return folder


def _installed(folder: Path, wanted: str) -> bool:
    """Whether the folder holds just this. What holds anything else is removed."""
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _interpreter(name: str) -> str:
    """The interpreter of that name ("python3.12"), or of a newer version; "" is the one that runs this."""
    if not name:
        return sys.executable
    minor = int(name.rpartition(".")[2])
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (name, *(f"python3.{newer}" for newer in range(minor + 1, 20))):
        if candidate == here:
            return sys.executable
        for found in _candidates(candidate):
            return found
    raise CanNotBeInstalled(f"it needs {name} or newer, and none was found")


def _candidates(name: str) -> list[str]:
    """Where an interpreter may be: on the path (unless it is a shim that leads nowhere), or with pyenv or uv."""
    homes = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"]
    homes.append(Path.home() / ".local" / "share" / "uv" / "python")
    kept = [str(path) for home in homes for path in sorted(home.glob(f"*/bin/{name}"))]
    return [found for found in (shutil.which(name), *kept) if found and _answers(found)]


def _answers(python: str) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", ""], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _binary(contender: Contender) -> Path:
    return cache() / contender.name / "bin" / "python"


def _package(requirement: str) -> str:
    """The name in a requirement: `psycopg` of `psycopg[binary]==3.2.3`."""
    for end in ("[", "=", ">", "<", "~", "!", ";", " "):
        requirement = requirement.partition(end)[0]
    return requirement


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
        )
    except OSError as error:
        raise CanNotBeInstalled(str(error)) from None
    except subprocess.TimeoutExpired:
        raise CanNotBeInstalled(f"the installation took more than {TIME_LIMIT} s") from None
    if done.returncode:
        raise CanNotBeInstalled(reason(done.stderr or done.stdout))


def reason(said: str) -> str:
    """The line of an installer's last words that says most: the first that it calls an error, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "npm error"))]
    return (errors[:1] or lines[-1:] or ["the installation failed, without a word"])[0][:200]


def _output(command: list[str]) -> str:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.strip()
