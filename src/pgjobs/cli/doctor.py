"""`pgjobs doctor`."""

from __future__ import annotations

import typer

from pgjobs import admin
from pgjobs.cli.invocation import invocation
from pgjobs.cli.output import print_json, say
from pgjobs.cli.params import Json
from pgjobs.core.text import plural
from pgjobs.db.choose_database import database
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name


def doctor(as_json: Json = False) -> None:
    """Report what is wrong with the installation.

    Each finding has a next step. Exits with 1 if a finding is an error.
    """
    # Not `session`, which refuses tables of another revision: here that is a finding.
    with (
        database(embedded=invocation.embedded) as url,
        connect(url, application_name=connection_name("doctor")) as conn,
    ):
        diagnosis = admin.doctor(conn)
    if as_json:
        print_json(diagnosis)
    else:
        for finding in diagnosis.findings:
            say(f"{finding.level}: {finding.sentence}")
            say(f"    {finding.next_step}")
        found = plural(len(diagnosis.findings), "finding") if diagnosis.findings else "Nothing is wrong"
        say(f"{found}. Checked: {', '.join(diagnosis.checks)}.")
    if diagnosis.has_errors:
        raise typer.Exit(1)
