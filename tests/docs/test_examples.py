"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from tests.support.processes import ROOT

SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for file in (SOURCE / "pgjobs").rglob("*.py")
    if ">>> " in file.read_text("utf-8")
)


def test_there_are_some() -> None:
    assert "pgjobs.core.text" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.failed == 0
