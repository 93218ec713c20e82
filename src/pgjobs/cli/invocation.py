"""How this process was started; `cli.main` sets it, commands read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Invocation:
    """`alone`: the process runs this command and nothing else, so the command may replace it.

    `embedded`: `--embedded` was given.
    """

    alone: bool = False
    embedded: bool = False


invocation = Invocation()
