"""A database that a test has used, made like new: a tenth of what it takes to make another one.

Whatever is not as in the template afterwards (another table, function, right or setting) is not repaired: then the
database is dropped, and the next test gets a new one.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

# What a test may have changed, beside the rows: anything with a name, and who may do what with it.
FINGERPRINT = """
    WITH ours AS (
        SELECT oid, nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
    ), things AS (
        SELECT format('%s %s', nspname, n.nspacl) AS thing FROM pg_namespace AS n JOIN ours USING (oid, nspname)
        UNION ALL
        SELECT format('%s %s %s %s %s %s', o.nspname, c.relname, concat(c.relkind, c.relpersistence), c.relacl,
                      c.reloptions, c.relpartbound)
        FROM pg_class AS c JOIN ours AS o ON o.oid = c.relnamespace
        UNION ALL
        SELECT format('%s %s %s %s %s', a.attrelid::regclass, a.attname, a.atttypid, a.attnotnull, a.attacl)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN ours AS o ON o.oid = c.relnamespace
        WHERE a.attnum > 0
        UNION ALL
        SELECT format('%s %s %s %s %s', p.oid::regprocedure, md5(p.prosrc), p.proacl, p.proconfig, p.prosecdef)
        FROM pg_proc AS p JOIN ours AS o ON o.oid = p.pronamespace
        UNION ALL
        SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
        UNION ALL
        SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL
        SELECT format('%s %s', datacl, datconnlimit) FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT extname FROM pg_extension
        UNION ALL SELECT pubname FROM pg_publication
        UNION ALL SELECT evtname FROM pg_event_trigger
        UNION ALL SELECT gid FROM pg_prepared_xacts WHERE database = current_database()
        UNION ALL SELECT format('revision %s', version_num) FROM pgjobs.migrations
    )
    SELECT md5(string_agg(thing, E'\\n' ORDER BY thing COLLATE "C")) FROM things
"""
OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
# Those with rows of their own. To truncate a partitioned table truncates each of its days, which takes 10 ms.
WITH_ROWS = "SELECT relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relkind = 'r'"
KEPT = ("migrations", "retention", "switch")
SEQUENCES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'pgjobs'::regnamespace
      AND CASE WHEN relkind = 'S' THEN pg_sequence_last_value(oid) IS NOT NULL END
"""


def fingerprint(url: str) -> str:
    """Describe all that a database has, but for its rows."""
    with psycopg.connect(url) as conn:
        return str(conn.execute(FINGERPRINT).fetchall())


def recycle(url: str, template: str) -> bool:
    """Make a database like new; False: it cannot be, because it differs from the template's fingerprint."""
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("SET lock_timeout = '2s'; SET statement_timeout = '5s'")
            return _recycle(conn, template)
    except psycopg.Error:
        return False


def _recycle(conn: psycopg.Connection, template: str) -> bool:
    deadline = time.monotonic() + 2
    while others := conn.execute(OTHERS).fetchall():
        conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [[pid for (pid,) in others]])
        if time.monotonic() > deadline:
            return False
    for (name,) in conn.execute(TABLES).fetchall():
        conn.execute(sql.SQL("DROP TABLE IF EXISTS public.{} CASCADE").format(sql.Identifier(name)))
    if str(conn.execute(FINGERPRINT).fetchall()) != template:
        return False
    tables = [sql.Identifier("pgjobs", name) for (name,) in conn.execute(WITH_ROWS) if name not in KEPT]
    looks = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(table.as_string(conn), table) for table in tables
    ]
    used = [sql.SQL(name) for (name,) in conn.execute(sql.SQL(" UNION ALL ").join(looks))]
    with conn.transaction():
        if used:
            conn.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(used)))
        for (name,) in conn.execute(SEQUENCES).fetchall():
            conn.execute(sql.SQL("ALTER SEQUENCE pgjobs.{} RESTART").format(sql.Identifier(name)))
        for name in KEPT[1:]:
            conn.execute(sql.SQL("DELETE FROM pgjobs.{0}").format(sql.Identifier(name)))
            conn.execute(sql.SQL("INSERT INTO pgjobs.{0} DEFAULT VALUES").format(sql.Identifier(name)))
        conn.execute("DELETE FROM pg_statistic WHERE starelid::regclass::text LIKE 'pgjobs.%'")
    return True
