"""A slice of the fault suite: some scenarios in turns, a few seconds each. `make chaos` plays them all, and longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.chaos import scenarios
from tests.system.chaos.cluster import Cluster, folder, make_template
from tests.system.chaos.scenario import ALL, Scenario
from tests.system.chaos.stage import play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 3.0  # of faults, a scenario
SEED = 1
SLICE = [one for one in ALL.values() if one.slice]
assert scenarios


@pytest.fixture(scope="module")
def template(binaries: Path) -> Iterator[Cluster]:
    with folder() as (place, account):
        yield make_template(binaries, place, account)


@pytest.mark.in_turns(3)
@pytest.mark.parametrize("scenario", SLICE, ids=lambda one: one.name)
def test_nothing_is_lost_and_nothing_is_left_behind(scenario: Scenario, template: Cluster) -> None:
    if scenario.missing():
        pytest.skip(f"there is no {', '.join(scenario.missing())}")
    place = template.data.parent.parent / str(abs(hash(scenario.name)))
    result = play(scenario, template, place, SEED, SECONDS)
    assert not result.wrong, result
    assert result.counts["completed"] > 50
    assert result.strikes
