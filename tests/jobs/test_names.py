"""Jobs with a name of their own: they are found by it, wherever their function is now."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from pgjobs import EnqueueError, PayloadError, UsageError, enqueue, job
from pgjobs.admin import pause_task, resume_task
from pgjobs.core.allowlist import AllowList
from pgjobs.core.errors import NotAllowedError
from pgjobs.db.query import task_patterns
from pgjobs.jobs import registry
from pgjobs.jobs.job import task_name
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.pickling import dump, load
from pgjobs.worker.claim.paused_tasks import PausedTasks
from tests.support.rows import row_of
from tests.support.worker import drain, states, wait_for, work

pytestmark = pytest.mark.in_turns(3)

OLD, NEW = "pgjobs_old_shop", "pgjobs_new_shop"
Write = Callable[..., ModuleType]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module with a function `sync`, and import it into a process that knows no other job."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_jobs", {})
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")

    def write_module(name: str, decorator: str, function: str = "sync") -> ModuleType:
        forget()
        (tmp_path / f"{name}.py").write_text(
            "import sys\n\nfrom pgjobs import current_job, job\n\n\n"
            # One write: what threads and children print with several is mixed.
            f"{decorator}\ndef {function}(n=0):\n    sys.stdout.write(f'ran {{n}} {{current_job().task}}\\n')\n"
            "    sys.stdout.flush()\n"
        )
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def forget() -> None:
        """Become a process that has imported nothing, and in which the code has moved."""
        registry._jobs.clear()
        for name in (OLD, NEW):
            sys.modules.pop(name, None)
            (tmp_path / f"{name}.py").unlink(missing_ok=True)

    yield write_module
    forget()


def test_named_job_is_stored_under_its_name_and_found_by_the_hint_of_its_module(write: Write) -> None:
    sync = write(OLD, '@job(name="shop.sync")').sync
    payload, summary = encoder_for(sync).encode((7,), {})
    call = load(payload)

    assert encoder_for(sync).columns.task == task_name(sync) == "shop.sync"
    assert (call.callable, call.args, summary) == (sync, (7,), "sync(7)")
    assert encoder_for(sync) is encoder_for(sync)
    head = b"\x80\x05\x8c\x06pgjobs\x8c\x0bjob_by_name\x93\x8c\x09shop.sync\x8c\x0fpgjobs_old_shop\x86R"
    assert payload == head + b"J\x07\0\0\0\x85}\x87."
    assert load(dump(sync.options(priority=1), (7,), {})).callable is sync
    registry._jobs.clear()
    sys.modules.pop(OLD)
    assert load(payload).callable is sys.modules[OLD].sync


def test_name_that_is_gone_is_an_error_that_names_the_job_and_the_next_step(write: Write) -> None:
    payload = dump(write(OLD, '@job(name="shop.sync")').sync, (), {})
    write(NEW, '@job(name="shop.other")')

    with pytest.raises(PayloadError, match=r"no job 'shop\.sync': pgjobs_old_shop, which had it, .*--import MODULE"):
        load(payload)
    write(OLD, "@job")
    with pytest.raises(PayloadError, match=r"no job 'shop\.sync': pgjobs_old_shop no longer has it"):
        load(payload)


def test_alias_finds_the_job_for_old_payloads(write: Write) -> None:
    pickled = dump(write(OLD, "@job").sync, (7,), {})
    new = write(NEW, f'@job(name="shop.sync", aliases=["{OLD}:sync", "sync"])', "renamed").renamed

    assert load(pickled).callable is new
    assert registry.names_of_task("sync") == registry.names_of_task("shop.sync") == ("shop.sync", f"{OLD}:sync", "sync")


def test_alias_finds_the_job_for_json(write: Write) -> None:
    new = write(NEW, f'@job(payload="json", aliases=["{OLD}:sync", "sync"])').sync

    for task in (f"{OLD}:sync", "sync", f"{NEW}:sync"):
        assert load(b"[7]", task).callable is new
    with pytest.raises(PayloadError, match=r"no job 'other'.*--import MODULE"):
        load(b"[7]", "other")


def test_allow_list_holds_for_names_and_aliases(write: Write) -> None:
    old = dump(write(OLD, "@job").sync, (7,), {})
    new = write(NEW, f'@job(name="shop.sync", aliases=["{OLD}:sync"])').sync
    named = dump(new, (7,), {})

    for pattern in (NEW, f"{NEW}:sync", "shop.sync", "shop.*"):
        allow = AllowList((pattern,))
        assert load(named, "shop.sync", allow).callable is new
        assert load(old, f"{OLD}:sync", allow).callable is new
    for payload, task in ((named, "shop.sync"), (old, f"{OLD}:sync"), (named, "os:system")):
        with pytest.raises(NotAllowedError):
            load(payload, task, AllowList(("shop.tasks",)))


def test_allow_list_keeps_the_hint_of_a_module_from_being_imported(write: Write) -> None:
    named = dump(write(OLD, '@job(name="shop.sync")').sync, (7,), {})
    registry._jobs.clear()
    sys.modules.pop(OLD)

    with pytest.raises(NotAllowedError, match=OLD):
        load(named, "shop.sync", AllowList(("shop.*",)))
    assert OLD not in sys.modules
    assert load(named, "shop.sync", AllowList((OLD,))).args == (7,)


def test_two_jobs_of_one_name_are_refused(write: Write) -> None:
    write(OLD, '@job(name="shop.sync", aliases=["sync"])')

    def other() -> None: ...

    for options in ({"name": "shop.sync"}, {"name": "sync"}, {"aliases": ["shop.sync"]}):
        with pytest.raises(
            UsageError, match=rf"both have the name '{'sync' if 'sync' in options.values() else 'shop'}"
        ):
            job(**options)(other)
    importlib.reload(sys.modules[OLD])  # the same one again


@pytest.mark.parametrize(
    "options", [{"name": ""}, {"name": 7}, {"name": "x" * 201}, {"name": "a\n"}, {"aliases": "a"}, {"aliases": [7]}]
)
def test_name_that_cannot_be_used_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^(name|aliases)="):
        job(**options)  # type: ignore[call-overload]


def test_named_job_of_a_script_or_that_was_replaced_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    sync = write(OLD, '@job(name="shop.sync")').sync
    importlib.reload(sys.modules[OLD])
    with pytest.raises(EnqueueError, match=r"shop\.sync is the name of another job now"):
        dump(sync, (), {})
    sync.__module__ = "__main__"
    registry.register(sync)
    with pytest.raises(EnqueueError, match="is defined in __main__"):
        dump(sync, (), {})
    pickled = pickle.dumps(sync)
    registry._jobs.clear()
    with pytest.raises(PayloadError, match="enqueued by a script"):
        pickle.loads(pickled)


def test_pause_of_a_name_holds_for_aliases_and_the_other_way_round(write: Write) -> None:
    write(NEW, f'@job(name="shop.sync", aliases=["{OLD}:sync"])')

    for paused in ("shop.sync", f"{OLD}:sync", OLD):
        pauses = PausedTasks([(paused, task_patterns(paused) or [])])
        assert [pauses.pause_of(task) for task in ("shop.sync", f"{OLD}:sync", "shop.other")] == [paused, paused, None]


# -- With a worker ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["pickle", "json"])
def test_worker_runs_jobs_that_were_enqueued_before_a_move_and_a_rename(
    payload: str, write: Write, database_url: str, conn: psycopg.Connection
) -> None:
    named = enqueue(conn, write(OLD, f'@job(name="shop.sync", payload="{payload}")').sync, 1).id
    by_module = enqueue(conn, write(OLD, f'@job(payload="{payload}")').sync, 2).id
    in_child = enqueue(conn, write(OLD, f'@job(payload="{payload}", executor="process")').sync, 3).id
    write(NEW, f'@job(name="shop.sync", aliases=["{OLD}:sync"], payload="{payload}")', "renamed")
    output = drain(database_url, "-q", "default:2", "--import", NEW)

    assert states(conn) == {"completed": 3}, output
    assert {"ran 1 shop.sync", f"ran 2 {OLD}:sync", f"ran 3 {OLD}:sync"} <= set(output.splitlines())
    tasks = [row_of(conn, each)["task"] for each in (named, by_module, in_child)]
    assert tasks == ["shop.sync", f"{OLD}:sync", f"{OLD}:sync"]


def test_worker_that_has_not_imported_the_job_says_what_to_do(
    write: Write, database_url: str, conn: psycopg.Connection
) -> None:
    handle = enqueue(conn, write(OLD, '@job(name="shop.sync", max_attempts=1)').sync, 1)
    write(NEW, '@job(name="shop.sync")')
    drain(database_url, "-q", "default:2")

    assert "Start it with --import MODULE" in row_of(conn, handle.id)["error"]


def test_paused_job_stays_parked_under_its_old_name(write: Write, database_url: str, conn: psycopg.Connection) -> None:
    old = enqueue(conn, write(OLD, "@job").sync, 1).id
    write(NEW, f'@job(name="shop.sync", aliases=["{OLD}:sync"])')
    assert pause_task(conn, "shop.sync")
    with work(database_url, "-q", "default:2", "--import", NEW) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_waiting WHERE held = 'task')", log=lambda: running.output)
        patterns = conn.execute("SELECT patterns FROM pgjobs.paused_tasks").fetchone()
        assert patterns is not None
        assert patterns[0][-1] == OLD.replace("_", r"\_") + ":sync"
        assert resume_task(conn, "shop.sync")
        wait_for(conn, f"(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = {old})", log=lambda: running.output)
