"""`Breaker`: what a circuit breaker is told in code. Plain values, no SQL; what it decides is in `circuit`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pgjobs.core.errors import UsageError, shorten_repr
from pgjobs.core.validate import as_int, as_number, as_str, is_exactly

NAME_LIMIT = 100  # characters
MAX_WINDOW = 86_400.0  # seconds
MAX_COOLDOWN = 30 * 86_400.0  # seconds
MAX_CALLS = 1_000_000
MAX_PROBES = 1_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """A circuit breaker for what jobs depend on; those with the same name share it, over all workers.

    `name`: up to 100 characters. It opens when `failures` (a share, above 0, up to 1) of the calls of the last `window`
    seconds (1 to a day) failed, and there were `min_calls` at least; also when so many in a row failed that it is no
    chance (20 with `failures=0.5`, and `min_calls` at least). Open, it lets no job through for `cooldown`
    seconds (0.1 to 30 days), then `probes` at a time; it closes when so many of them succeed, and opens again when
    one fails. `on`: the exceptions that are failures of the dependency (none given: all).

    Raises:
        UsageError: a value that can not be used.

    """

    name: str
    failures: float = 0.5
    window: float = 30.0
    min_calls: int = 20
    cooldown: float = 60.0
    probes: int = 3
    on: type[BaseException] | tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        self._keep("name", check_breaker_name(self.name))
        share = as_number(self.failures)
        if share is None or not 0 < share <= 1:
            raise UsageError(
                f"Breaker(failures={shorten_repr(self.failures)}): give a share above 0, up to 1, as in 0.5."
            )
        self._keep("failures", float(share))
        self._keep("window", self._seconds("window", 1.0, MAX_WINDOW))
        self._keep("min_calls", self._number("min_calls", MAX_CALLS))
        self._keep("cooldown", self._seconds("cooldown", 0.1, MAX_COOLDOWN))
        self._keep("probes", self._number("probes", MAX_PROBES))
        self._keep("on", _types(self.on))

    def _seconds(self, name: str, least: float, most: float) -> float:
        given = getattr(self, name)
        seconds = as_number(given)
        if seconds is None or not least <= seconds <= most:
            raise UsageError(f"Breaker({name}={shorten_repr(given)}): give seconds from {least:g} to {most:,.0f}.")
        return float(seconds)

    def _number(self, name: str, most: int) -> int:
        given = getattr(self, name)
        number = as_int(given)
        if number is None or not 1 <= number <= most:
            raise UsageError(f"Breaker({name}={shorten_repr(given)}): give a whole number from 1 to {most:,}.")
        return number

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def is_failure(self, error: BaseException) -> bool:
        """Say whether the exception is a failure of the dependency."""
        on = self.on
        return not on or isinstance(error, on)


def check_breaker_name(name: object) -> str:
    """Give the name of a breaker, or refuse what is none.

    Raises:
        UsageError: it is empty, too long, no string, or has characters that can not be printed.

    """
    text = as_str(name)
    if text is None:
        raise UsageError(f"Breaker({shorten_repr(name)}): the name of a breaker is a string.")
    if len(text) > NAME_LIMIT:
        raise UsageError(f"Breaker({text[:20]!r}…) has {len(text)} characters: {NAME_LIMIT} are the most.")
    if not text or text != text.strip() or not text.isprintable():
        raise UsageError(
            f"Breaker({shorten_repr(text)}): a name is not empty, and has printable characters, with no space at its "
            "ends."
        )
    return text


def _types(on: object) -> tuple[type[BaseException], ...]:
    items: tuple[object, ...] = tuple(on) if is_exactly(on, tuple) or is_exactly(on, list) else (on,)  # type: ignore[arg-type]  # just looked at
    types: list[type[BaseException]] = []
    for item in items:
        if not (is_exactly(item, type) and issubclass(item, BaseException)):  # type: ignore[arg-type]  # just looked at
            raise UsageError(f"Breaker(on={shorten_repr(on)}): give exception types.")
        types.append(item)  # type: ignore[arg-type]  # just looked at
    return tuple(types)


_declared: dict[str, Breaker] = {}
_contradicted: dict[str, list[str]] = {}


def declare(breaker: Breaker) -> None:
    """Note a breaker that a job of this program was given, for its workers to write down the settings.

    Of two with one name the last one counts; see `contradictions`.
    """
    before = _declared.get(breaker.name)
    if before is not None and (different := _differences(before, breaker)):
        _contradicted[breaker.name] = different
    _declared[breaker.name] = breaker


def declared() -> dict[str, Breaker]:
    """Give the breakers of this program's jobs, by name."""
    return _declared.copy()  # a job in another thread may import one more


def contradictions() -> dict[str, list[str]]:
    """Name the breakers that were declared more than once, and the settings that differ."""
    return dict(_contradicted)


def _differences(one: Breaker, other: Breaker) -> list[str]:
    names = [field.name for field in fields(Breaker)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]
