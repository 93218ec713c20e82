"""What must hold, one function for each invariant. Each gets the histories of a round, and returns what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.stress.audit.ends import (
    after_what_they_need,
    all_end,
    attempts_are_counted,
    firings_do_not_overlap,
    keys_are_released,
    one_has_a_key,
)
from tests.system.stress.audit.holds import (
    breakers_hold,
    claims_are_kept,
    pauses_hold,
    probes_are_few,
    what_expired_stays,
)
from tests.system.stress.audit.order import ended_sequences_end, in_order, one_after_another
from tests.system.stress.audit.slots import rates_hold, slots_by_rows, slots_by_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.stress.audit.fault import Fault
    from tests.system.stress.trace import Histories

INVARIANTS: tuple[Callable[[Histories], list[Fault]], ...] = (
    slots_by_rows,
    slots_by_word,
    rates_hold,
    one_after_another,
    in_order,
    ended_sequences_end,
    all_end,
    attempts_are_counted,
    after_what_they_need,
    firings_do_not_overlap,
    one_has_a_key,
    keys_are_released,
    pauses_hold,
    breakers_hold,
    probes_are_few,
    what_expired_stays,
    claims_are_kept,
)


def audit(histories: Histories) -> list[Fault]:
    """Return all that is wrong."""
    return [fault for invariant in INVARIANTS for fault in invariant(histories)]
