"""The database: connections, statements, migrations and roles."""
