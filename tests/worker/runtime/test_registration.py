"""How the connections of a worker are called."""

from __future__ import annotations

import pytest

from pgjobs.worker.runtime.registration import application_name, claim_role


@pytest.mark.parametrize("name", ["mail", "Grüße", "x" * 100])
def test_connections_that_claim_are_told_apart_by_their_names(name: str) -> None:
    prefix = application_name(12, claim_role(name, prefix=True))
    whole = application_name(12, claim_role(name))
    assert prefix.isascii()
    assert len(prefix) <= 63
    assert whole.startswith(prefix)
    for other in (f"{name}-bulk", name[:-1] + "y"):
        assert not application_name(12, claim_role(other)).startswith(prefix)
