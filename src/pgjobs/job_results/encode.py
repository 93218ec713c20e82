"""What a job returned, to bytes and back: a pickle, or JSON where the job's payload is JSON."""

from __future__ import annotations

import json
import pickle
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, NotAllowedError, PayloadError, ResultError, ResultTooLargeError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.core.text import shorten_repr
from pgjobs.jobs.outcome import KeptResult
from pgjobs.payload.orm_objects import may_have_some, refuse_orm_objects
from pgjobs.payload.pickle_refusals import PROTOCOL, advice_for, reason_of
from pgjobs.payload.pickling import by_value

if TYPE_CHECKING:
    from pgjobs.jobs.options import JobOptions


def encode(task: str, value: object, seconds: float, *, as_json: bool, orm_objects: bool) -> KeptResult:
    """Make bytes of what a job of `task` returned, to be kept for `seconds`.

    Raises:
        ResultError: it cannot be pickled, or JSON has no such value, or it is an object of an ORM.
        ResultTooLargeError: it has more than `result_max_bytes`.

    """
    data = _to_json(task, value) if as_json else _to_pickle(task, value, orm_objects)
    most = settings().result_max_bytes
    if len(data) > most:
        raise ResultTooLargeError(
            f"what {task} returned has {len(data):,} bytes, and {most:,} may be kept: store it elsewhere and return a "
            "reference to it, or raise PGJOBS_RESULT_MAX_BYTES."
        )
    return KeptResult(data, as_json, seconds)


def kept_result(task: str, value: object, options: JobOptions) -> KeptResult | None:
    """Make what is kept of a job with these options, which returned a value; None: it keeps nothing.

    Raises:
        ResultError, ResultTooLargeError: as `encode`.

    """
    seconds = options.result
    if seconds is None:
        return None
    return encode(task, value, seconds, as_json=options.payload != "pickle", orm_objects=options.orm_objects)


def _to_pickle(task: str, value: object, orm_objects: bool) -> bytes:
    try:
        data = pickle.dumps(value, PROTOCOL)
    except RAISED_FROM_OUTSIDE:
        raise
    except Exception as error:  # objects decide themselves what they raise when they are pickled
        data = _by_value(task, value, error)
    if not orm_objects and may_have_some(data):
        try:
            refuse_orm_objects(encode, iter([("the result", value)]))
        except EnqueueError:
            raise ResultError(
                f"what {task} returned is or holds an object of an ORM, and a reader would get a stale copy: return "
                "its id. @job(orm_objects=True) lets copies through."
            ) from None
    return data


def _by_value(task: str, value: object, error: Exception) -> bytes:
    """Pickle functions and classes without a name by value, where cloudpickle is installed, as payloads do.

    Raises:
        ResultError: it cannot be pickled.

    """
    advice = advice_for(error)
    try:
        return by_value(import_module("cloudpickle"))(value, PROTOCOL)
    except RAISED_FROM_OUTSIDE:
        raise
    except ImportError:
        reason = error
    except Exception as second:
        reason, advice = second, ""
    raise ResultError(
        f"what {task} returned cannot be kept, because it cannot be pickled ({reason_of(reason)}): return plain "
        f"values, or leave out result=.{advice}"
    ) from reason


def _to_json(task: str, value: object) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(
            f"what {task} returned is {shorten_repr(value)}, which JSON does not have ({reason_of(error)}): return "
            "strings, numbers, booleans, None, lists and dicts, or leave out payload='json'."
        ) from error
    return data


def signature_of(job_id: int, kept: KeptResult) -> bytes | None:
    """Sign a result for its job, if this process has a key."""
    keys = settings().signing_keys
    if not keys:
        return None
    from pgjobs.payload.signing import sign_result  # imported lazily: hashlib is slow to import

    return sign_result(keys[0], job_id, kept.is_json, kept.value)


def decode(job_id: int, data: bytes, is_json: bool, signature: bytes | None) -> Any:
    """Read a result, with the keys, the allow-list and the kinds of payload that this process has.

    The author of a pickle decides what code this runs: so its signature is checked first, if there is a key.

    Raises:
        SignatureError: this process has a key, and the result was not signed with it.
        NotAllowedError: it is a pickle, and this process takes none; or it uses what the allow-list does not have.
        PayloadError: it cannot be read here, for another reason.

    """
    current = settings()
    if current.signing_keys:
        from pgjobs.payload.signing import verify_result  # imported lazily: hashlib is slow to import

        verify_result(current.signing_keys, signature, job_id, is_json, data)
    return load(f"the result of job {job_id}", data, is_json)


def load(what: str, data: bytes, is_json: bool) -> Any:
    """Load a value whose signature was checked. `what` it is, for errors.

    Raises:
        NotAllowedError: it is a pickle, and this process takes none; or it uses what the allow-list does not have.
        PayloadError: it cannot be read here, for another reason.

    """
    current = settings()
    try:
        if is_json:
            return json.loads(data)
        if current.payload == "json":
            raise NotAllowedError(
                f'{what} is a pickle, and this process takes none (PGJOBS_PAYLOAD): give the job @job(payload="json").'
            )
        if current.allow is None:
            return pickle.loads(data)
        from pgjobs.payload.safe.unpickler import loads_value  # imported lazily: without a list it is not needed

        return loads_value(data, current.allow)
    except (*RAISED_FROM_OUTSIDE, PayloadError):
        raise
    except BaseException as error:  # modules and objects may raise anything while they are loaded, SystemExit too
        raise PayloadError(f"{what} cannot be loaded: {reason_of(error)}.") from error
