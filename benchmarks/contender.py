"""What the harness knows about a contender: what to install, how to configure it, when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Configuration:
    """One way to run a contender's worker. `name` goes to the driver; `settings` is what the report says of it."""

    name: str
    settings: str


@dataclass(frozen=True)
class Contender:
    """A job queue that is measured.

    `name`: of its driver, `drivers/NAME.py` (or `.js`). `packages`: what to install, for pip (or npm); none: it runs in
    this environment. `default` and `best`: its configurations; `best` is what its documentation or its authors'
    benchmark says is fastest. `pending`: SQL that gives the number of jobs that are not finished; "" where there is
    none, because it is not in PostgreSQL. `keeps`: whether finished jobs stay to be looked at. `node`: its driver is
    JavaScript. `redis`: it needs a Redis. `processes`: one worker command starts them all, as many as BENCH_PROCESSES
    says (else there is a command for each). `jobs`: how many to drain, so that it takes some seconds. `remark`: what a
    reader of the table has to know.
    """

    name: str
    title: str
    default: Configuration
    best: Configuration
    jobs: int
    pending: str = ""
    keeps: bool = True
    packages: tuple[str, ...] = ()
    node: bool = False
    redis: bool = False
    processes: bool = False
    python: str = ""  # the interpreter that it needs, if it is another one, such as "python3.12"
    environment: dict[str, str] = field(default_factory=dict)  # for its driver
    remark: str = ""
