"""`Breaker`: what a circuit breaker is told in code. Plain values, no SQL; what it decides is in `circuit`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pgjobs.core.errors import UsageError
from pgjobs.core.validate import (
    as_number,
    check_exceptions,
    check_name,
    check_seconds,
    check_whole,
    shown,
)

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
            raise UsageError(f"{shown('Breaker.failures', self.failures)}: give a share above 0, up to 1, as in 0.5.")
        self._keep("failures", float(share))
        self._keep("window", check_seconds("Breaker.window", self.window, least=1.0, most=MAX_WINDOW))
        self._keep("min_calls", check_whole("Breaker.min_calls", self.min_calls, 1, MAX_CALLS))
        self._keep("cooldown", check_seconds("Breaker.cooldown", self.cooldown, least=0.1, most=MAX_COOLDOWN))
        self._keep("probes", check_whole("Breaker.probes", self.probes, 1, MAX_PROBES))
        self._keep("on", check_exceptions("Breaker.on", self.on))

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def is_failure(self, error: BaseException) -> bool:
        """Say whether the exception is a failure of the dependency."""
        on = self.on
        return not on or isinstance(error, on)


def check_breaker_name(name: object) -> str:
    """Return the name of a breaker.

    Raises:
        UsageError: it is not a name of 1 to 100 printable characters.

    """
    return check_name("Breaker.name", name)


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
