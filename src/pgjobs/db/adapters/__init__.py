"""The caller's own connection: its kind, and how a statement runs on it. Our own are in `db/connection.py`."""
