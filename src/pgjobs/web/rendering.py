"""Templates: everything that they write is escaped, and cannot turn or move what stands beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pgjobs.core.version import VERSION
from pgjobs.web import values


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    env = Environment(
        loader=PackageLoader("pgjobs.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "count": values.count,
        "rate": values.rate,
        "took": values.took,
        "ago": _ago,
        "at": _at,
        "code": _code,
        "moment": _moment,
        "pretty_json": values.pretty_json,
        "raw_value": _raw_value,
    }
    env.globals |= {"version": VERSION, "tries": values.tries, "cap": values.CAP}
    return env


def render(template: str, context: dict[str, Any]) -> str:
    """Return the text of a page."""
    return environment().get_template(template).render(context)


def _finalize(value: object) -> object:
    if isinstance(value, Markup):
        return value
    return values.shown(value) if isinstance(value, str) else "" if value is None else value


def _ago(moment: datetime | None, now: datetime) -> Markup:
    """Write how far a moment is from now; the title has the moment, and a script adds the reader's own time to it."""
    if moment is None:
        return Markup("-")
    return _time(moment, values.distance(moment, now), values.utc(moment))


def _at(moment: datetime | None) -> Markup:
    """Write a moment in UTC; a script adds the reader's own time."""
    return Markup("-") if moment is None else _time(moment, values.utc(moment), None)


def _moment(text: str | None) -> Markup | str | None:
    """Write a moment of the entry of an attempt, which may have been written by hand."""
    try:
        moment = datetime.fromisoformat(text or "")
        return _at(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return text


def _code(sentence: str) -> Markup:
    """Write a sentence with what stands between backticks as code. The rest is escaped as all else is."""
    parts = values.shown(sentence).split("`")
    if len(parts) % 2 == 0:  # one has no partner
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _raw_value(value: str) -> Markup:
    """Write a value that a form sends back: escaped, but not cut. Halves of characters cannot be sent."""
    return escape(value.encode("utf-8", "replace").decode())


def _time(moment: datetime, shown: str, title: str | None) -> Markup:
    if title is None:
        return Markup('<time datetime="{}" class="full">{}</time>').format(moment.isoformat(), shown)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), title, shown)
