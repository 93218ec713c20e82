"""What can be set for the whole process: by environment variables, or by `configure()`.

| setting | variable | default |
| --- | --- | --- |
| database_url | PGJOBS_DATABASE_URL | none: the command line starts an embedded PostgreSQL |
| schema | PGJOBS_SCHEMA | pgjobs |
| signing_keys | PGJOBS_SIGNING_KEY | none; several are separated by commas, the first one signs |
| max_payload | PGJOBS_MAX_PAYLOAD | 1 MiB, in bytes |
| summaries | PGJOBS_SUMMARY | on; `off` stores none |
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgjobs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SCHEMA = "pgjobs"
DEFAULT_MAX_PAYLOAD = 1024 * 1024  # bytes
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of this process.

    `database_url`: any SQLAlchemy or libpq URL of PostgreSQL (None: the command line starts an embedded one). `schema`:
    where the tables are. `signing_keys`: the first one signs, any of them verifies (none: payloads are not signed).
    `max_payload`: the bytes that a job's payload may have. `summaries`: store a readable form of each call.

    Raises:
        UsageError: a value that can not be used.

    """

    database_url: str | None = None
    schema: str = DEFAULT_SCHEMA
    signing_keys: tuple[bytes, ...] = ()
    max_payload: int = DEFAULT_MAX_PAYLOAD
    summaries: bool = True

    def __post_init__(self) -> None:
        if not _SCHEMA_NAME.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise UsageError(
                f"schema {self.schema!r} can not be used: give a lower-case name of letters, digits and underscores "
                "that does not start with a digit or with pg_ (PGJOBS_SCHEMA)."
            )
        if self.max_payload < 1:
            raise UsageError(f"max_payload is {self.max_payload}: give a number of bytes above 0 (PGJOBS_MAX_PAYLOAD).")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the variables of the table above.

        Raises:
            UsageError: a variable has a value that can not be used.

        """
        env = os.environ if environ is None else environ
        max_payload = env.get("PGJOBS_MAX_PAYLOAD") or str(DEFAULT_MAX_PAYLOAD)
        if not max_payload.strip().isdecimal():
            raise UsageError(f"PGJOBS_MAX_PAYLOAD is {max_payload!r}: give a number of bytes, such as 1048576.")
        keys = (env.get("PGJOBS_SIGNING_KEY") or "").split(",")
        return cls(
            database_url=env.get("PGJOBS_DATABASE_URL") or None,
            schema=env.get("PGJOBS_SCHEMA") or DEFAULT_SCHEMA,
            signing_keys=tuple(key.strip().encode() for key in keys if key.strip()),
            max_payload=int(max_payload),
            summaries=(env.get("PGJOBS_SUMMARY") or "on").lower() not in ("off", "0", "no", "false"),
        )


_current: Settings | None = None


def settings() -> Settings:
    """Give the settings of this process, read from the environment at first use.

    Raises:
        UsageError: a variable has a value that can not be used.

    """
    global _current
    if _current is None:
        _current = Settings.from_environment()
    return _current


def configure(**changes: Any) -> Settings:
    """Change settings of this process, by the names of `Settings`, and give the new ones: `configure(schema="mail")`.

    Raises:
        UsageError: there is no such setting, or its value can not be used.

    """
    global _current
    try:
        _current = replace(settings(), **changes)
    except TypeError as error:
        raise UsageError(f"{error}: the settings are {', '.join(Settings.__dataclass_fields__)}.") from None
    return _current


def forget_settings() -> None:
    """Read the environment again at the next use, for tests."""
    global _current
    _current = None
