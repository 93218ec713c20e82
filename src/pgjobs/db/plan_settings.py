"""Settings of the planner, for statements whose plan must not depend on statistics.

A fresh table, or a million dead rows, would otherwise turn an index look-up into a scan of the whole table.
"""

from __future__ import annotations

from typing import LiteralString

_INDEXES_ONLY: dict[LiteralString, LiteralString] = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
IN_ORDER: dict[str, str] = {"enable_sort": "off", "jit": "off"}
"""Index scans where there is an order: a LIMIT ends them."""
INDEX_SCANS: dict[str, str] = {**_INDEXES_ONLY, **IN_ORDER}
"""Index scans in the order of the index, and no others. Bitmaps are for BRIN."""
LOOK_UPS: dict[str, str] = {**_INDEXES_ONLY, "enable_bitmapscan": "off"}
"""Look-ups in indexes; what is found is sorted."""
HOT: dict[LiteralString, LiteralString] = {
    **_INDEXES_ONLY,
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""Nested loops over indexes, planned once in a session.

Left alone, a generic plan once went to a sequential scan with a hash join, twenty times slower.
"""
