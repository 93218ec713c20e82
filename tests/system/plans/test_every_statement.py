"""Nobody adds a statement without saying how often it runs; what runs often is held by test_plans.py."""

from __future__ import annotations

import re
from pathlib import Path

import pgjobs
from tests.system.plans.hot import HOT, RARE

SOURCE = Path(pgjobs.__file__).parent


def test_every_statement_is_either_hot_or_rare() -> None:
    assert {path.stem for path in (SOURCE / "db" / "sql").rglob("*.sql")} == HOT.keys() | RARE.keys()
    assert not HOT.keys() & RARE.keys()


def test_the_workers_and_enqueue_write_no_sql_beside_the_files() -> None:
    verbs = re.compile(r"""["'](SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b.*pgjobs""")
    for path in [*(SOURCE / "worker").glob("**/*.py"), SOURCE / "enqueueing.py"]:
        assert not verbs.search(path.read_text("utf-8")), path
