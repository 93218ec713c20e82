"""A subscription as a stored row: what each event makes a job of."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.db.encoding import can_store, encoding_of

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """A subscription as a row of `subscriptions`, without its state. `name`: also of the task. `meta`: as JSON."""

    name: str
    app: str
    pattern: str
    queue: str
    priority: int
    max_attempts: int
    timeout: float | None
    executor: str | None
    meta: str | None
    expires: float | None
    limit_key: str | None
    fair_by: str | None
    breaker: str | None
    cost: float | None
    on_failure: str
    summary: str | None
    signature: bytes | None = None

    @property
    def task(self) -> str:
        """The name of its task, for what is signed."""
        return self.name

    def digest(self) -> bytes:
        """Return what differs between two declarations."""
        from hashlib import sha256  # imported lazily: hashlib is slow to import

        return sha256(repr(self).encode()).digest()

    def row_values(self) -> dict[str, Any]:
        """Return the columns of `subscriptions`, as parameters."""
        return asdict(self)

    def to_message(self) -> dict[str, Any]:
        """Return it as plain values of JSON."""
        return {**asdict(self), "signature": None if self.signature is None else b64encode(self.signature).decode()}

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> StoredSubscription:
        """Return the subscription that `to_message` wrote."""
        signature = values["signature"]
        return cls(**{**values, "signature": None if signature is None else b64decode(signature)})


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """A topic that keeps its events, as a row of `topics`. `keep`: in seconds."""

    pattern: str
    app: str
    keep: float

    def row_values(self) -> dict[str, Any]:
        """Return the columns of `topics`, as parameters."""
        return {"pattern": self.pattern, "app": self.app, "keep": timedelta(seconds=self.keep)}


def signed(made: StoredSubscription) -> StoredSubscription:
    """Sign a subscription with the key that this process has now."""
    keys = settings().signing_keys
    if not keys:
        return replace(made, signature=None)
    from pgjobs.payload.signing import sign_subscription, signed_fields  # imported lazily: hashlib is slow to import

    return replace(made, signature=sign_subscription(keys[0], made.pattern, signed_fields(made)))


def storable(conn: psycopg.Connection[Any], made: StoredSubscription) -> StoredSubscription | None:
    """Return a subscription as the database can hold it: with other characters in its summary; None if it cannot."""
    encoding = encoding_of(conn)
    if encoding.has_all:
        return made
    exact = {**made.row_values(), "summary": None}.values()
    if not all(can_store(conn, value) for value in exact if isinstance(value, str)):
        return None
    return replace(made, summary=None if made.summary is None else encoding.stored(made.summary))
