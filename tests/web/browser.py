"""The dashboard in a real browser: `make browser`, or `python -m tests.web.browser [--pictures FOLDER]`.

Each page in light, dark and 360 pixels wide; each action by its form; a dialog, keys and live pages by script; and
pages without scripts. Nothing may be inline, come from another host, be wider than the screen, or be a serious finding
of axe.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import axe_core_python
import psycopg
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as TookTooLong

from pgjobs import admin
from pgjobs.web import ALL, User, dashboard
from tests.support import postgres
from tests.web.content import addresses, put_all
from tests.web.test_actions import FILLED, put_targets

CHROMIUM = "/usr/bin/chromium"
VIEWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("light", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
    ("dark", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}),
    ("narrow", {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"}),
)
SERIOUS = ("serious", "critical")


class Findings:
    """What is wrong, in lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def check(self, holds: object, line: str) -> None:
        """Note the line unless something holds."""
        if not holds:
            self.lines.append(line)
            print(f"  WRONG: {line}")

    def watch(self, page: Page, host: str, where: str) -> None:
        """Note what a page writes to the console, which violations of the policy are, and requests to other hosts."""
        page.on("console", lambda said: self.check(said.type not in ("error", "warning"), f"{where}: {said.text}"))
        page.on("pageerror", lambda error: self.check(False, f"{where}: {error}"))
        page.on("request", lambda asked: self.check(urlsplit(asked.url).netloc == host, f"{where}: asks {asked.url}"))


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve a dashboard, and yield its address."""
    app = dashboard(authorize=lambda request: User("ada", may=ALL), database_url=url, local_only=True)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def shop(server: postgres.Server) -> Iterator[tuple[psycopg.Connection, str]]:
    """Make a database and a dashboard of it, and yield a connection and its address."""
    url = server.create()
    with psycopg.connect(url, autocommit=True) as conn, served(url) as base:
        yield conn, base


def pages(browser: Browser, base: str, places: list[str], found: Findings, axe: str, pictures: Path | None) -> None:
    """Look at each page in each view. `axe`: its script."""
    host = urlsplit(base).netloc
    for name, options in VIEWS:
        context = browser.new_context(**options, timezone_id="Asia/Tokyo", bypass_csp=False)
        for place in places:
            page = context.new_page()
            found.watch(page, host, f"{place} ({name})")
            answer = page.goto(base + place)
            found.check(answer and answer.status == 200, f"{place} ({name}): {answer and answer.status}")
            if page.locator("section.over-time").count():
                drawn = page.locator("figure.chart:not([hidden]) canvas")
                with suppress(TookTooLong):
                    drawn.first.wait_for(timeout=5_000)
                found.check(drawn.count() >= 2, f"{place} ({name}): {drawn.count()} charts are drawn")
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found.check(wide <= 0, f"{place} ({name}): {wide} pixels too wide")
            if pictures:
                file = place.partition("?")[0].strip("/").replace("/", "-") or "overview"
                page.screenshot(path=pictures / f"{file}-{name}.png", full_page=True)
            page.close()
        context.close()
        # axe is a script of another origin to the policy: it runs where the policy is not enforced.
        context = browser.new_context(**options, bypass_csp=True)
        for place in places:
            page = context.new_page()
            page.goto(base + place)
            page.evaluate(axe)
            for each in page.evaluate("axe.run().then(found => found.violations)"):
                if each["impact"] in SERIOUS:
                    nodes = ", ".join(node["html"][:120] for node in each["nodes"][:2])
                    found.check(False, f"{place} ({name}): {each['id']}: {each['help']}: {nodes}")
            page.close()
        context.close()
        print(f"{len(places)} pages, {name}")


def actions(browser: Browser, base: str, conn: psycopg.Connection, found: Findings) -> None:
    """Do everything that can be done, by forms."""
    targets = put_targets(conn)
    context = browser.new_context(**VIEWS[0][1])
    page = context.new_page()
    found.watch(page, urlsplit(base).netloc, "actions")
    for name, target in targets.items():
        page.goto(f"{base}/do/{name}?{urlencode(target)}")
        for field, value in FILLED.get(name, {}).items():
            place = page.locator(f"main [name={field}]")
            if place.evaluate("each => each.tagName") == "SELECT":
                place.select_option(value)
            else:
                place.fill(value)
        page.locator("main .preview button").click()
        done = page.locator(".banner.done")
        shown = done.count() or name == "discard-letter"
        found.check(shown and "/do/" not in page.url, f"{name}: {page.url}")
        (entry,) = admin.list_audit(conn, limit=1)
        found.check((entry.action, entry.failed) == (name, False), f"{name}: the audit has {entry}")
    context.close()
    print(f"{len(targets)} actions")


def scripts(browser: Browser, base: str, conn: psycopg.Connection, found: Findings) -> None:
    """Try what scripts add: a dialog, keys, the reader's own time, and pages that are looked at again."""
    admin.resume_everything(conn)
    admin.pause_queue(conn, "by-dialog")
    context = browser.new_context(**VIEWS[0][1], timezone_id="Asia/Tokyo")
    page = context.new_page()
    found.watch(page, urlsplit(base).netloc, "scripts")
    page.goto(f"{base}/queues?name=by-dialog")
    page.locator("td.do a[data-dialog]", has_text="resume").first.click()
    page.locator("dialog[open] .preview button, dialog[open] button.main").first.wait_for()
    page.keyboard.press("Escape")
    found.check(page.locator("dialog[open]").count() == 0, "Escape does not close the dialog")
    page.locator("td.do a[data-dialog]", has_text="resume").first.click()
    page.locator("dialog[open] button.main").click()
    page.locator(".banner.done").wait_for()
    found.check(
        not [each for each in admin.list_queues(conn) if each.name == "by-dialog" and each.paused], "not resumed"
    )
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/workflows")
    page.keyboard.press("?")
    found.check(page.locator("dialog[open]").count() == 1, "? shows no keys")
    page.keyboard.press("Escape")
    page.goto(f"{base}/")
    found.check("here" in page.locator("time.full").first.inner_text(), "the reader's own time is missing")
    asked: list[str] = []
    drawn = page.locator("figure.chart:not([hidden]) canvas")
    drawn.first.wait_for()
    before = drawn.count()
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(6_500)
    found.check(len(asked) == 1, f"a page of 5 s asked {len(asked)} times in 6.5 s")
    found.check(drawn.count() == before, f"of {before} charts {drawn.count()} are left after a look")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    asked.clear()
    page.wait_for_timeout(6_000)
    found.check(not asked, "a hidden page asks")
    page = context.new_page()
    page.goto(f"{base}/workers")
    login = "<h1>Log in</h1>"
    page.route("**/workers", lambda route: route.fulfill(body=login, content_type="text/html"))
    page.locator("h1", has_text="Log in").wait_for(timeout=10_000)
    found.check(page.locator("main").count() == 0, "a login is put into the page")
    context.close()
    context = browser.new_context(**VIEWS[0][1], java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base}/queues")
    page.locator("a.act", has_text="pause").first.click()
    page.locator("main .preview button").click()
    found.check(page.locator(".banner.done").count() == 1, "an action without scripts")
    page.goto(f"{base}/")
    page.locator(".over-time summary").click()
    found.check(page.locator(".over-time td").first.is_visible(), "the table of the charts without scripts")
    found.check(page.locator("figure.chart:not([hidden])").count() == 0, "empty charts without scripts")
    context.close()
    print("scripts, and pages without them")


def main() -> int:
    """Run all of it, and return 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="write pictures of all pages here")
    parser.add_argument("--chromium", default=CHROMIUM)
    parser.add_argument("--axe", type=Path, default=Path(axe_core_python.__file__).with_name("axe.min.js"))
    arguments = parser.parse_args()
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    found = Findings()
    with postgres.start(None, "embedded", postgres.DOCKER_IMAGE) as server:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
            with shop(server) as (conn, base):
                actions(browser, base, conn, found)
            with shop(server) as (conn, base):
                places = [*addresses(put_all(conn)), "/do/cancel-jobs?queue=plain", "/jobs?status=failed&call=x"]
                scripts(browser, base, conn, found)
                pages(browser, base, places, found, arguments.axe.read_text(), arguments.pictures)
            browser.close()
    print(f"{len(found.lines)} findings" if found.lines else "Nothing is wrong.")
    return 1 if found.lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
