"""Jobs that fork, start programs, and register what is to be done at the end. They leave files in `TRACES`."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from pgjobs import job
from tests.support.processes import is_alive, is_zombie
from tests.support.tasks_ends import TRACES

FORK = multiprocessing.get_context("fork")
TIDY = "import time\ntry: print('ready', flush=True); time.sleep(60)\nexcept KeyboardInterrupt: print('tidied up')"


def trace(name: str, text: str) -> None:
    """Leave a line in a file."""
    with (Path(os.environ[TRACES]) / name).open("a") as out:
        out.write(f"{text}\n")


def traces(folder: Path, name: str) -> list[str]:
    """Return the lines of a file, as far as it is there."""
    return (folder / name).read_text().split("\n")[:-1] if (folder / name).exists() else []


@job(max_attempts=1)
def signal_what_it_starts(where: str) -> None:
    """Note what a fork does at SIGTERM, and a program at SIGINT."""
    child = FORK.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(5)
    trace(where, f"fork: {child.exitcode}")
    child.kill()
    with subprocess.Popen([sys.executable, "-c", TIDY], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        try:
            trace(where, f"program: {program.communicate(timeout=5)[0].strip()}")
        finally:
            program.kill()


def start_program(where: str) -> subprocess.Popen[bytes]:
    """Start a program, after a note of how many of the earlier ones still run."""
    earlier = traces(Path(os.environ[TRACES]), where)
    living = [line for line in earlier if is_alive(int(line.split()[0]))]
    program = subprocess.Popen(["sh", "-c", "sleep 600 & wait"])
    trace(where, f"{program.pid} beside {len(living)}")
    return program


@job(max_attempts=3, backoff=0.1)
def run_program(where: str) -> None:
    """Run a program."""
    start_program(where).wait()


@job
def leave_program_and_linger(where: str) -> None:
    """Start a program that continues, and have the process take long to leave, with a note that it does."""
    start_program(where)
    atexit.register(time.sleep, 1)
    atexit.register(trace, f"{where}-end", "leaving")


@job
def leave_program() -> None:
    """Run a program that leaves one of its own, and ends before that."""
    subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"], check=True)


@job
def count_zombies(where: str) -> None:
    """Note how many processes have ended and are not waited for."""
    numbers = [int(process.name) for process in Path("/proc").iterdir() if process.name.isdecimal()]
    trace(where, str(sum(map(is_zombie, numbers))))


_kept: list[object] = []


@job
def register_for_the_end(where: str) -> None:
    """Register a function for the end of the process, and leave pools open that have to be ended."""
    pool = ProcessPoolExecutor(1, mp_context=FORK)
    trace(f"{where}-pool", str(pool.submit(os.getpid).result()))
    threads = ThreadPoolExecutor(1)
    threads.submit(time.sleep, 0)
    _kept.extend([pool, threads])
    atexit.register(_note_end, where, threads)


def _note_end(where: str, pool: ThreadPoolExecutor) -> None:
    ended = not any(thread.is_alive() for thread in pool._threads)
    trace(where, "at the end" if ended else "before the end of pools")


@job(max_attempts=1)
def show_interpreter(folder: str, name: str) -> None:
    """Note how this process was started, after an import from the project's folder."""
    import_module("of_the_project")
    (Path(folder) / name).write_text(f"optimize {sys.flags.optimize}\n")
