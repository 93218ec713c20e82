"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

QueueFilter = Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only this queue.")]
TaskFilter = Annotated[
    str | None,
    typer.Option("--task", "-t", metavar="TASK", help="Only this task, module, or glob such as 'shop.*:send_?'."),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many rows at most.")]
SomeIds = Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="Ids of jobs.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, with ISO timestamps.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Days = Annotated[str, typer.Argument(metavar="DAYS", help="A number of days, or forever.", show_default=False)]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", "-c", metavar="N", help="So many jobs at once over all workers.")
]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="RATE", help="So many starts per period: 100/min, 10/s, 10/30s.")
]
Burst = Annotated[
    float | None, typer.Option("--burst", metavar="B", help="So many starts at once (default: those of a period).")
]
NoLimit = Annotated[bool, typer.Option("--none", help="No limit at all.")]
