"""Keys that are made from a call's arguments: `tenant:{tenant_id}`, as `str.format` would write it.

Between the braces stands the name of a parameter, or `meta.` and a key of the job's metadata, and nothing else. What
comes out is the same text for the same value wherever it is made, so only plain values are taken: an object's own text
may have its address in it.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import MAX_NAME, as_number, as_str, check_printable, has_type

_FORMATTER = string.Formatter()
_MOMENTS = (date, time)  # a datetime is a date
_WITH_A_TEXT = (Decimal, UUID, timedelta)
META = "meta."  # what a name of the job's metadata begins with


class Template:
    """A key, or what becomes one when the values of `names` are put in."""

    __slots__ = ("_parts", "names", "of_meta", "option", "text")

    def __init__(self, option: str, text: str) -> None:
        """Read the template of an option.

        Raises:
            UsageError: there is something else between its braces than a name, or they do not match.

        """
        self.option = option
        self.text = text
        self.names: tuple[str, ...] = ()
        """The parameters whose values go into it, in their order."""
        self.of_meta: tuple[str, ...] = ()
        """The keys of the job's metadata whose values go into it."""
        self._parts: list[tuple[str, str | None]] = []  # texts, and the name that follows each
        if "{" not in text and "}" not in text:
            check_key(option, text)
            return
        try:
            for literal, name, spec, conversion in _FORMATTER.parse(text):
                if name is not None and (not name.removeprefix(META).isidentifier() or spec or conversion):
                    raise ValueError(f"{{{name}}}" if name else "{}")
                self._parts.append((literal, name))
        except ValueError as error:
            raise UsageError(
                f"{option}={shorten_repr(text)} cannot be read ({error}): between braces goes the name of a parameter "
                "and nothing else, as in 'tenant:{tenant_id}', or a key of the metadata, as in "
                "'tenant:{meta.tenant}'; write {{ and }} for braces."
            ) from None
        names = [name for _, name in self._parts if name is not None]
        self.names = tuple(name for name in names if not name.startswith(META))
        self.of_meta = tuple(name.removeprefix(META) for name in names if name.startswith(META))
        if not names:
            check_key(option, "".join(literal for literal, _ in self._parts))

    def with_meta(self, meta: Mapping[str, Any]) -> Template:
        """Return the template in which the values of the job's metadata are put in already: it has parameters only.

        Raises:
            UsageError: there is no such key, or its value is not a plain one.

        """
        if not self.of_meta:
            return self
        text = ""
        for literal, name in self._parts:
            text += _escaped(literal)
            if name is not None and name.startswith(META):
                text += _escaped(self._of_meta(name.removeprefix(META), meta))
            elif name is not None:
                text += f"{{{name}}}"
        return Template(self.option, text)

    def _of_meta(self, key: str, meta: Mapping[str, Any]) -> str:
        if key in meta:
            return text_of(self.option, f"{META}{key}", meta[key])
        raise UsageError(
            f"{self.option}={shorten_repr(self.text)} takes {shorten_repr(key)} of the metadata, and the job has no "
            f"such key: give it with .options(meta={{{key!r}: …}}), or in an on_enqueue hook."
        )

    def render(self, texts: Mapping[str, str]) -> str:
        """Return the key of one call, from the texts of the arguments that it names (see `text_of`).

        Raises:
            UsageError: the key is empty, too long, or has characters that cannot be printed.

        """
        key = self.text.format_map(texts)
        if 1 <= len(key) <= MAX_NAME and key.isprintable():
            return key
        return check_key(self.option, key)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def text_of(option: str, name: str, value: object) -> str:
    """Return the text of an argument's value: the same for the same value.

    Raises:
        UsageError: it is not a plain value.

    """
    text = as_str(value)
    if text is not None and not has_type(value, Enum):
        return text
    if value is None or value is True or value is False:
        return str(value)
    if has_type(value, Enum):
        return text_of(option, name, value._value_)  # type: ignore[attr-defined]  # an Enum has it
    number = as_number(value)
    try:
        if number is not None:
            return repr(number)
        if any(has_type(value, kind) for kind in _MOMENTS):
            return str(value.isoformat())  # type: ignore[attr-defined]  # both have it
        if type(value) in _WITH_A_TEXT:
            return str(value)
    except Exception as error:  # a number of 5,000 digits, or a time zone that raises
        raise UsageError(
            f"{option}= takes the value of {shorten_repr(name)}, which cannot be written as text "
            f"({type(error).__name__}): "
            "use another parameter."
        ) from error
    raise UsageError(
        f"{option}= takes the value of {shorten_repr(name)}, and a {type(value).__name__} has no text that is the same "
        "wherever it is made: pass a string, a number, a UUID, a date or a time there, or use another parameter."
    )


def check_key(option: str, key: object) -> str:
    """Return a key: 1 to 100 printable characters. Values are part of it, so it may have spaces at its ends.

    Raises:
        UsageError: it is something else.

    """
    return check_printable(option, key)
