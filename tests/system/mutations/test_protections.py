"""Each protection in the list is there, once, so that `make mutations` takes out what it says."""

from __future__ import annotations

import re

import pytest

from tests.support.processes import ROOT
from tests.system.chaos.test_slice import SLICE
from tests.system.mutations.protection import Protection
from tests.system.mutations.protections import PROTECTIONS


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda one: one.what)
def test_what_is_to_be_taken_out_is_there(protection: Protection) -> None:
    assert (ROOT / protection.path).read_text().count(protection.old) == 1
    assert (ROOT / protection.test[0]).exists()


@pytest.mark.parametrize(
    "protection", [one for one in PROTECTIONS if "-k" in one.test], ids=lambda one: f"{one.what}: {one.test[-1]}"
)
def test_the_tests_that_a_protection_names_are_there(protection: Protection) -> None:
    files = [name for name in protection.test if name.endswith(".py")]
    tests = re.findall(r"^def (test_\w+)", "\n".join((ROOT / file).read_text() for file in files), re.MULTILINE)
    if files == ["tests/system/chaos/test_slice.py"]:
        tests += [scenario.name for scenario in SLICE]
    words = protection.test[protection.test.index("-k") + 1].split(" or ")
    assert [word for word in words if not any(word in test for test in tests)] == []
