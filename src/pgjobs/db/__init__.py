"""Where pgjobs meets PostgreSQL.

`statements` reads the SQL of `sql/`; `enqueue_columns` has the lists of columns that it names. `adapters` runs it in an
application's own transaction; `connection` makes the connections of workers and commands, and `public_connect` those of
applications. `migrations` creates and upgrades the tables. `choose_database` chooses between the named database and the
server of `embedded`.
"""
