"""What protects, how it is taken out, and which test notices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protection:
    """`what` it is. In `path` (below the project) `old` becomes `new`; then `test` (pytest's arguments) fails."""

    what: str
    path: str
    old: str
    new: str
    test: tuple[str, ...]


SQL = "src/pgjobs/db/sql"
FENCE = ("tests/system/model/test_fence.py",)
PAIRS = ("tests/system/model/test_interleavings.py",)
MODEL = ("tests/system/model/test_model.py",)
CHAOS = "tests/system/chaos/test_slice.py"
FIRING = "tests/schedules/test_firing.py"

PROTECTIONS = (
    # -- Claims and acknowledgements ---------------------------------------------------------------------------------
    Protection(
        "the claim's number in the acknowledgement of what completed",
        f"{SQL}/acknowledge/complete.sql",
        "SELECT a.id, a.claims FROM",
        "SELECT a.id, live.claims FROM",
        FENCE,
    ),
    Protection(
        "the worker in the acknowledgement of what completed",
        f"{SQL}/acknowledge/complete.sql",
        "AND live.status = 'running' AND live.worker_id = %(worker_id)s",
        "AND live.status = 'running'",
        FENCE,
    ),
    Protection(
        "the claim's number in a retry", f"{SQL}/acknowledge/retry.sql", " AND live.claims = a.claims", "", FENCE
    ),
    Protection(
        "the claim's number in a snooze",
        f"{SQL}/acknowledge/snooze.sql",
        " AND live.claims = a.claims",
        "",
        ("tests/worker/executors/test_holdups.py", "-k", "snoozed"),
    ),
    Protection(
        "the claim's number when a job is handed back",
        f"{SQL}/acknowledge/hand_back.sql",
        " AND live.claims = a.claims",
        "",
        FENCE,
    ),
    Protection(
        "a claim skips what another one has locked",
        f"{SQL}/claim/claim.sql",
        "        FOR UPDATE SKIP LOCKED\n",
        "",
        FENCE,
    ),
    Protection(
        "nothing is claimed for a worker that is considered dead",
        f"{SQL}/claim/claim.sql",
        "\n      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)",
        "",
        FENCE,
    ),
    Protection(
        "a cancellation leaves alone what is claimed at the same moment",
        f"{SQL}/jobs/cancel_jobs.sql",
        " AND live.status IN ('queued', 'waiting')",
        "",
        ("tests/admin/test_jobs.py",),
    ),
    *(
        Protection(
            f"what was asked to be cancelled is not {done}",
            f"{SQL}/acknowledge/{name}.sql",
            "AND live.cancel_reason IS NULL",
            "",
            FENCE,
        )
        for name, done in (
            ("retry", "retried"),
            ("hand_back", "handed back"),
            ("snooze", "snoozed"),
            ("fail", "failed"),
        )
    ),
    Protection(
        "who resumes a task waits for who parks its jobs",
        f"{SQL}/acknowledge/park_task.sql",
        " FOR KEY SHARE",
        "",
        ("tests/worker/claim/test_pauses.py", "-k", "waits_for_who_parks"),
    ),
    Protection(
        "who cancels a job by force raises in no other one",
        "src/pgjobs/worker/executors/cancel_in_thread.py",
        "            if self.job is job:\n",
        "            if True:\n",
        ("tests/worker/executors/test_cancel_in_thread.py",),
    ),
    Protection(
        "a replay takes each letter once",
        f"{SQL}/dead/pick_dead.sql",
        "FOR UPDATE SKIP LOCKED\n",
        "",
        ("tests/admin/test_dead.py", *PAIRS),
    ),
    Protection(
        "a failed job and its dead letter are written together",
        f"{SQL}/acknowledge/fail.sql",
        "    FROM gone\n    ON CONFLICT",
        "    FROM gone WHERE attempt < 0\n    ON CONFLICT",
        ("tests/db/test_job_rows.py",),
    ),
    Protection(
        "a move between tables fails where a trigger of others keeps the row out",
        "migrations/sql/0005_kept_rows/moves.sql",
        "IF kept < gone THEN",
        "IF false THEN",
        ("tests/db/test_moves.py",),
    ),
    Protection(
        "an outcome that is kept out holds up no other",
        "src/pgjobs/worker/acknowledge/outcome_writer.py",
        "if half:  # those that others refuse stop no others",
        "if False:",
        ("tests/worker/acknowledge/test_kept_out.py",),
    ),
    Protection(
        "an acknowledgement does not wait for what another transaction has locked",
        "src/pgjobs/worker/acknowledge/outcome_writer.py",
        "            except psycopg.errors.LockNotAvailable:",
        "            except ZeroDivisionError:",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a job that is acknowledged later is not forgotten",
        "src/pgjobs/worker/acknowledge/acknowledger.py",
        "self._held.replace(flush.batch, flush.held)",
        "pass",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "as many jobs of a limit start as end, beside what others claim",
        "src/pgjobs/db/sql/acknowledge/complete_and_refill_limits.sql",
        "SELECT least(e.jobs, m.concurrency",
        "SELECT least(99, m.concurrency",
        ("tests/system/model/test_hand_over_pairs.py", "-k", "beside_something_else"),
    ),
    Protection(
        "lanes share what is left of a limit that was lowered",
        "src/pgjobs/db/sql/acknowledge/complete_and_refill_limits.sql",
        "ORDER BY d.queue DESC, d.priority DESC, d.lane DESC",
        "",
        ("tests/worker/acknowledge/test_hand_over.py", "-k", "share_what_is_left"),
    ),
    Protection(
        "nothing of a limit with a rate starts without a claim",
        "src/pgjobs/db/sql/acknowledge/complete_and_refill_limits.sql",
        "WHERE m.rate IS NULL",
        "WHERE true",
        ("tests/worker/acknowledge/test_hand_over.py", "-k", "look_at_more"),
    ),
    Protection(
        "a dead letter holds up what comes next in its sequence",
        "src/pgjobs/db/sql/acknowledge/complete_and_continue_sequences.sql",
        "AND NOT EXISTS (SELECT FROM pgjobs.blocking_letters(d.sequence))",
        "",
        ("tests/worker/acknowledge/test_hand_over.py", "-k", "look_at_more"),
    ),
    Protection(
        "of a sequence the first job comes next",
        "src/pgjobs/db/sql/acknowledge/complete_and_continue_sequences.sql",
        "WHERE f.sequence = d.sequence ORDER BY f.id LIMIT 1",
        "WHERE f.sequence = d.sequence ORDER BY f.id DESC LIMIT 1",
        ("tests/system/model/test_flow_model.py",),
    ),
    Protection(
        "nothing is handed over in a queue that is paused or has a limit",
        "src/pgjobs/db/sql/acknowledge/complete_and_continue_sequences.sql",
        "(q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL)",
        "false",
        ("tests/worker/acknowledge/test_hand_over.py", "-k", "look_at_more"),
    ),
    Protection(
        "nothing is handed over to a queue that closes",
        "src/pgjobs/worker/acknowledge/outcome_writer.py",
        "if patient and not any(job.local_queue.closing for job, _, _ in batch)",
        "if patient",
        ("tests/worker/acknowledge/test_hand_over.py", "-k", "queue_that_closes"),
    ),
    Protection(
        "a migration takes its locks together",
        "migrations/sql/0007_trusted_rows/upgrade.sql",
        "FOR try IN 1..50 LOOP",
        "FOR try IN 1..0 LOOP",
        ("tests/db/test_migration_under_load.py",),
    ),
    Protection(
        "why names who has the lock of a key",
        "src/pgjobs/db/sql/diagnose/why.sql",
        "l.transactionid = k.xmax AND l.granted",
        "false",
        ("tests/diagnose/test_why.py", "-k", "lock_of_a_key"),
    ),
    Protection(
        "a released job that is locked is released later",
        "src/pgjobs/db/sql/flow/release_dependents.sql",
        "    SET settled = false",
        "    SET settled = true",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a cancelled job that is locked is cancelled later",
        "src/pgjobs/db/sql/flow/cancel_dependents.sql",
        "    SET settled = false",
        "    SET settled = true",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a sequence that has not ended completely does not go on",
        "src/pgjobs/db/sql/flow/end_sequences.sql",
        "AND NOT EXISTS (SELECT FROM waiting AS w WHERE w.letter = l.id AND w.id NOT IN (SELECT id FROM free))",
        "",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a rescue does not wait for rows that others have locked",
        "src/pgjobs/worker/supervisor/rescue.py",
        "settlements, written=written, patient=False)",
        "settlements, written=written)",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a breaker that is locked holds up no other",
        "src/pgjobs/worker/acknowledge/breaker_recorder.py",
        "            except psycopg.errors.LockNotAvailable:\n                continue",
        "            except ZeroDivisionError:\n                continue",
        ("tests/worker/acknowledge/test_held_rows.py",),
    ),
    Protection(
        "a claim that could not come over asks for less the next time",
        "src/pgjobs/worker/claim/producer.py",
        "            self._claim_size.failed(asked, time.monotonic() - began)\n",
        "",
        ("tests/worker/claim/test_claim_size.py",),
    ),
    Protection(
        "what ends while it is looked for is looked for again",
        "src/pgjobs/db/query.py",
        "for _ in range(2):  # a job that ends",
        "for _ in range(1):  # a job that ends",
        ("tests/admin/test_jobs.py", "-k", "while_it_is_looked_for"),
    ),
    Protection(
        "a search of history lets the locks of days go on its way",
        "migrations/sql/0003_bell_and_history/history.sql",
        " OR looked % 16 = 0;",
        ";",
        ("tests/db/test_history_look_ups.py", "-k", "on_its_way"),
    ),
    Protection(
        "where policies may hide rows it is said",
        "src/pgjobs/db/row_security.py",
        "if hidden := hidden_tables(conn, kinds):",
        "if hidden := []:",
        ("tests/db/test_row_security.py",),
    ),
    # -- Dead workers ------------------------------------------------------------------------------------------------
    Protection(
        "a worker stays in the table while it has jobs that were locked when it was rescued",
        f"{SQL}/workers/remove_worker.sql",
        "\n  AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.status = 'running' "
        "AND live.worker_id = w.id)",
        "",
        ("tests/worker/supervisor/test_rescue.py", "-k", "locked"),
    ),
    Protection(
        "after a restart of the server all workers get time for a heartbeat",
        f"{SQL}/workers/silent_workers.sql",
        "\n  AND pg_postmaster_start_time() < now() - %(timeout)s * interval '1 second'",
        "",
        ("tests/worker/executors/test_holdups.py", "-k", "no_worker_is_considered_dead"),
    ),
    Protection(
        "after any other outage too",
        "src/pgjobs/worker/supervisor/heartbeat.py",
        "return now - self._last <= self._gap and now - self._steady_since >= self._rescue_after",
        "return True",
        ("tests/worker/supervisor/test_outages.py", "-k", "outlives"),
    ),
    Protection(
        "what ran when its worker died gets a process of its own next",
        "src/pgjobs/worker/supervisor/rescue.py",
        "return after_loss(error, *budget, isolate=True, traceback=worker_exit.report)",
        "return after_loss(error, *budget, traceback=worker_exit.report)",
        ("tests/worker/supervisor/test_deaths.py", "tests/worker/supervisor/test_rescue.py"),
    ),
    Protection(
        "what had not started when its worker died does not count",
        "src/pgjobs/worker/supervisor/rescue.py",
        "    if claim not in worker_exit.started:\n        return RELEASED\n",
        "",
        ("tests/worker/supervisor/test_deaths.py", "tests/worker/supervisor/test_rescue.py"),
    ),
    Protection(
        "what the server still does for a dead worker is ended",
        "src/pgjobs/worker/supervisor/rescue.py",
        "    terminate_backends(connection, worker_exit.worker_id)\n",
        "",
        ("tests/worker/executors/test_holdups.py", "-k", "strands_no_job"),
    ),
    Protection(
        "jobs whose worker has no row are taken back",
        "src/pgjobs/worker/supervisor/maintenance.py",
        "            rescue_orphans(connection)\n",
        "            pass\n",
        ("tests/worker/supervisor/test_rescue.py", "-k", "no_row"),
    ),
    Protection(
        "a child process dies with its worker",
        "src/pgjobs/core/processes.py",
        "ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)",
        "pass",
        ("tests/worker/supervisor/test_rescue.py", "-k", "dies_with_its_worker"),
    ),
    Protection(
        "programs that a job started end before it is given back",
        "src/pgjobs/worker/supervisor/worker_handle.py",
        "        kill_group(self.pid)\n        for group in self._scoreboard.groups():\n"
        "            kill_group(group)\n",
        "",
        ("tests/worker/executors/test_processes_of_jobs.py", "-k", "before_its_job_is_given_back"),
    ),
    Protection(
        "what a job forks does not keep the handlers of its worker",
        "src/pgjobs/worker/runtime/process_guard.py",
        "after_in_child=_forget_handlers)",
        "after_in_child=_release_signals)",
        ("tests/worker/executors/test_processes_of_jobs.py", "-k", "as_it_would_elsewhere"),
    ),
    Protection(
        "a log that nothing reads is not waited for",
        "src/pgjobs/telemetry/line_output.py",
        "    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or is_terminal else None",
        "    return None",
        ("tests/worker/supervisor/test_bad_moments.py", "-k", "log_that_nothing_reads"),
    ),
    Protection(
        "a replacement that cannot be imported ends no healthy process",
        "src/pgjobs/worker/supervisor/supervisor.py",
        "        if worker.unfit and not self._proven:",
        "        if worker.unfit:",
        ("tests/worker/supervisor/test_bad_moments.py", "-k", "ends_no_healthy_process"),
    ),
    Protection(
        "a job whose child process cannot be started is not charged",
        "src/pgjobs/worker/executors/threads.py",
        "                        outcome = self._given_back(error)\n",
        "                        outcome = outcome_of(job, error)\n",
        ("tests/worker/supervisor/test_bad_moments.py", "-k", "want_of_files"),
    ),
    # -- Outages -----------------------------------------------------------------------------------------------------
    Protection(
        "statements have a deadline",
        "src/pgjobs/db/deadline.py",
        "if not ready and time.monotonic() > until:",
        "if time.monotonic() < 0:",
        ("tests/db/test_deadline.py",),
    ),
    Protection(
        "what a claim took whose answer was lost is handed back",
        "src/pgjobs/worker/claim/producer.py",
        "lost = [claim for claim in map(Claim._make, rows) if claim not in known]",
        "lost: list[Claim] = []",
        ("tests/worker/supervisor/test_outages.py", "-k", "handed_back"),
    ),
    Protection(
        "a job whose claim PostgreSQL forgot, and that is claimed again, does not run twice",
        "src/pgjobs/worker/local/local_queue.py",
        "if not running.keys().isdisjoint(ids):",
        "if not ids:",
        ("tests/worker/local/test_local_queue.py", "-k", "postgresql_forgot"),
    ),
    Protection(
        "a job that ended does not take the place of a later claim of it",
        "src/pgjobs/worker/local/local_queue.py",
        "if running.get(job.id) is job:",
        "if job.id in running:",
        ("tests/worker/local/test_local_queue.py", "-k", "claimed_again_stays"),
    ),
    Protection(
        "an acknowledgement is tried until the server takes it",
        "src/pgjobs/worker/runtime/reconnecting.py",
        "                self.close()\n                if self._stop",
        "                self.close()\n                if self._async_commit is False:\n                    raise\n"
        "                if self._stop",
        (CHAOS, "-k", "terminate"),
    ),
    Protection(
        "pauses between tries grow",
        "src/pgjobs/worker/runtime/reconnecting.py",
        "pause = min(self._longest_pause, pause * 2)",
        "pause = 0.0",
        (CHAOS, "-k", "read-only or kill"),
    ),
    # -- Enqueuing ---------------------------------------------------------------------------------------------------
    Protection(
        "the queue is signed",
        "src/pgjobs/payload/signing.py",
        '        queue.encode("utf-8", "surrogatepass"),\n',
        "",
        ("tests/payload/test_signing.py",),
    ),
    Protection(
        "the timeout is signed",
        "src/pgjobs/payload/signing.py",
        '        b"" if timeout is None else _REAL(timeout),\n',
        "",
        ("tests/payload/test_signing.py",),
    ),
    Protection(
        "fields are signed with their lengths",
        "src/pgjobs/payload/signing.py",
        'b"".join([_FIELD(len(value)) + value for value in values])',
        'b"".join(values)',
        ("tests/payload/test_signing.py",),
    ),
    Protection(
        "a worker with a key refuses what is not signed",
        "src/pgjobs/worker/executors/invoke.py",
        "    if current_settings.signing_keys:\n",
        "    if current_settings.signing_keys and job.signature:\n",
        ("tests/worker/executors/test_signatures.py",),
    ),
    # -- Rights ------------------------------------------------------------------------------------------------------
    Protection(
        "a schema's name is looked at before it is put into SQL",
        "src/pgjobs/core/config.py",
        "not _SCHEMA_NAME.fullmatch(schema)",
        "not schema",
        ("tests/core/test_config.py",),
    ),
    Protection(
        "the role that enqueues writes only the columns of jobs that are to be run",
        "src/pgjobs/db/roles.py",
        "GRANT INSERT ({_ENQUEUED}), SELECT (id) ON",
        "GRANT INSERT, SELECT (id) ON",
        ("tests/db/test_roles.py",),
    ),
    Protection(
        "the role that enqueues reads no job",
        "src/pgjobs/db/roles.py",
        "SELECT (id) ON pgjobs.jobs TO",
        "SELECT ON pgjobs.jobs TO",
        ("tests/db/test_roles.py",),
    ),
    Protection(
        "what libpq says of a URL shows no password",
        "src/pgjobs/db/connection.py",
        "redact(str(error), url).splitlines()",
        "str(error).splitlines()",
        ("tests/system/fuzz/test_command_line.py", "-k", "password"),
    ),
    Protection(
        "our connections depend on no setting of others",
        "src/pgjobs/db/connection.py",
        "                connection.execute_all(session_settings(connection.info.server_version))\n",
        "",
        ("tests/system/test_settings_of_others.py", "-k", "own_connections"),
    ),
    Protection(
        "a folder of another user chooses no database",
        "src/pgjobs/embedded/directory.py",
        "        if found.st_uid not in own:",
        "        if False:",
        ("tests/embedded/test_root.py", "-k", "another_user"),
    ),
    # -- Payloads ----------------------------------------------------------------------------------------------------
    Protection(
        "a payload gives a state only to what it has made itself",
        "src/pgjobs/payload/safe/machine.py",
        "        self.check_own(target)\n        self.set_state",
        "        self.set_state",
        ("tests/payload/safe/test_unpickle.py",),
    ),
    Protection(
        "a payload puts items only into what it has made itself",
        "src/pgjobs/payload/safe/machine.py",
        "        self.check_own(target, dict)\n",
        "",
        ("tests/payload/safe/test_unpickle.py",),
    ),
    Protection(
        "what a module has imported is not the module's",
        "src/pgjobs/payload/safe/unpickler.py",
        "if isinstance(found, ModuleType) or not is_permitted(found, self._allow):",
        "if isinstance(found, ModuleType):",
        ("tests/payload/safe/test_unpickle.py", "tests/payload/test_allow.py"),
    ),
    Protection(
        "nothing is called but what was resolved",
        "src/pgjobs/payload/safe/unpickler.py",
        "known = self._callable.get(id(function))\n",
        "known = self._callable.get(id(function), (function, _permitted))\n",
        ("tests/payload/safe/test_unpickle.py",),
    ),
    Protection(
        "what is to be run is on the list",
        "src/pgjobs/payload/safe/unpickler.py",
        "if not is_permitted(called, allow):",
        "if False:",
        ("tests/payload/safe/test_unpickle.py",),
    ),
    Protection(
        "the fields of what a child process answers are looked at",
        "src/pgjobs/worker/executors/outcome_codec.py",
        "    if wrong:\n",
        "    if False:\n",
        ("tests/worker/executors/test_outcome_codec.py",),
    ),
    Protection(
        "a worker that takes JSON alone imports no module that a row names",
        "src/pgjobs/payload/json_format.py",
        "        if not may_import and sys.modules.get(module) is None:",
        "        if False:",
        ("tests/payload/test_json_format.py", "-k", "imports_no_module"),
    ),
    Protection(
        "an exception of any size costs a bounded amount",
        "src/pgjobs/core/error_text.py",
        "    if _is_ordinary(error):\n",
        "    if True:\n",
        ("tests/core/test_text.py", "-k", "any_size"),
    ),
    Protection(
        "objects of an ORM are refused, also among plain values",
        "src/pgjobs/payload/fast_pickle.py",
        " or may_have_some(rest)",
        "",
        ("tests/payload/test_orm_objects.py", "-k", "is_refused"),
    ),
    Protection(
        "a key of an argument that a decorator shifts is refused",
        "src/pgjobs/payload/keys.py",
        "        if self._unsure and not self._parameters.is_plausible(args, kwargs):",
        "        if False:",
        ("tests/enqueue/test_decorators.py", "-k", "shifts_is_refused"),
    ),
    # -- Jobs --------------------------------------------------------------------------------------------------------
    Protection(
        "a worker process whose files a job closed ends",
        "src/pgjobs/worker/process.py",
        "        if not intact():\n",
        "        if False:\n",
        ("tests/worker/supervisor/test_leftovers.py",),
    ),
    Protection(
        "after a failover a worker process is replaced",
        "src/pgjobs/worker/claim/producer.py",
        "        if before not in (None, self._timeline):\n",
        "        if False:\n",
        ("tests/worker/supervisor/test_outages.py", "-k", "after_a_failover"),
    ),
    Protection(
        "a job begins with nothing that others have set",
        "src/pgjobs/worker/executors/threads.py",
        "            outcome = context.run(call_now, job, call)\n",
        "            outcome = call_now(job, call)\n",
        ("tests/worker/executors/test_contexts.py", "-k", "begins_with_nothing"),
    ),
    Protection(
        "what a job returns and can be awaited is awaited",
        "src/pgjobs/worker/executors/awaiting.py",
        'if kind is CoroutineType or hasattr(kind, "__await__"):',
        "if kind is CoroutineType:",
        ("tests/worker/executors/test_contexts.py", "-k", "can_be_awaited"),
    ),
    Protection(
        "a coroutine that is cancelled at the end of the grace is handed back",
        "src/pgjobs/worker/executors/threads.py",
        "return handed_back(outcome) if self._ending else outcome",
        "return outcome",
        ("tests/worker/executors/test_contexts.py", "-k", "end_of_the_grace"),
    ),
    Protection(
        "a timeout is raised where no lock stays locked",
        "src/pgjobs/worker/executors/safe_place.py",
        "    if not is_safe(frame) or _is_handling(thread, error):",
        "    if _is_handling(thread, error):",
        ("tests/worker/executors/test_safe_place.py", "-k", "which_it_would_not_release"),
    ),
    Protection(
        "and where the thread still is after the look",
        "src/pgjobs/worker/executors/safe_place.py",
        'map(partial(eq, place), zip(now, map(attrgetter("f_lasti"), same), strict=True))',
        "map(partial(eq, frame), now)",
        ("tests/worker/executors/test_safe_place.py", "-k", "moved_on"),
    ),
    Protection(
        "a group of exceptions is worth another attempt if all in it is",
        "src/pgjobs/jobs/retry.py",
        "return all(isinstance(part, self.retry_on) for part in parts)",
        "return any(isinstance(part, self.retry_on) for part in parts)",
        ("tests/jobs/test_retry.py", "-k", "looks_at_what_is_in_a_group"),
    ),
    Protection(
        "a generator of which nothing has run is a failure",
        "src/pgjobs/worker/executors/awaiting.py",
        '    what = "generator" if generator is result',
        '    return False\n    what = "generator" if generator is result',
        ("tests/worker/executors/test_contexts.py", "-k", "nothing_has_run"),
    ),
    # -- Schedules ---------------------------------------------------------------------------------------------------
    Protection(
        "who fires a schedule locks it",
        f"{SQL}/schedules/lock_schedule.sql",
        "FOR NO KEY UPDATE SKIP LOCKED\n",
        "",
        (FIRING, "-k", "eight_at_once"),
    ),
    Protection(
        "a firing that was enqueued is not enqueued again",
        "src/pgjobs/schedules/firing.py",
        " if last is None or firing > last",
        "",
        (FIRING, "-k", "set_back"),
    ),
    Protection(
        "the firing and the move of its schedule are one transaction",
        "src/pgjobs/schedules/firing.py",
        "with conn.transaction(), conn.cursor(",
        "with conn.cursor(",
        (FIRING, "-k", "dies_before"),
    ),
    Protection(
        "who is alive, or down, keeps the schedules that it declares",
        "src/pgjobs/schedules/sync.py",
        "sorted(kept(owners, now))",
        "sorted(schedules)",
        ("tests/schedules/test_declare.py", "-k", "last_declarer or operators_keep"),
    ),
    Protection(
        "a pause survives declarations",
        f"{SQL}/schedules/upsert_schedule.sql",
        "payload = excluded.payload, retired_at = NULL,",
        "payload = excluded.payload, retired_at = NULL, paused_at = NULL,",
        ("tests/schedules/test_declare.py", "-k", "pause_survives"),
    ),
)
