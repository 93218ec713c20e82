"""Steps that a job does once over all its attempts: their values as they are stored, signed as results are."""

from __future__ import annotations

from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.job_results.encode import encode, load

MAX_KEY = 200  # characters
_JSON, _PICKLE = b"j", b"p"


def check_key(key: object) -> str:
    """Return the key of a step.

    Raises:
        UsageError: it cannot be one.

    """
    if isinstance(key, str) and 0 < len(key) <= MAX_KEY and "\0" not in key:
        return key
    raise UsageError(f"once({shorten_repr(key)}, …): give the step a name of 1 to {MAX_KEY} characters.")


def stored(job_id: int, task: str, key: str, value: object) -> tuple[bytes, bytes | None]:
    """Return what is stored for the value of a step: bytes, and their signature if this process has a key.

    Raises:
        ResultError: it cannot be pickled, or JSON does not have it, or it is too large.

    """
    as_json = settings().payload == "json"
    kept = encode(f"the step {key!r} of {task}", value, 0.0, as_json=as_json, orm_objects=False)
    data = (_JSON if as_json else _PICKLE) + kept.value
    keys = settings().signing_keys
    if not keys:
        return data, None
    from pgjobs.payload.signing import sign_result  # imported lazily: hashlib is slow to import

    return data, sign_result(keys[0], job_id, as_json, _signed(key, data))


def restored(job_id: int, key: str, data: bytes, signature: bytes | None) -> Any:
    """Return the value of a step from what is stored.

    Raises:
        SignatureError: this process has a key, and it was not signed with it.
        PayloadError: it cannot be loaded here.

    """
    is_json = data[:1] == _JSON
    keys = settings().signing_keys
    if keys:
        from pgjobs.payload.signing import verify_result  # imported lazily: as above

        verify_result(keys, signature, job_id, is_json, _signed(key, data))
    return load(f"the step {key!r} of job {job_id}", data[1:], is_json)


def _signed(key: str, data: bytes) -> bytes:
    return b"step\0" + key.encode("utf-8", "surrogatepass") + b"\0" + data
