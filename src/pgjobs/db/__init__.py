"""Where pgjobs meets PostgreSQL.

`statements` reads the SQL of `sql/`, one statement a file. `caller` runs it in an application's own transaction;
`connect` makes the connections of workers and commands. `migrate` and `version` look after the tables. `database`
chooses between the database that was named and the server of `embedded`.
"""
