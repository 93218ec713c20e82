"""A run of `pgjobs work`: what is checked before the workers start, and told once they have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pgjobs.core.config import configure
from pgjobs.core.errors import PgjobsError
from pgjobs.core.python_processes import check_interpreter
from pgjobs.core.text import one_line, plural
from pgjobs.db.connection import ANSWER_WITHIN, connect
from pgjobs.db.installation import connection_name
from pgjobs.db.revision import check_schema
from pgjobs.db.row_security import CHANGE
from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.supervisor.supervisor import Supervisor
from pgjobs.worker.supervisor.surroundings import check_queues, report_left, report_unserved

log = logging.getLogger("pgjobs.supervisor")


def run_supervisor(config: WorkerConfig, *, on_progress: Callable[[int], None] | None = None) -> int:
    """Run workers until a signal comes (or nothing is due, with `drain`), and return the exit code.

    `on_progress` is called with the number of jobs that have ended so far, when `drain` is on. Call it in the main
    thread: it handles SIGTERM, SIGINT, SIGHUP and SIGQUIT.

    Raises:
        ConfigurationError: the database cannot be reached, its tables are not those of this version, or are no longer,
            or this is a frozen application.
        UnfitError: a worker cannot import one of its modules, or a drain cannot get anywhere.

    """
    check_interpreter()
    configure(schema=config.schema)
    name = connection_name("supervisor")
    with connect(config.database_url, application_name=name, answer_within=ANSWER_WITHIN) as connection:
        check_schema(connection, kinds=CHANGE)
        check_queues(connection, [queue.name for queue in config.queues])
        report_unserved(connection, config.slots_of)
    supervisor = Supervisor(config, on_progress)
    code = supervisor.run()
    if config.drain:
        _report_drained(config, supervisor.ended)
    return code


def _report_drained(config: WorkerConfig, ended: int) -> None:
    import psycopg

    try:
        name = connection_name("supervisor")
        with connect(config.database_url, application_name=name, answer_within=ANSWER_WITHIN) as connection:
            report_left(connection, ended, config.slots_of)
    except (PgjobsError, psycopg.Error) as error:  # the jobs are done: what is left is not worth a failure
        log.warning("%s ended; what is left is not known: %s", plural(ended, "job"), one_line(error))
