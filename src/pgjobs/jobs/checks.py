"""What `@job` and `Job.options` refuse beside values: names that are not options, functions that cannot be jobs."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import fields
from typing import Any, Literal

from pgjobs.core.callables import parameters_of
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str, has_type, shown
from pgjobs.flow.options import NO_FLOW, FlowOptions
from pgjobs.flow.values import Limit, Sequence, Unique
from pgjobs.jobs.options import JobArguments, OptionChanges

_VALUES = {"limit": Limit, "unique": Unique, "sequence": Sequence}


def unknown_option_error(where: Literal["@job", "options"], name: str) -> UsageError:
    """Return the error for a name that is not an option there: where it belongs, or which one may have been meant."""
    own, others = frozenset(JobArguments.__annotations__), frozenset(OptionChanges.__annotations__)
    if where == "options":
        own, others = others, own
    if name in others and where == "@job":
        return UsageError(f"@job({name}=…) is for one enqueue: give it to .options({name}=…).")
    if name in others:
        return UsageError(f"options({name}=…) cannot be changed at enqueue: give it to @job({name}=…).")
    for option, kind in _VALUES.items():
        if any(part.name == name and part.init for part in fields(kind)):
            return UsageError(
                f"{where}({name}=…) is part of another option: give {option}={kind.__name__}(…, {name}=…)."
            )
    text = name if name.isprintable() and len(name) <= 50 else shorten_repr(name)
    # Both are imported lazily: only unknown options need them.
    import difflib

    from pgjobs.jobs.other_names import OPTIONS, option_hint

    hint, here = option_hint(name), OPTIONS.get(name)
    if hint is not None:
        elsewhere = (
            "" if here is None or here in own else f", and goes to {'.options()' if where == '@job' else '@job'}"
        )
        return UsageError(f"{where}({text}=…): there is no such option: {hint}{elsewhere}.")
    near = difflib.get_close_matches(name[:50], sorted(own | others), 1)
    meant = near[0] if near else None
    if meant is None:
        return UsageError(f"{where}({text}=…): there is no such option; there are {', '.join(sorted(own))}.")
    elsewhere = "" if meant in own else f", which is given to {'.options()' if where == '@job' else '@job'}"
    return UsageError(f"{where}({text}=…): there is no such option; did you mean {meant}={elsewhere}?")


def check_changes(flow: FlowOptions, given: Collection[str]) -> None:
    """Refuse a change that has no effect: a limit that no worker would get to know.

    Raises:
        UsageError: there is one.

    """
    if "limit" in given and flow.limit is not None and flow.limit.settings is not None:
        raise UsageError(
            f"options({shown('limit', flow.limit.key)}) has {flow.limit.settings}, which is not part of one enqueue: "
            "declare it with @job(limit=…) or declare_limit, and give the key and the cost here."
        )


def check_needed(flow: FlowOptions) -> None:
    """Refuse `if_failed` for a job that waits for none. A step of a workflow may wait for a result.

    Raises:
        UsageError: it was given.

    """
    if flow.if_failed != NO_FLOW.if_failed and flow.after is None:
        raise UsageError(
            f"{shown('if_failed', flow.if_failed)} does nothing without after=: it is what a job does when one that it "
            "waits for fails. What it does to its sequence is Sequence(on_failure=…)."
        )


def check_function(function: Any) -> None:
    """Refuse what `@job` cannot decorate.

    Raises:
        UsageError: it is not a function that can be run.

    """
    if (text := as_str(function)) is not None:
        raise UsageError(
            f"@job({shorten_repr(text)}): options are given by name, as in @job(queue={shorten_repr(text)})."
        )
    if has_type(function, staticmethod) or has_type(function, classmethod):
        raise UsageError(f"@job goes below @{type(function).__name__}, next to the function itself.")
    if has_type(function, type):
        raise UsageError(
            f"@job is for functions, and {function.__qualname__} is a class: enqueue the class as it is, or decorate "
            "a function that uses it."
        )
    if not callable(function):
        raise UsageError(f"@job is for functions, and {shorten_repr(function)} is not callable.")
    if not _has_name(function):
        raise UsageError(f"@job is for functions: enqueue a {type(function).__name__} as it is, without @job.")


def check_no_generator(function: Any) -> None:
    """Refuse a function that yields values.

    Raises:
        UsageError: it is one.

    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{function.__qualname__} is a generator function: calling it would run none of it.")


def check_batch_function(function: Any) -> None:
    """Refuse a function that cannot be called with a list and nothing else.

    Raises:
        UsageError: it is one.

    """
    parameters = parameters_of(function)
    if parameters.signature is None:
        return
    if not parameters.least <= 1 <= parameters.most or isinstance(function, staticmethod | classmethod):
        raise UsageError(
            f"{getattr(function, '__qualname__', function)} has batch=, so it is called with one argument, a list of "
            "what its jobs were enqueued with (with transaction=True a connection comes first): give it one parameter, "
            "and put what else a job needs into its item."
        )


def check_parameters(function: Any, flow: FlowOptions) -> None:
    """Refuse options that name parameters which the function does not have, where these are known.

    Raises:
        UsageError: there is one.

    """
    names = parameters_of(function).names
    if names is None:
        return
    for option, name in flow.named():
        if name not in names:
            known = f"these are {', '.join(names[:9])}{', …' if len(names) > 9 else ''}" if names else "it has none"
            raise UsageError(
                f"{option} of {function.__qualname__} takes the value of {shorten_repr(name)}, and it has no such "
                f"parameter: {known}."
            )


def _has_name(function: object) -> bool:
    try:
        return isinstance(getattr(function, "__qualname__", None), str)
    except Exception:  # an object whose attributes raise
        return False
