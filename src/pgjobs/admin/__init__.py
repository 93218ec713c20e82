"""Looking at queues and repairing them: what the command line does, as functions.

They take a psycopg connection and plain values, and give plain frozen dataclasses. On a connection in autocommit mode
every batch is a transaction of its own; on any other nothing is committed on the caller's behalf.
"""
