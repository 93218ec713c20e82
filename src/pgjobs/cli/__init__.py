"""The command line. Thin: what it does is in `pgjobs.admin`, `pgjobs.db` and `pgjobs.worker`.

Everything heavy (psycopg, alembic, rich, the worker) is imported inside the command that needs it, so that
`pgjobs --help` answers at once.
"""
