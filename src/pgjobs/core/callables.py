"""A callable without its partials and methods, and its parameters: whether arguments fit, and their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any, NamedTuple, get_args, get_type_hints
from weakref import WeakKeyDictionary

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_MAX_LAYERS = 1_000  # of partials and methods: one whose state was set by hand may be made of itself

MAIN_MODULES = ("__main__", "__mp_main__")
"""The script that was started, which no other process can import; the second in a child of multiprocessing."""


class Unwrapped(NamedTuple):
    """What partials (and bound methods) were made of, and the arguments that they add before a call's own."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def unwrap(callable: object, *, methods: bool = True) -> Unwrapped:
    """Take partials off a callable, and bound methods unless `methods` is False.

    >>> unwrap(functools.partial(print, 1, sep=":")).args
    (1,)

    """
    inner: Any = callable
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for _ in range(_MAX_LAYERS):
        if isinstance(inner, functools.partial):
            args, kwargs = inner.args + args, {**inner.keywords, **kwargs}
            inner = inner.func
        elif methods and isinstance(inner, MethodType):
            args = (inner.__self__, *args)
            inner = inner.__func__
        else:
            break
    return Unwrapped(inner, args, kwargs)


class FunctionName(NamedTuple):
    """A function that is named in a text: the statement that imports it, and what it is called then."""

    statement: str
    name: str


def read_function_name(text: str) -> FunctionName | None:
    """Read `package.module.function` or `module:qualname`; None if the text is neither.

    >>> read_function_name("shop.tasks.remind")
    FunctionName(statement='from shop.tasks import remind', name='remind')
    >>> read_function_name("tasks:Mailer.send")
    FunctionName(statement='from tasks import Mailer', name='Mailer.send')

    """
    module, _, name = text.partition(":") if ":" in text else text.rpartition(".")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        return None
    return FunctionName(f"from {module} import {name.partition('.')[0]}", name)


def is_found(method: MethodType) -> bool:
    """Return True if its object has the method by its name: pickle sends the two, and does not look.

    It has not if a decorator hides the name, if the name begins with two underscores, and if a class below has another
    method of that name (`super().run`): a worker would run that one.
    """
    try:
        return bool(getattr(method.__self__, method.__name__) == method)
    except Exception:  # it has nothing of that name, or raises
        return False


def lost_method(instance: object, name: str) -> str:
    """Return why a method that is not found by its name is refused."""
    kind = instance if isinstance(instance, type) else type(instance)
    return f"{kind.__qualname__}.{name} is another method or none, and workers look for this name"


class Parameters:
    """What a callable takes. One without a signature (some builtins) takes anything.

    `inner`: the signature of the function that a decorator has around it. It knows names that the decorator's does not.
    """

    __slots__ = ("inner", "least", "most", "names", "positional", "rest", "signature", "unsure_from")

    def __init__(self, signature: inspect.Signature | None, inner: inspect.Signature | None = None) -> None:
        self.signature = signature
        self.inner = inner
        self.unsure_from: int | None = None
        """From which position on a decorator may shift arguments, so that names are a guess; None: it does not."""
        self.names: tuple[str, ...] | None = None
        """The names of those that take one argument, in their order; None: not known."""
        self.positional: tuple[str, ...] = ()
        """The names of the arguments that may be given by position."""
        self.rest: str | None = None
        """The name of `*args`, if it takes them."""
        self.least = 0
        self.most = float("inf")
        if signature is None:
            return
        parameters = signature.parameters.values()
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        self.names = tuple(p.name for p in parameters if p.kind not in _MANY)
        self.positional = tuple(p.name for p in positional)
        self.least = sum(p.default is p.empty for p in positional)
        self.rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        if self.rest is None:
            self.most = len(positional)
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            self.most = -1  # arguments by position alone never do
        if inner is not None and self.rest is not None:
            self.unsure_from = len(positional)
            others = [p for p in inner.parameters.values() if p.name not in self.names]
            self.names += tuple(p.name for p in others if p.kind not in _MANY)
            self.positional += tuple(p.name for p in others if p.kind in _POSITIONAL)

    def mismatch(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """Return why the callable cannot be called with these arguments; None if it can."""
        if not kwargs and self.least <= len(args) <= self.most:  # nearly all calls, without the cost of `bind`
            return None
        if self.signature is None:
            return None
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            reason = str(error)
            return reason if "unexpected" in reason else f"{reason}{self._unexpected(kwargs)}"
        return None

    def _unexpected(self, kwargs: Mapping[str, Any]) -> str:
        """Name arguments that the callable does not have, where Python names only one that is missing."""
        assert self.signature is not None  # noqa: S101 (for mypy; the caller has one)
        parameters = self.signature.parameters
        wrong = [name for name in kwargs if isinstance(name, str) and name not in parameters]
        if not wrong or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return ""
        from difflib import get_close_matches

        free = [name for name in parameters if name not in kwargs]
        close = get_close_matches(wrong[0], free, 1, 0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f" (it has no {', '.join(map(repr, wrong))}{hint})"

    def is_plausible(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return False if a decorator shifts arguments, so that their names by position are wrong.

        It does if the function inside would lack some by these names: the decorator adds others before them.
        """
        if self.unsure_from is None or self.inner is None or len(args) <= self.unsure_from:
            return True
        given = {*self.positional[: len(args)], *kwargs}
        return all(
            p.name in given for p in self.inner.parameters.values() if p.kind in _POSITIONAL and p.default is p.empty
        )

    def value(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the parameter of this name gets in a call that fits, its default included.

        Raises:
            LookupError: there is no such parameter, as far as is known.

        """
        if name in self.positional and (index := self.positional.index(name)) < len(args):
            return args[index]
        if name in kwargs:
            return kwargs[name]
        known = {} if self.signature is None else dict(self.signature.parameters)
        if self.inner is not None:
            known = {**self.inner.parameters, **known}
        if name not in known:
            raise LookupError(name)
        default = known[name].default
        if default is inspect.Parameter.empty:
            raise LookupError(name)
        return default

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return all arguments of a call that fits, by the names of their parameters, with the defaults filled in."""
        if self.signature is None:
            return {"*": args, **kwargs}
        bound = self.signature.bind(*args, **kwargs)
        if self.inner is not None:
            with suppress(TypeError):  # it gets other arguments than the decorator
                bound = self.inner.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


_seen: WeakKeyDictionary[FunctionType, Parameters] = WeakKeyDictionary()


def parameters_of(callable: Callable[..., Any]) -> Parameters:
    """Return the parameters of a callable; those of functions, and of jobs made from them, are remembered.

    What can be called so can be enqueued so: of a decorated function the decorator's own parameters count. With
    functools.wraps, `inspect.signature` shows those of the function inside, which may get others from the decorator.
    """
    if hasattr(type(callable), "enqueued_parameters"):  # a job that its worker passes one more
        job: Any = callable
        found: Parameters = job.enqueued_parameters
        return found
    # A method has the `__wrapped__` of its function, but does not take the first argument. From Python 3.13 on, a job
    # under @classmethod is one.
    is_method = type(callable) is MethodType
    function = (
        callable if type(callable) is FunctionType else None if is_method else getattr(callable, "__wrapped__", None)
    )
    if type(function) is not FunctionType:
        return _parameters(callable)
    known = _seen.get(function)
    if known is None:
        known = _seen[function] = _parameters(function)
    return known


def _parameters(callable: Callable[..., Any]) -> Parameters:
    try:
        shown = inspect.signature(callable)
        made_from = vars(callable).get("function") if hasattr(callable, "__dict__") else None
        outer = made_from if type(made_from) is MethodType else callable  # a job that is bound to its object
        own = _own_signature(outer)
        return Parameters(shown) if own is None or own == shown else Parameters(own, shown)
    except Exception:  # no signature, or an object whose attributes raise: then it is not checked
        return Parameters(None)


def _own_signature(callable: Any) -> inspect.Signature | None:
    """Return the signature of a decorator's own function; None: the one that `inspect` shows is right."""
    function = callable.__func__ if type(callable) is MethodType else callable
    if type(function) is not FunctionType or not hasattr(function, "__wrapped__"):
        return None
    declared = vars(function).get("__signature__")
    if declared is not None and declared is not getattr(function.__wrapped__, "__signature__", None):
        return None  # the decorator says what it takes
    bare = FunctionType(function.__code__, {}, function.__name__, function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    return inspect.signature(bare if function is callable else MethodType(bare, callable.__self__))


def item_type(function: Callable[..., Any]) -> Any:
    """Return the annotation of the items in the list that a function takes; None: it has none that is clear."""
    inner = getattr(function, "function", function)
    try:
        hints = get_type_hints(inner)
        first = next(iter(inspect.signature(inner).parameters))
        return get_args(hints[first])[0]
    except Exception:  # no hint, or one that cannot be evaluated here
        return None
