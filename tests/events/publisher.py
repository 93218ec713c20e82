"""Publish until enough is committed, with rollbacks in between: `python -m tests.events.publisher URL SEED EVENTS`.

Each transaction writes into `committed` what it publishes. It is meant to be killed at any moment.
"""

from __future__ import annotations

import random
import sys

import psycopg

from pgjobs import publish


def main(url: str, seed: str, events: str) -> None:
    """Publish one event after another, a third of them in vain."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    with psycopg.connect(url) as conn:
        while True:
            with conn.transaction(force_rollback=dice.random() < 0.3):
                for _ in range(dice.choice((1, 1, 1, 5))):
                    sequence = dice.choice((None, None, "x", "y"))
                    event = publish(conn, f"order.{dice.choice('abc')}", {"n": 1}, sequence=sequence)
                    conn.execute("INSERT INTO committed VALUES (%s)", [event])
            row = conn.execute("SELECT count(*) >= %s FROM committed", [int(events)]).fetchone()
            conn.commit()
            if row == (True,):
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
