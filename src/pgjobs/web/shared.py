"""What pages of one app keep between requests: the last diagnosis, because each takes a look at everything."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.db.query import clock

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from pgjobs.admin import Diagnosis

LOG = logging.getLogger("pgjobs.web")
KEPT = 30.0  # seconds until the next examination
TOO_OLD = 300.0  # seconds after which a diagnosis is not shown
WAIT = 0.2  # seconds that a page waits for an examination
Connect = Callable[[], AbstractContextManager["psycopg.Connection[Any]"]]


@dataclass(frozen=True)
class Examined:
    """A diagnosis, and when it was made."""

    diagnosis: Diagnosis
    at: datetime


class Shared:
    """It is shared by threads: one of its own examines, and pages show what was found, or was found before.

    `connect`: yields a connection for the examination. `cap`: where counts of queues end: earlier with many queues, so
    that all are counted in time. None: not known yet.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._last: Examined | None = None
        self._found_at = 0.0  # monotonic seconds: when the last one was found
        self._until = 0.0  # monotonic seconds: until then nothing is examined again
        self._ended: threading.Event | None = None  # of the examination that is under way
        self.cap: int | None = None

    @property
    def last(self) -> Examined | None:
        """What was found last, if that is not too old to be shown."""
        return self._last if time.monotonic() < self._found_at + TOO_OLD else None

    def diagnosis(self) -> Examined | None:
        """Return what is wrong with the installation, as of half a minute ago; None: it is being examined."""
        with self._lock:
            if time.monotonic() >= self._until and self._ended is None:
                self._ended = threading.Event()
                threading.Thread(target=self._examine, args=(self._ended,), name="pgjobs-doctor", daemon=True).start()
            ended = self._ended
        if ended is not None:
            ended.wait(WAIT)
        return self.last

    def forget(self) -> None:
        """Examine again at the next look: something was changed."""
        self._until = 0.0

    def _examine(self, ended: threading.Event) -> None:
        begun = time.monotonic()
        try:
            with self._connect() as conn:
                self._last = Examined(admin.doctor(conn), clock(conn))
                self._found_at = time.monotonic()
        except Exception as error:
            LOG.warning("the doctor could not look: %s", error)
        finally:
            with self._lock:
                # Not more than a tenth of the time, whatever it takes.
                self._until = time.monotonic() + max(KEPT, 10 * (time.monotonic() - begun))
                self._ended = None
            ended.set()
