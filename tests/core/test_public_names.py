"""`pgjobs` hands out its public names, and imports each at first use."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import pgjobs

FACE = Path(pgjobs.__file__)


def typed_names() -> dict[str, str]:
    """Return the names that a type checker sees, and their modules."""
    block = next(node for node in ast.parse(FACE.read_text()).body if isinstance(node, ast.If))
    imports = [node for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def test_every_public_name_is_what_a_type_checker_takes_it_for() -> None:
    typed = typed_names()

    assert {*pgjobs.__all__} - {"__version__"} <= {*typed}
    for name, module in typed.items():
        assert getattr(pgjobs, name) is getattr(import_module(module), name)
        assert name in dir(pgjobs)


def test_no_public_name_is_that_of_a_module_which_its_import_would_put_in_its_place() -> None:
    modules = {module.name for module in iter_modules([str(FACE.parent)])}

    assert modules & {*typed_names()} == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(pgjobs, "noth" + "ing")


def test_importing_pgjobs_imports_nothing_of_it_before_a_name_is_used() -> None:
    code = """if True:
        import sys, pgjobs
        print(*sorted(name for name in sys.modules if name.startswith("pgjobs.")))
        assert pgjobs.admin.__name__ == "pgjobs.admin"
    """

    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["pgjobs.core", "pgjobs.core.version"]
