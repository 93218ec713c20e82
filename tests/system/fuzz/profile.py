"""How long the fuzz runs are: `make fuzz` sets FUZZ_EXAMPLES; without it they are short, and the same every time."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
fuzz = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    # All examples of a test share its database: that nothing stays in it is the subject.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
