"""What is registered, and once."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

from pgjobs.hooks import NewJob, on_enqueue
from pgjobs.hooks.kinds import around_hooks, enqueue_hooks
from tests.support.processes import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

MODULE = """
from contextlib import contextmanager
from pgjobs.hooks import around_job, on_enqueue

@around_job
@contextmanager
def first(job):
    yield {number}

@around_job
@contextmanager
def second(job):
    yield

def made(n):
    def hook(new):
        return {{"n": n}}
    return hook

on_enqueue(made(1)); on_enqueue(made(2)); on_enqueue(lambda new: None)
on_enqueue(lambda new: {{"x": 1}})
"""


def test_module_that_is_loaded_again_registers_its_hooks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some_hooks_of_a_test.py"
    file.write_text(MODULE.format(number=1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module(file.stem)
    file.write_text(MODULE.format(number=2222))
    module = importlib.reload(module)

    assert [hook.name for hook in around_hooks] == [f"{file.stem}:first", f"{file.stem}:second"]
    assert next(iter(around_hooks)).function is module.first
    new = NewJob("a:b", "default", 5, {})
    assert [hook.function(new) for hook in enqueue_hooks] == [{"n": 1}, {"n": 2}, None, {"x": 1}]


def test_function_that_is_registered_twice_is_called_once() -> None:
    def hook(_: NewJob) -> None: ...

    functions: list[Callable[[NewJob], None]] = [hook, hook]
    assert [on_enqueue(each) for each in functions] == [hook, hook]
    assert len(list(enqueue_hooks)) == 1


def test_import_of_hooks_needs_neither_a_driver_nor_asyncio() -> None:
    code = "import sys, pgjobs.hooks; print({'psycopg', 'sqlalchemy', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)

    assert done.stdout == "set()\n", done.stderr
