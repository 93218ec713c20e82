"""What is expected of jobs that misbehave: the judgement can be a bad one."""

from __future__ import annotations

import pytest

from tests.system.chaos.misdeeds import MISDEEDS
from tests.system.chaos.scenario import ALL
from tests.system.chaos.scenarios.jobs import Odd, died, judge

BESIDE = "its worker process died while it ran: killed by SIGKILL"
CRASH = Odd("segfault", died("killed by SIGSEGV$"))
CRASHES = ["its worker process died while it ran: killed by SIGSEGV", "its process died: killed by SIGSEGV"]


@pytest.mark.parametrize(
    ("odd", "status", "errors"),
    [
        (CRASH, "failed", CRASHES),
        (CRASH, "failed", [BESIDE, CRASHES[1]]),
        (Odd("return"), "completed", []),
        (Odd("return"), "completed", [BESIDE]),
    ],
    ids=["each time by itself", "once beside another", "completed", "completed after another"],
)
def test_what_is_expected_is_right(odd: Odd, status: str, errors: list[str]) -> None:
    assert judge(odd, status, 2, errors) is None


@pytest.mark.parametrize(
    ("odd", "status", "errors"),
    [
        (CRASH, "completed", []),
        (CRASH, "queued", CRASHES[:1]),
        (CRASH, "failed", CRASHES[:1]),
        (CRASH, "failed", [CRASHES[0], "its process died: exit code 1"]),
        (CRASH, "failed", [CRASHES[0], "its process died: killed by SIGSEGV, or so"]),
        (Odd("return"), "failed", [BESIDE] * 2),
        (Odd("return"), "completed", ["its process died: killed by SIGKILL"]),
    ],
    ids=["completed", "not over", "attempts too few", "another way", "more words", "failed", "an error of its own"],
)
def test_what_is_not_expected_is_wrong(odd: Odd, status: str, errors: list[str]) -> None:
    assert judge(odd, status, 2, errors)


def test_each_misdeed_that_a_scenario_names_is_there() -> None:
    source = {name for one in ALL.values() if one.group == "jobs" for name in _names(one.strike)}
    assert source
    assert source <= MISDEEDS.keys()


def _names(strike: object) -> set[str]:
    cells = getattr(strike, "__closure__", None) or ()
    return {odd.name for cell in cells if isinstance(cell.cell_contents, tuple) for odd in cell.cell_contents}
