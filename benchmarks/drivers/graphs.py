"""What the drivers of graphs speak: `python -m benchmarks.drivers.graphs_NAME prepare|chains N LENGTH|fan-in N|work`.

Steps do nothing but `ran(number)`: see protocol.py. They are numbered from 0 on; the one after all others comes last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def serve(
    fill: Callable[[int, int], None],
    fan_in: Callable[[int], None],
    work: Callable[[], None],
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Do what the command line says. `prepare`: makes the tables in a new database."""
    command, *words = sys.argv[1:]
    calls: dict[str, Callable[..., None]] = {"prepare": prepare, "chains": fill, "fan-in": fan_in, "work": work}
    calls[command](*map(int, words))
