"""Errors by which others refuse a row."""

from __future__ import annotations


def is_refusal(error: Exception) -> bool:
    """Return True for an error by which others refuse a row: a trigger, rule, constraint, index or foreign key."""
    from psycopg import errors

    return isinstance(error, errors.TriggeredActionException | errors.IntegrityError | errors.RaiseException)
