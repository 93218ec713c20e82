"""How pgjobs starts processes of Python: as this one was started, and where a folder may have a `queue.py`.

`python -m` puts the working directory in front of the standard library, so that a project's module of the same name
takes its place, also for Python's own modules. A process of ours puts it behind the library, and before what is
installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from pgjobs.core.errors import ConfigurationError

_LATER = "pgjobs_folder"  # an option of the interpreter (-X) that says: the folder is ours to add


def python_command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of pgjobs, with the flags of this interpreter (`-O`, `-W`, `-X`, …).

    Raises:
        ConfigurationError: there is no interpreter, because this application is frozen.

    """
    check_interpreter()
    flags: list[str] = cast("Any", subprocess)._args_from_interpreter_flags()  # as multiprocessing does
    flags += [word for option in _options(flags) for word in ("-X", option)]
    if not sys.flags.safe_path and _root() != _folder():
        flags += ["-P", "-X", _LATER]
    return [sys.executable, *flags, "-m", module, *map(str, arguments)]


def _options(flags: list[str]) -> list[str]:
    every = [name if value is True else f"{name}={value}" for name, value in sys._xoptions.items()]
    return [option for option in every if option not in flags]


def add_folder() -> None:
    """Add the working directory to the path, in a process that `python_command` started."""
    folder = _folder()
    if _LATER not in sys._xoptions or folder is None or folder in sys.path:
        return
    library = str(Path(os.__file__).parent)
    places = [
        place for place, entry in enumerate(sys.path, 1) if entry == library or entry.endswith(f"{os.sep}lib-dynload")
    ]
    sys.path.insert(max(places, default=len(sys.path)), folder)


def check_interpreter() -> None:
    """Refuse an application without an interpreter: what it starts would be itself again, which starts itself again.

    Raises:
        ConfigurationError: it is frozen (PyInstaller, cx_Freeze, Nuitka, PyOxidizer, …).

    """
    frozen = getattr(sys, "frozen", False) or hasattr(sys, "oxidized")
    if frozen or hasattr(sys.modules.get("__main__"), "__compiled__") or not sys.executable:
        raise ConfigurationError(
            f"{sys.executable or 'this program'} is a frozen application, and workers need a Python interpreter to "
            "start their processes: install pgjobs and the modules of the jobs for one, and run `pgjobs work` there."
        )


def _root() -> str:
    return str(Path(__file__).resolve().parents[2])


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 (an entry of sys.path is text)
    except OSError:  # it was deleted
        return None
