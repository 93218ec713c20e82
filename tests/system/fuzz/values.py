"""Values that no parameter is made for, by the names under which `docs/how-it-is-tested/bad-input.md` shows them."""

from __future__ import annotations

import decimal
import fractions
import math
import threading
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import Any, NoReturn


def refuse(*_: object, **__: object) -> NoReturn:
    """Raise what no caller expects of a comparison."""
    raise RuntimeError("asked")


class Raises:
    """An object that raises whatever is asked of it."""

    __repr__ = __str__ = __bool__ = __hash__ = __len__ = __iter__ = __reduce__ = __call__ = refuse
    __float__ = __int__ = __index__ = __getattr__ = refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = refuse


class Proxy:
    """A proxy that stands for nothing now, as those of web frameworks outside of a request."""

    __class__ = property(refuse)


class Text(str):
    """A string that raises whatever is asked of it."""

    __slots__ = ()
    __repr__ = __str__ = __bool__ = __hash__ = __len__ = __eq__ = strip = isprintable = encode = refuse


class Number(int):
    """A number that raises whatever is asked of it."""

    __repr__ = __str__ = __bool__ = __hash__ = __index__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = refuse


class Zone(tzinfo):
    """A time zone that raises."""

    utcoffset = dst = tzname = refuse


class Liar(tzinfo):
    """A time zone whose offset is not a timedelta."""

    def utcoffset(self, _: datetime | None) -> Any:
        return 5

    dst = utcoffset
    tzname = utcoffset


class Suit(Enum):
    HEARTS = 1


class Meta(type):
    __repr__ = refuse


class Class(metaclass=Meta):
    """A class whose representation raises."""


class Mapping(dict[str, object]):
    """A mapping that raises when it is read."""

    __iter__ = keys = __getitem__ = refuse


class Tuple(tuple[object, ...]):
    """A tuple that raises when it is read."""

    __slots__ = ()
    __iter__ = refuse


VALUES: dict[str, Any] = {
    "an object that raises when it is asked anything": Raises(),
    "a proxy that stands for nothing": Proxy(),
    "a string that raises when it is asked anything": Text("default"),
    "a number that raises when it is asked anything": Number(3),
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "1e308": 1e308,
    "5e-324": 5e-324,
    "a number of 5,001 digits": 10**5000,
    "True": True,
    "None": None,
    "1j": 1j,
    "Decimal('NaN')": decimal.Decimal("NaN"),
    "Decimal(5)": decimal.Decimal(5),
    "Fraction(1, 3)": fractions.Fraction(1, 3),
    "''": "",
    "' '": " ",
    "'a\\0b'": "a\0b",
    "'\\ud800' (half of a surrogate pair)": "\ud800",
    "'\\x1b[31m'": "\x1b[31m",
    "'\\u202e' (right to left)": "\u202e",
    "a million characters": "x" * 1_000_000,
    "b'x'": b"x",
    "[]": [],
    "{}": {},
    "object": object,
    "a class whose repr() raises": Class,
    "an Enum": Suit.HEARTS,
    "a lock": threading.Lock(),
    "a generator": (n for n in range(1)),
    "a date": date(2040, 1, 1),
    "a timedelta": timedelta(days=1),
    "a naive datetime": datetime(2040, 1, 1),  # noqa: DTZ001 (naive is the subject)
    "the year 1": datetime.min.replace(tzinfo=UTC),
    "the year 1 in UTC+14": datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    "the year 9999": datetime.max.replace(tzinfo=UTC),
    "the year 9999 in UTC-14": datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    "a time zone that raises": datetime(2040, 1, 1, tzinfo=Zone()),
    "a time zone that gives a number": datetime(2040, 1, 1, tzinfo=Liar()),
}

_RAISING = (Raises, Proxy, Text, Number, Class)
# Those that can be printed and compared, which is what hypothesis does with them.
TAME = {
    name: value
    for name, value in VALUES.items()
    if type(value) not in _RAISING and value is not Class and "zone" not in name and "digits" not in name
}
