"""Where pgjobs meets PostgreSQL: statements, connections, migrations, the embedded server."""
