"""The screen of `pgjobs top`, by Textual. What it shows is in `cells.py`, what it reads in `snapshot.py`.

Snapshots are taken in a thread, one after another, and put on the screen by the main one. Cells are `rich.text.Text`,
as markup in a plain text would be interpreted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, DataTable, Footer, Input, Label, Static

from pgjobs.cli.output import clean
from pgjobs.cli.top import actions
from pgjobs.cli.top.cells import (
    LETTERS,
    QUEUES,
    RUNNING,
    TREND,
    WORKERS,
    head,
    job_cells,
    letter_cells,
    queue_cells,
    spark,
    worker_cells,
)
from pgjobs.cli.top.feed import UnreadableError
from pgjobs.cli.top.snapshot import MAX_DUE

if TYPE_CHECKING:
    import psycopg

    from pgjobs.cli.output import Column
    from pgjobs.cli.top.actions import Action
    from pgjobs.cli.top.feed import Feed
    from pgjobs.cli.top.snapshot import Snapshot, TopQueue

EVERY = 1.0  # seconds
KEPT = 60  # latencies of a queue
BARS = 12
TITLES = {"running": "RUNNING, the oldest first", "letters": "DEAD LETTERS, the newest first", "workers": "WORKERS"}
PANELS = tuple(TITLES)


class Question(ModalScreen[bool]):
    """Asks before an action."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield Label(Text(f"{clean(self._question)}\n\n  y: yes    n: no"), id="box")

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class Reading(ModalScreen[None]):
    """Shows a text, which may be longer than the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "close", "close")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text."""
        with VerticalScroll(id="reading"):
            yield Static(Text(self._text))

    def action_close(self) -> None:
        """Close it."""
        self.dismiss(None)


class TopApp(App[None]):
    """The whole screen."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; background: $primary-background; }
    #head.lost { background: $error; color: $text; }
    #queues { height: 1fr; min-height: 5; }
    #lower { height: 1fr; min-height: 5; }
    #lower DataTable { height: 100%; }
    #title { height: 1; background: $panel; }
    #filter { display: none; height: 1; border: none; }
    #filter.open { display: block; }
    Question, Reading { align: center middle; }
    #box { width: auto; max-width: 76; padding: 1 2; background: $surface; border: round $primary; }
    #reading { width: 95%; height: 90%; padding: 0 1; background: $surface; border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "quit", priority=False),
        Binding("p", "pause", "pause/resume"),
        Binding("c", "cancel", "cancel"),
        Binding("r", "retry", "retry"),
        Binding("w", "why", "why"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("1", "panel('running')", "running"),
        Binding("2", "panel('letters')", "dead"),
        Binding("3", "panel('workers')", "workers"),
        Binding("escape", "unfilter", "", show=False),
    ]

    def __init__(self, feed: Feed, part: str = "") -> None:
        super().__init__()
        self._feed = feed
        self._part = part
        self._history: dict[str, deque[float]] = {}
        self._queues: dict[str, TopQueue] = {}
        self._reading = threading.Lock()
        self.snapshot: Snapshot | None = None
        self.trouble: str | None = None
        self.broken: Exception | None = None

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static("…", id="head", markup=False)
        yield DataTable(id="queues", cursor_type="row", zebra_stripes=True)
        yield Static("", id="title", markup=False)
        with ContentSwitcher(initial="running", id="lower"):
            for panel in PANELS:
                yield DataTable(id=panel, cursor_type="row")
        yield Input(placeholder="part of a queue, call or error", id="filter")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to read, and continue every second."""
        for name, columns in (("queues", (*QUEUES, TREND)), *zip(PANELS, (RUNNING, LETTERS, WORKERS), strict=True)):
            for column in columns:
                self._table(name).add_column(column.title, key=column.title)
        self._table("queues").focus()
        self._show_title()
        self.set_interval(EVERY, self.refresh_now)
        self.refresh_now()

    def refresh_now(self) -> None:
        """Take a snapshot, unless one is being taken."""
        if self._reading.acquire(blocking=False):
            self.run_worker(self._read, thread=True, group="reading")

    def _read(self) -> None:
        try:
            snapshot, trouble = self._feed.read(self._part), None
        except UnreadableError as error:
            snapshot, trouble = None, str(error)
        finally:
            self._reading.release()
        if self.is_running:
            self.call_from_thread(self.show, snapshot, trouble)

    def show(self, snapshot: Snapshot | None, trouble: str | None) -> None:
        """Put a snapshot on the screen; without one, say why, and leave the last one there."""
        self.trouble = trouble
        line = self.query_one("#head", Static)
        line.set_class(trouble is not None, "lost")
        if snapshot is None:
            line.update(Text(f" No answer: {clean(trouble or '')}. Trying again…", no_wrap=True))
            return
        self.snapshot = snapshot
        shown = f" filter: {clean(self._part)} ·" if self._part else ""
        line.update(Text(f"{shown} {head(snapshot)}", no_wrap=True))
        self._queues = {queue.name: queue for queue in snapshot.queues}
        for queue in snapshot.queues:
            self._history.setdefault(queue.name, deque(maxlen=KEPT)).append(max(queue.latency or 0.0, 0.0))
        for name in self._history.keys() - self._queues.keys():
            del self._history[name]
        with self.batch_update():
            self._fill(
                "queues",
                (*QUEUES, TREND),
                [
                    (queue.name, [*queue_cells(queue, MAX_DUE), self._trend(queue)], _style(queue))
                    for queue in snapshot.queues
                ],
            )
            self._fill("running", RUNNING, [(str(job.id), job_cells(job), "") for job in snapshot.running])
            self._fill("letters", LETTERS, [(str(each.id), letter_cells(each), "") for each in snapshot.letters])
            self._fill("workers", WORKERS, [(str(each.id), worker_cells(each), "") for each in snapshot.workers])
        self._show_title()

    def _trend(self, queue: TopQueue) -> str:
        return spark(self._history[queue.name], BARS, queue.sla)

    def _fill(self, id: str, columns: tuple[Column, ...], rows: list[tuple[str, list[str], str]]) -> None:
        """Replace the rows of a table; the cursor stays on its row as long as that is there."""
        table = self._table(id)
        here, scroll = self._chosen(id), table.scroll_y
        table.clear()
        for key, cells, style in rows:
            table.add_row(
                *(
                    Text(cell, style=style, justify="right" if column.right else "left", no_wrap=True)
                    for column, cell in zip(columns, cells, strict=True)
                ),
                key=key,
            )
        keys = [key for key, _, _ in rows]
        if here in keys:
            table.cursor_coordinate = Coordinate(keys.index(here), 0)
            table.scroll_to(y=scroll, animate=False)

    def _table(self, id: str) -> DataTable[Text]:
        return self.query_one(f"#{id}", DataTable)

    def _chosen(self, id: str) -> str | None:
        """Return the key of the row under the cursor of a table; None: it is empty."""
        table = self._table(id)
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    @property
    def panel(self) -> str:
        """The lower table."""
        return self.query_one("#lower", ContentSwitcher).current or PANELS[0]

    def _show_title(self) -> None:
        self.query_one("#title", Static).update(f" {TITLES[self.panel]}")

    def action_panel(self, name: str) -> None:
        """Show another table below."""
        self.query_one("#lower", ContentSwitcher).current = name
        self._table(name).focus()
        self._show_title()

    def action_filter(self) -> None:
        """Ask for a text."""
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.value = self._part
        field.focus()

    def action_unfilter(self) -> None:
        """Close the filter; where it is closed, show everything again."""
        field = self.query_one("#filter", Input)
        if field.has_class("open"):
            field.remove_class("open")
            self._table("queues").focus()
        else:
            self._part = ""
            self.refresh_now()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Use the text."""
        self._part = event.value.strip()
        event.input.remove_class("open")
        self._table("queues").focus()
        self.refresh_now()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show all about a job; a queue becomes the filter."""
        table, key = event.data_table.id, event.row_key.value
        if key is None:
            return
        if table in ("running", "letters"):
            self._tell(lambda conn: actions.details(conn, int(key)))
        elif table == "queues":
            self._part = key
            self.refresh_now()

    def action_pause(self) -> None:
        """Pause or resume the queue under the cursor."""
        queue = self._queues.get(self._chosen("queues") or "")
        if queue is not None:
            self._ask(actions.resume(queue.name) if queue.paused else actions.pause(queue.name))

    def action_cancel(self) -> None:
        """Cancel the job under the cursor."""
        chosen = self._chosen("running") if self.panel == "running" else None
        if chosen is not None:
            self._ask(actions.cancel(int(chosen)))

    def action_retry(self) -> None:
        """Run the dead letter under the cursor again."""
        chosen = self._chosen("letters") if self.panel == "letters" else None
        if chosen is not None:
            self._ask(actions.retry(int(chosen)))

    def action_why(self) -> None:
        """Explain the job under the cursor."""
        chosen = self._chosen(self.panel) if self.panel in ("running", "letters") else None
        if chosen is not None:
            self._tell(lambda conn: actions.why(conn, int(chosen)))

    def _ask(self, action: Action) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(lambda: self._do(action.work), thread=True, group="acting")

        self.push_screen(Question(action.question), answered)

    def _do(self, work: Callable[[psycopg.Connection], str]) -> None:
        try:
            said, severity = self._feed.act(work), "information"
        except UnreadableError as error:
            said, severity = str(error), "error"
        self.call_from_thread(self._said, said, severity)

    def _said(self, text: str, severity: Any) -> None:
        self.notify(clean(text), severity=severity, markup=False)
        self.refresh_now()

    def _tell(self, work: Callable[[psycopg.Connection], str]) -> None:
        def look() -> None:
            try:
                text = self._feed.act(work)
            except UnreadableError as error:
                text = clean(str(error))
            self.call_from_thread(self.push_screen, Reading(text))

        self.run_worker(look, thread=True, group="acting")

    def _handle_exception(self, error: Exception) -> None:
        """End, and leave the error to the command: Textual would print it with all variables."""
        if self.broken is None:
            self.broken = error
            self.exit(return_code=1)

    def on_unmount(self) -> None:
        """Close the connection, once the last look has ended."""
        if self._reading.acquire(timeout=1.0):
            self._feed.close()


def _style(queue: TopQueue) -> str:
    return "bold red" if queue.is_late else "dim" if queue.paused else ""
