"""What pgjobs' own connections say at their start, so that nothing depends on what others have set.

The server, the database (ALTER DATABASE), the role (ALTER ROLE), PGOPTIONS, PGTZ and PGDATESTYLE, and the URL can set
nearly everything. What they set is meant for people and applications. Workers, rescue, commands and migrations need
PostgreSQL's defaults, or the value that is written here. It is said after the connection is made, because the
environment would win over the options of a connection.

What runs on a caller's connection cannot say anything: it has to work as it is.
"""

from __future__ import annotations

from typing import LiteralString, TypeAlias

Pins: TypeAlias = "dict[LiteralString, LiteralString]"

SESSION: Pins = {
    # How values are written and read.
    "DateStyle": "'ISO, MDY'",
    "IntervalStyle": "'postgres'",
    "TimeZone": "'UTC'",
    "bytea_output": "'hex'",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",  # or a NULL in an array is the text "NULL"
    "transform_null_equals": "off",
    # Transactions. What is looked at under a lock has to be seen as it is then.
    "default_transaction_isolation": "'read committed'",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # Limits: 0 takes them away. Where one is needed it is set on top of this.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "exit_on_error": "off",
    # What names mean, which rows are seen, how statements are planned.
    "search_path": "pg_catalog, pg_temp",
    "row_security": "on",
    "plan_cache_mode": "auto",
    "jit": "off",
}
_SINCE = {"transaction_timeout": 17, "idle_session_timeout": 14}  # major versions


def session_settings(server_version: int) -> str:
    """Return the statements for a session on a server of this version, as libpq gives it (180001)."""
    known = (name for name in SESSION if server_version // 10000 >= _SINCE.get(name, 0))
    return set_statements("SET", {name: SESSION[name] for name in known})


def set_statements(verb: LiteralString, pins: Pins) -> LiteralString:
    """Return statements that set all of these; `verb`: SET, or SET LOCAL for one transaction."""
    return "; ".join(f"{verb} {name} = {value}" for name, value in pins.items())
