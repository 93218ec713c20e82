"""Each protection in the list is there, once, so that `make mutations` takes out what it says."""

from __future__ import annotations

import pytest

from tests.support.processes import ROOT
from tests.system.mutations.protections import PROTECTIONS, Protection


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda one: one.what)
def test_what_is_to_be_taken_out_is_there(protection: Protection) -> None:
    assert (ROOT / protection.path).read_text().count(protection.old) == 1
    assert (ROOT / protection.test[0]).exists()
