"""What can be set for the whole process: by environment variables, or by `configure()`.

| setting | variable | default |
| --- | --- | --- |
| database_url | PGJOBS_DATABASE_URL | none: the embedded PostgreSQL that runs in `./.pgjobs/` |
| schema | PGJOBS_SCHEMA | pgjobs |
| signing_keys | PGJOBS_SIGNING_KEY | none; several are separated by commas, the first one signs |
| max_payload | PGJOBS_MAX_PAYLOAD | 1 MiB, in bytes |
| result_max_bytes | PGJOBS_RESULT_MAX_BYTES | 1 MiB, in bytes |
| summaries | PGJOBS_SUMMARY | on; `off` stores none |
| allow | PGJOBS_ALLOW | none: workers may call anything; several are separated by commas |
| payload | PGJOBS_PAYLOAD | any: workers take pickles and JSON; `json`: no pickles |
| app | PGJOBS_APP | none: the top-level package that declares a schedule |
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgjobs.core.allowlist import AllowList, parse_allow
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_int, as_str, check_name, has_type

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SCHEMA = "pgjobs"
DEFAULT_MAX_PAYLOAD = 1024 * 1024  # bytes
DEFAULT_RESULT_MAX_BYTES = 1024 * 1024
DEFAULT_RESCUE_AFTER = 30.0  # seconds without a heartbeat, until a worker is considered dead
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of this process.

    `database_url`: any SQLAlchemy or libpq URL of PostgreSQL (None: the embedded one in `./.pgjobs/`, if it runs).
    `schema`: where the tables are. `signing_keys`: a tuple or list of bytes; the first one signs, any of them verifies
    (none: payloads are not signed). `max_payload`: the bytes that a job's payload may have. `result_max_bytes`: those
    that a result may have. `summaries`: store a readable form of each call. `allow`: what workers may call (None:
    anything), as an `AllowList`. `payload`: what workers take, "any" or "json". `app`: the name of this application,
    which owns the schedules that its code declares.

    Raises:
        UsageError: a value that cannot be used.

    """

    database_url: str | None = None
    schema: str = DEFAULT_SCHEMA
    signing_keys: tuple[bytes, ...] = ()
    max_payload: int = DEFAULT_MAX_PAYLOAD
    summaries: bool = True
    allow: AllowList | None = None
    payload: str = "any"
    app: str | None = None
    result_max_bytes: int = DEFAULT_RESULT_MAX_BYTES

    def __post_init__(self) -> None:
        url, schema = as_str(self.database_url), as_str(self.schema)
        if url is None and self.database_url is not None:
            raise UsageError(
                f"database_url is a {type(self.database_url).__name__}: give a URL as a string, or None "
                "(PGJOBS_DATABASE_URL)."
            )
        if schema is None or not _SCHEMA_NAME.fullmatch(schema) or schema.startswith("pg_"):
            raise UsageError(
                f"schema {shorten_repr(self.schema)} cannot be used: give a lower-case name of letters, digits and "
                "underscores that does not start with a digit or with pg_ (PGJOBS_SCHEMA)."
            )
        object.__setattr__(self, "database_url", url)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "signing_keys", _keys(self.signing_keys))
        for name in ("max_payload", "result_max_bytes"):
            size = as_int(getattr(self, name))
            if size is None or size < 1:
                raise UsageError(
                    f"{name} is {shorten_repr(getattr(self, name))}: give a number of bytes above 0 "
                    f"(PGJOBS_{name.upper()})."
                )
            object.__setattr__(self, name, size)
        if self.summaries is not True and self.summaries is not False:
            raise UsageError(f"summaries is {shorten_repr(self.summaries)}: give True or False (PGJOBS_SUMMARY).")
        if self.allow is not None and not has_type(self.allow, AllowList):
            object.__setattr__(self, "allow", parse_allow(_texts(self.allow)))
        payload = as_str(self.payload)
        if payload not in ("any", "json"):
            raise UsageError(f"payload is {shorten_repr(self.payload)}: give 'any' or 'json' (PGJOBS_PAYLOAD).")
        object.__setattr__(self, "payload", payload)
        if self.app is not None:
            object.__setattr__(self, "app", check_name("app", self.app, or_else="leave it out (PGJOBS_APP)"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Return the settings that the variables of the table above contain.

        Raises:
            UsageError: a variable has a value that cannot be used.

        """
        env = os.environ if environ is None else environ
        keys = (env.get("PGJOBS_SIGNING_KEY") or "").split(",")
        return cls(
            database_url=env.get("PGJOBS_DATABASE_URL") or None,
            schema=env.get("PGJOBS_SCHEMA") or DEFAULT_SCHEMA,
            signing_keys=tuple(key.strip().encode() for key in keys if key.strip()),
            max_payload=_bytes_of(env, "PGJOBS_MAX_PAYLOAD", DEFAULT_MAX_PAYLOAD),
            allow=parse_allow([env["PGJOBS_ALLOW"]]) if env.get("PGJOBS_ALLOW") else None,
            payload=env.get("PGJOBS_PAYLOAD") or "any",
            app=env.get("PGJOBS_APP") or None,
            result_max_bytes=_bytes_of(env, "PGJOBS_RESULT_MAX_BYTES", DEFAULT_RESULT_MAX_BYTES),
            summaries=(env.get("PGJOBS_SUMMARY") or "on").lower() not in ("off", "0", "no", "false"),
        )


def _bytes_of(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not (text.strip().isdecimal() and len(text) < 20):
        raise UsageError(f"{name} is {shorten_repr(text)}: give a number of bytes, such as {default}.")
    return int(text)


def _texts(allow: object) -> list[str]:
    items: Any = allow if has_type(allow, tuple) or has_type(allow, list) else (allow,)
    texts = [text for text in map(as_str, items) if text is not None]
    if len(texts) < len(items):
        raise UsageError(f"allow={shorten_repr(allow)}: give a list of patterns, such as ['shop.*'] (PGJOBS_ALLOW).")
    return texts


def _keys(keys: object) -> tuple[bytes, ...]:
    # A single key would be taken apart into its characters. And text is not encoded here: whether a line end belongs
    # to the key is for its owner to say. No key is shown, whatever is wrong with it.
    if not (has_type(keys, tuple) or has_type(keys, list)):
        raise UsageError(
            f"signing_keys is a {type(keys).__name__}: give a tuple of keys, also when there is but one: (key,)."
        )
    items: Any = keys
    for key in items:
        if not has_type(key, bytes):
            raise UsageError(f"signing_keys has a {type(key).__name__} in it: keys are bytes, so give key.encode().")
        if not key:
            raise UsageError("signing_keys has an empty key in it: everyone could sign with that one.")
    return tuple(items)


_current: Settings | None = None


def settings() -> Settings:
    """Return the settings of this process, read from the environment at first use.

    Raises:
        UsageError: a variable has a value that cannot be used.

    """
    global _current
    if _current is None:
        _current = Settings.from_environment()
    return _current


def configure(**changes: Any) -> Settings:
    """Change settings of this process, by the names of `Settings`, and give the new ones: `configure(schema="mail")`.

    Raises:
        UsageError: there is no such setting, or its value cannot be used.

    """
    global _current
    unknown = [name for name in changes if name not in Settings.__dataclass_fields__]
    if unknown:
        raise UsageError(
            f"there is no setting {shorten_repr(unknown[0])}: the settings are "
            f"{', '.join(Settings.__dataclass_fields__)}."
        )
    _current = replace(settings(), **changes)
    return _current


def forget_settings() -> None:
    """Read the environment again at the next use, for tests."""
    global _current
    _current = None
