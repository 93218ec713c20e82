"""Values of a kind as plain ones: a string, a whole number, a number; None for all else.

A subclass may answer anything when it is compared or printed, an object may lie about its class, and an `Enum` of
strings is printed by its name. So the kind is looked at, and what is kept is a plain copy: the same in the options, in
the row and in the signature.
"""

from __future__ import annotations

import math


def exact_text(value: object) -> str | None:
    """Give a string as a plain one; None: it is none."""
    return str.__str__(value) if isinstance_of(value, str) else None


def exact_int(value: object) -> int | None:
    """Give a whole number as a plain one; None: it is none. True and False are none."""
    if not isinstance_of(value, int) or isinstance_of(value, bool):
        return None
    return int.__int__(value)  # type: ignore[arg-type]  # just looked at


def exact_number(value: object) -> int | float | None:
    """Give a finite number as a plain one; None: it is none, or no float is as large."""
    if isinstance_of(value, float):
        number = float.__float__(value)  # type: ignore[arg-type]  # just looked at
        return number if math.isfinite(number) else None
    whole = exact_int(value)
    try:
        return whole if whole is None or math.isfinite(whole) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def isinstance_of(value: object, kind: type) -> bool:
    """Say whether it is of a kind, by its type alone: `isinstance` asks the object too, which may raise."""
    return issubclass(type(value), kind)
