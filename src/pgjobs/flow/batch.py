"""Jobs that are handed over together: how many, how long the first waits for others, and which belong together.

What a claim has to know of a batch is written in the lane of its jobs, as a fifth part: so a batch is what a lane
holds, and neither a table nor a column is needed for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import Seconds, as_str, check_seconds, check_whole, has_type
from pgjobs.flow.keys import META, Template, check_key, text_of

BATCH_BY = "Batch.by"
MAX_SIZE = 10_000  # jobs
MAX_BYTES = 1 << 30
MAX_TASK = 70  # characters of a task's name in a lane; of a longer one there is a digest
SEPARATOR = "\x1f"  # of the parts of a lane
_SPEC = re.compile(r"([0-9]{1,5}):([0-9]{1,12}):([0-9]{0,10}):")  # as in pick_lanes.sql


@dataclass(frozen=True, slots=True, init=False)
class Batch:
    """Jobs of a task that run in one call: `Batch(100, wait=0.5, by="{tenant}")`.

    `size`: how many at most (10,000). `wait`: how long the first of them waits for others; then the batch is what has
    come. `by`: a template; only jobs with the same key are in a batch. Between its braces stands what an item has, as
    an attribute or under that key, or `meta.` and a key of the job's metadata. `max_bytes`: how large the payloads of a
    batch may be together (None: 32 MB); one job is always taken.

    Raises:
        UsageError: a value that cannot be used.

    """

    size: int
    wait: float
    by: str | None
    max_bytes: int | None

    def __init__(self, size: int, *, wait: Seconds = 1.0, by: str | None = None, max_bytes: int | None = None) -> None:
        if by is not None:
            text = as_str(by)
            if text is None:
                check_key(BATCH_BY, by)  # which says what is wrong
            elif not Template(BATCH_BY, text).names and META not in text:
                raise UsageError(
                    f"Batch(by={shorten_repr(by)}) is the same for all jobs: give a template, as '{{tenant}}'."
                )
        for name, value in (
            ("size", check_whole("Batch.size", size, 1, MAX_SIZE)),
            ("wait", check_seconds("Batch.wait", wait)),
            ("by", by),
            ("max_bytes", None if max_bytes is None else check_whole("Batch.max_bytes", max_bytes, 1, MAX_BYTES)),
        ):
            object.__setattr__(self, name, value)

    @property
    def template(self) -> Template | None:
        """What keys are made with; None: all jobs of the task belong together."""
        return None if self.by is None else Template(BATCH_BY, self.by)

    def lane_part(self, task: str, key: str) -> str:
        """Return what the lane of a job says of its batch. `key`: what `by` has made of it."""
        size = "" if self.max_bytes is None else self.max_bytes
        return f"{self.size}:{round(self.wait * 1000)}:{size}:{_shortened(task)}:{key}"


class BatchSpec(NamedTuple):
    """What a lane says of its batches: `size` jobs, or as many as there are after `wait` seconds."""

    size: int
    wait: float
    max_bytes: int | None

    @classmethod
    def of_lane(cls, lane: str) -> BatchSpec | None:
        """Read a lane. None: its jobs run one by one."""
        parts = lane.split(SEPARATOR, 4)
        found = _SPEC.match(parts[4]) if len(parts) == 5 else None
        if found is None:
            return None
        size, wait, most = found.groups()
        return cls(max(1, int(size)), int(wait) / 1000, int(most) if most else None)


def key_of_item(template: Template, item: object) -> str:
    """Return the key of an item, made of its attributes, or of what a mapping has under these keys.

    Raises:
        UsageError: it has no such thing, or one that cannot be part of a key.

    """
    return template.render(
        {name: text_of(template.option, name, _part(template, item, name)) for name in template.names}
    )


def _part(template: Template, item: Any, name: str) -> object:
    try:
        return item[name] if has_type(item, Mapping) or isinstance(item, Mapping) else getattr(item, name)
    except Exception as error:  # objects decide themselves what they raise
        raise UsageError(
            f"{template.option}={shorten_repr(template.text)} takes {shorten_repr(name)} of each item, and this "
            f"{type(item).__name__} has none ({type(error).__name__})."
        ) from error


def _shortened(task: str) -> str:
    if len(task) <= MAX_TASK:
        return task
    from hashlib import sha256  # slow to import, and most names are short

    return f"{task[: MAX_TASK - 17]}~{sha256(task.encode()).hexdigest()[:16]}"
