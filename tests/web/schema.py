"""The JSON of the dashboard under whatever schemathesis thinks of: `make browser`, or `python -m tests.web.schema`.

Each answer has to fit what is said here of `/minutes`, which docs/dashboard.md tells people to use.
"""

from __future__ import annotations

import argparse
from typing import Any

import psycopg
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support import postgres
from tests.web.browser import served
from tests.web.content import HOSTILE, name_of, put_all, put_minutes

NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
NAMED = (
    *("latency", "due", "running", "waiting", "enqueued", "completed", "failed", "cancelled", "retried"),
    *("slots", "busy", "run_50", "run_95", "wait_50", "wait_95"),
)
SERIES = {
    "type": "object",
    "required": ["queue", "sla", *NAMED],
    "additionalProperties": False,
    "properties": {
        "queue": {"type": "string", "pattern": "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u202e]*$"},
        "sla": {"type": ["number", "null"]},
        **dict.fromkeys(NAMED, NUMBERS),
    },
}
MINUTES = {
    "type": "object",
    "required": ["step", "at", "series"],
    "additionalProperties": False,
    "properties": {
        "step": {"enum": [60, 300, 900]},
        "at": {"type": "array", "items": {"type": "integer"}, "maxItems": 200, "minItems": 1},
        "series": {"type": "array", "items": SERIES, "maxItems": 7},
    },
}
ERROR = {
    "type": "object",
    "required": ["error", "sentence"],
    "additionalProperties": False,
    "properties": {"error": {"type": "string"}, "sentence": {"type": "string", "minLength": 1}},
}


def answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "JSON", "content": {"application/json": {"schema": schema}}}


def parameter(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "pgjobs", "version": "1"},
    "paths": {
        "/minutes": {
            "get": {
                "parameters": [
                    parameter("queue", type="array", items={"type": "string"}),
                    parameter("task", type="string"),
                    parameter("hours", anyOf=[{"enum": [1, 3, 12, 48]}, {"type": "integer"}, {"type": "string"}]),
                    parameter("times", type="string"),
                ],
                "responses": {"200": answer(MINUTES), "400": answer(ERROR)},
            }
        }
    },
}


def main() -> int:
    """Ask, and return 1 if an answer does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    arguments = parser.parse_args()
    schema = schemathesis.openapi.from_dict(OPENAPI)
    asked: list[int] = []
    with postgres.start(None, "embedded", postgres.DOCKER_IMAGE) as server:
        url = server.create()
        with psycopg.connect(url, autocommit=True) as conn:
            put_all(conn)
            put_minutes(conn, name_of(HOSTILE), minutes=119)
        with served(url) as base:
            cases = schema["/minutes"]["GET"].as_strategy()

            @given(case=cases)
            @settings(max_examples=arguments.examples, deadline=None, suppress_health_check=[*HealthCheck])
            def fits(case: Any) -> None:
                # What cannot be looked for is refused, whatever a schema of texts can say.
                found = case.call_and_validate(base_url=base, excluded_checks=[positive_data_acceptance])
                asked.append(found.status_code)

            fits()
    print(f"{len(asked)} requests: " + ", ".join(f"{asked.count(code)} of {code}" for code in sorted({*asked})))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
