"""What pages of one app keep between requests: the last diagnosis, because each takes a look at everything."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs import admin

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import Diagnosis
    from pgjobs.web.visit import Visit

KEPT = 30.0  # seconds


@dataclass(frozen=True)
class Examined:
    """A diagnosis, and when it was made."""

    diagnosis: Diagnosis
    at: datetime


class Shared:
    """It is shared by threads: one of them examines, and the others show what was found before.

    `cap`: where counts of queues end: earlier with many queues, so that all are counted in time. None: not known yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Examined | None = None
        self._until = 0.0
        self.cap: int | None = None

    @property
    def last(self) -> Examined | None:
        """What was found last, if that is not too old to be shown."""
        return self._last if time.monotonic() < self._until + KEPT else None

    def diagnosis(self, visit: Visit) -> Examined | None:
        """Return what is wrong with the installation, as of half a minute ago; None: it is being examined."""
        if time.monotonic() < self._until or not self._lock.acquire(blocking=False):
            return self._last
        try:
            if time.monotonic() >= self._until:
                found = visit.look("the doctor", lambda: admin.doctor(visit.conn))
                self._last = self._last if found is None else Examined(found, visit.now)
                self._until = time.monotonic() + KEPT
            return self._last
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Examine again at the next look: something was changed."""
        self._until = 0.0
