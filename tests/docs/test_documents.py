"""What the documentation shows is run, against a real database in which a small shop has worked for a while."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from pgjobs.db.url import sqlalchemy_url
from pgjobs.embedded import delete_server
from tests.docs.document import RUN, blocks
from tests.support.forks import Done, ask
from tests.support.processes import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.postgres import Server

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
QUICKSTART = ROOT / "docs" / "quickstart.md"
WITH_EXAMPLES = [
    path
    for path in DOCUMENTS
    if path != QUICKSTART and any(block.language in RUN for block in blocks(path.read_text()))
]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = HEADING.findall(document.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """Return the environment of a folder with the example shop in it. Warnings are errors there too."""
    env = {name: value for name, value in environment().items() if not name.startswith("PGJOBS_")}
    path = os.pathsep.join([str(folder), env["PYTHONPATH"]])
    return env | {"PGJOBS_DATABASE_URL": sqlalchemy_url(url), "PYTHONWARNINGS": "error", "PYTHONPATH": path}


@pytest.fixture(scope="module")
def shop_url(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which the shop has worked, and has some jobs left to do."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(ROOT / "examples" / "shop", folder / "shop")
    url = server.create()
    drain = ["-m", "pgjobs", "work", "-q", "mail:10", "-q", "default:4", "--import", "shop.tasks", "--drain"]
    for arguments in (["-m", "shop.orders"], drain, ["-m", "shop.orders"]):
        env = environment_of(folder, url)
        subprocess.run([sys.executable, *arguments], cwd=folder, env=env, check=True, capture_output=True)
    yield url
    server.drop(url)


@pytest.fixture
def shop(server: Server, shop_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of this test's own folder and copy of that database."""
    shutil.copytree(ROOT / "examples" / "shop", tmp_path / "shop")
    name = urlsplit(shop_url).path.lstrip("/")
    url = server.url_of(f"{name}_copy")
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}_copy" TEMPLATE "{name}"'.encode())
    yield environment_of(tmp_path, url)
    server.drop(url)


@pytest.fixture(scope="module")
def run_document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, Path, dict[str, str]], Done]]:
    """Run a document in a folder and an environment, in a process of its own that begins where the imports end."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.docs.document", "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path_factory.mktemp("documents"),
        env=environment() | {"PYTHONWARNINGS": "error"},
        process_group=0,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        asked, answers = parent.stdin.fileno(), parent.stdout
        try:
            yield lambda document, folder, env: ask(asked, answers, [str(document)], env, folder)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=name_of)
def test_the_examples_of_a_document_run(
    document: Path,
    shop: dict[str, str],
    tmp_path: Path,
    run_document: Callable[[Path, Path, dict[str, str]], Done],
) -> None:
    done = run_document(document, tmp_path, shop)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_quickstart_from_an_empty_folder_runs_as_written(tmp_path: Path) -> None:
    env = {name: value for name, value in environment().items() if not name.startswith("PGJOBS_")}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.docs.document", str(QUICKSTART)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"shop.py", ".pgjobs"}
    finally:
        stop = [sys.executable, "-m", "pgjobs", "db", "stop"]
        subprocess.run(stop, cwd=tmp_path, env=env, capture_output=True, check=False)
        delete_server(tmp_path / ".pgjobs")


def test_the_order_of_the_readme_fits_the_table_of_the_quickstart(conn: psycopg.Connection) -> None:
    (create,) = re.findall(r'"""\s+(CREATE TABLE IF NOT EXISTS orders.*?)"""', QUICKSTART.read_text(), re.DOTALL)
    (insert,) = re.findall(r'"(INSERT INTO orders .*?)"', (ROOT / "README.md").read_text())
    conn.execute(create.encode())
    assert conn.execute(insert.encode()).fetchone() == (1,)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_of_a_document_lead_to_files_and_headings(document: Path) -> None:
    links = [
        (document.parent / path if path else document, anchor) for path, anchor in LINK.findall(document.read_text())
    ]

    assert [target for target, _ in links if not target.exists()] == []
    assert [(target, anchor) for target, anchor in links if anchor and anchor not in anchors_of(target)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_s_examples_import_only_public_modules(document: Path) -> None:
    shown = "\n".join(block.text for block in blocks(document.read_text()) if block.language in RUN)

    assert re.findall(r"(?:from|import) pgjobs\.(?:db|core|diagnose|admin)\b.*", shown) == []


def test_the_shop_did_what_the_example_says(shop_url: str) -> None:
    with psycopg.connect(shop_url) as conn:
        rows = conn.execute(
            "SELECT customer, receipt IS NOT NULL, status FROM orders JOIN pgjobs.jobs AS j ON j.id = receipt_job_id "
            "ORDER BY orders.id LIMIT 2"
        ).fetchall()

    assert rows == [("ada@example.com", True, "completed"), ("nobody", False, "failed")]


def test_a_broken_example_is_noticed(
    shop: dict[str, str], tmp_path: Path, run_document: Callable[[Path, Path, dict[str, str]], Done]
) -> None:
    for broken in (
        "```python\n1 / 0\n```",
        "```sql\nSELECT nothing\n```",
        "```console\n$ pgjobs jobs show 99999999\n```",
        "```console\n$ curl example.com\n```",
        "```sql\nSELECT 1 AS a\n```\n\n```text\nb\n---\n1\n```",
        "```console\n$ python -c 'print(1)'\n```\n\n```text\n2\n```",
    ):
        (tmp_path / "broken.md").write_text(broken)
        assert run_document(Path("broken.md"), tmp_path, shop).returncode == 1, broken
