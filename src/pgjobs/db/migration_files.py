"""The SQL of migrations: files of statements, and functions that one migration replaces and its downgrade brings back.

An empty line comes after each statement, and none is inside of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pgjobs.db.statements import rename_schema

_FUNCTION = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION pgjobs\.(\w+)", re.MULTILINE)
_REMEMBER = """
SELECT set_config('pgjobs_migration.definers', coalesce(string_agg(p.oid::regprocedure::text, ';'), ''), true)
FROM pg_proc AS p WHERE p.pronamespace = 'pgjobs'::regnamespace AND p.prosecdef"""
_RESTORE = """
DO $$ DECLARE f text; BEGIN
    FOREACH f IN ARRAY string_to_array(current_setting('pgjobs_migration.definers'), ';') LOOP
        IF to_regprocedure(f) IS NOT NULL THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', f);
        END IF;
    END LOOP;
END $$"""


def statements_of(folder: Path, name: str, schema: str) -> list[str]:
    """Return the statements of `name`.sql, for the schema."""
    # Nothing but ASCII: `pgjobs migrate --sql` prints the comments too, for terminals and databases of any encoding.
    text = (folder / f"{name}.sql").read_text("ascii")
    return [rename_schema(statement, schema) for statement in text.rstrip(";\n").split(";\n\n")]


def functions_of(folder: Path, name: str, schema: str, functions: set[str]) -> Iterator[str]:
    """Yield the statements that bring functions of an earlier migration back, for the downgrade of a later one."""
    text = (folder / f"{name}.sql").read_text("ascii")
    for statement in text.rstrip(";\n").split(";\n\n"):
        found = _FUNCTION.search(statement)
        if found and found[1] in functions:
            again = statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
            yield rename_schema(again, schema)


def keeping_rights(statements: list[str], schema: str) -> list[str]:
    """Have functions run with the rights that they had, around statements that replace them.

    CREATE OR REPLACE forgets the SECURITY DEFINER that `pgjobs migrate --roles` has given to a function.
    """
    return [rename_schema(_REMEMBER.strip(), schema), *statements, _RESTORE.strip()]
