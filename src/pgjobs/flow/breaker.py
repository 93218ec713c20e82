"""`Breaker`: a circuit breaker as code declares it. Its decisions are in `breaker_state`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pgjobs.core.errors import UsageError
from pgjobs.core.validate import (
    Seconds,
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


@dataclass(frozen=True, slots=True, init=False)
class Breaker:
    """A circuit breaker for what jobs depend on. Breakers of one name are one, over all workers.

    `name`: up to 100 characters. It opens when `failures` (a share, above 0, up to 1) of the calls of the last `window`
    (a second to a day) failed, and there were at least `min_calls`; also when enough in a row failed that it cannot be
    chance (20 with `failures=0.5`, and at least `min_calls`). Open, it lets no job through for `cooldown` (0.1 seconds
    to 30 days), then `probes` at a time; it closes when `probes` of them succeed, and opens again when one fails. `on`:
    the exceptions that are failures of the dependency (none given: all). Durations are given in seconds or as
    timedeltas, and kept in seconds.

    Raises:
        UsageError: a value that cannot be used.

    """

    name: str
    failures: float
    window: float
    min_calls: int
    cooldown: float
    probes: int
    on: tuple[type[BaseException], ...]

    def __init__(
        self,
        name: str,
        failures: float = 0.5,
        window: Seconds = 30.0,
        min_calls: int = 20,
        cooldown: Seconds = 60.0,
        probes: int = 3,
        on: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> None:
        share = as_number(failures)
        if share is None or not 0 < share <= 1:
            raise UsageError(f"{shown('Breaker.failures', failures)}: give a share above 0, up to 1, as in 0.5.")
        object.__setattr__(self, "name", check_breaker_name(name))
        object.__setattr__(self, "failures", float(share))
        object.__setattr__(self, "window", check_seconds("Breaker.window", window, least=1.0, most=MAX_WINDOW))
        object.__setattr__(self, "min_calls", check_whole("Breaker.min_calls", min_calls, 1, MAX_CALLS))
        object.__setattr__(self, "cooldown", check_seconds("Breaker.cooldown", cooldown, least=0.1, most=MAX_COOLDOWN))
        object.__setattr__(self, "probes", check_whole("Breaker.probes", probes, 1, MAX_PROBES))
        object.__setattr__(self, "on", check_exceptions("Breaker.on", on))

    def is_failure(self, error: BaseException) -> bool:
        """Return True if the exception is a failure of the dependency."""
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


def declared_breakers() -> dict[str, Breaker]:
    """Return the breakers of this program's jobs, by name."""
    return _declared.copy()  # a job in another thread may import one more


def contradictions() -> dict[str, list[str]]:
    """Name the breakers that were declared more than once, and the settings that differ."""
    return dict(_contradicted)


def _differences(one: Breaker, other: Breaker) -> list[str]:
    names = [field.name for field in fields(Breaker)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]
