"""The command line. Commands parse, call `pgjobs.admin`, `pgjobs.diagnose` or `pgjobs.worker`, and print.

A command's module is imported when the command is run (`commands.COMMANDS`), so that `pgjobs --help` is fast:
importing all of them takes three times as long, mostly because of psycopg.
"""
