"""A process that uses an embedded server: `python -m tests.support.embedded_user DIRECTORY BINARIES [ROUNDS]`.

It prints one line of JSON when it is in, and leaves when its stdin ends. With ROUNDS it goes in, asks the server for
something, and leaves again, ROUNDS times.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from pgjobs.embedded import embedded_server


def main(directory: Path, binaries: Path, rounds: int = 0) -> None:
    for _ in range(rounds):
        with embedded_server(directory, binaries=binaries, durable=False) as server:
            with psycopg.connect(server.url) as conn:
                conn.execute("SELECT 1")
        time.sleep(random.uniform(0, 0.15))  # noqa: S311 (not a secret)
    if rounds:
        return
    with embedded_server(directory, binaries=binaries, durable=False) as server:
        child = subprocess.Popen(["sleep", "60"])  # a program that a user starts does not keep the server
        print(json.dumps({"url": server.url, "started": server.started, "child": child.pid}), flush=True)
        sys.stdin.read()
        child.kill()
        child.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
