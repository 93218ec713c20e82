"""A slice of the stress: one short round. `make stress` plays for as long as you like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.system.chaos.cluster import folder, make_template
from tests.system.stress.__main__ import line, noted, play

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.in_turns(3)

SECONDS = 4.0  # of load, changes and faults
SEED = 1


def test_a_short_round_has_no_faults(binaries: Path, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    with folder() as (place, account), noted(file) as tell:
        template = make_template(binaries, place, account)
        stress = play(template, place / "stress", SEED, SECONDS, SECONDS, tell, processes=1)
    assert not stress.faults, line(stress, file)
    for what in ("jobs", "runs", "changes", "faults"):
        assert stress.counts[what], stress.counts
    events = {json.loads(text)["event"] for text in file.read_text().splitlines()}
    assert {"round", "change", "fault"} <= events
