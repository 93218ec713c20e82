"""Protections of what is kept beside jobs: results, progress, steps; and of waits for them."""

from __future__ import annotations

from tests.system.mutations.protection import FENCE, SQL, Protection

KEEPING = "tests/job_results/test_keeping.py"
WAITING = "tests/job_results/test_waiting.py"
FOLLOWING = "tests/job_results/test_following.py"
PROGRESS = "tests/effects/test_progress.py"
STEPS = "tests/effects/test_steps.py"
WITH_RESULTS = f"{SQL}/acknowledge/complete_with_results.sql"
WATCHER = "src/pgjobs/job_results/watcher.py"

BESIDE_JOBS = (
    # -- Results ------------------------------------------------------------------------------------------------------
    Protection(
        "the claim's number in the acknowledgement of what returned something",
        WITH_RESULTS,
        "SELECT a.id, a.claims FROM unnest",
        "SELECT a.id, live.claims FROM unnest",
        FENCE,
    ),
    Protection(
        "the worker in the acknowledgement of what returned something",
        WITH_RESULTS,
        "AND live.status = 'running' AND live.worker_id = %(worker_id)s",
        "AND live.status = 'running'",
        FENCE,
    ),
    Protection(
        "a result is written only for a job that this statement has completed",
        WITH_RESULTS,
        "WHERE CASE WHEN g.id IN (SELECT id FROM done) THEN true END",
        "WHERE true",
        (KEEPING, "-k", "stale"),
    ),
    Protection(
        "a job whose result is kept out is not completed",
        WITH_RESULTS,
        "WHERE pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM results))",
        "WHERE true",
        (KEEPING, "-k", "kept_out"),
    ),
    Protection(
        "a job whose result is kept out is not handed over",
        "src/pgjobs/worker/runtime/completing.py",
        'if cursor.execute(statement("write_results"), values).rowcount != len(ids):',
        'if cursor.execute(statement("write_results"), values).rowcount > len(ids):',
        (KEEPING, "-k", "kept_out"),
    ),
    Protection(
        "a job that runs again forgets its result",
        f"{SQL}/jobs/requeue_jobs.sql",
        "USING gone WHERE r.job_id = gone.id",
        "USING gone WHERE r.job_id = gone.id AND false",
        (KEEPING, "-k", "run_again"),
    ),
    Protection(
        "a result that has expired is not given",
        f"{SQL}/results/results_of.sql",
        " AND r.kept_until > now()",
        "",
        (WAITING, "-k", "expired"),
    ),
    Protection(
        "a result is signed for its own job",
        "src/pgjobs/payload/signing.py",
        "_RESULT(_RESULT_VERSION, job_id, is_json) + value",
        "_RESULT(_RESULT_VERSION, 0, is_json) + value",
        (WAITING, "-k", "signature"),
    ),
    Protection(
        "a job that waits for its turn has not ended",
        f"{SQL}/results/ended_jobs.sql",
        "  AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id)",
        "",
        (WAITING, "-k", "ends_otherwise"),
    ),
    Protection(
        "a wait arms the bell",
        WATCHER,
        '            connection.execute(statement("arm_result_bell"), {"seconds": ARM_FOR})\n',
        "",
        (WAITING, "-k", "a_ring"),
    ),
    Protection(
        "nothing rings while nothing waits",
        "migrations/sql/0010_results/triggers.sql",
        "CREATE TRIGGER results_ring AFTER INSERT ON pgjobs.results\n    FOR EACH STATEMENT\n"
        "    WHEN (to_timestamp(pg_sequence_last_value('pgjobs.result_bell')::float8) > clock_timestamp())",
        "CREATE TRIGGER results_ring AFTER INSERT ON pgjobs.results\n    FOR EACH STATEMENT",
        (WAITING, "-k", "a_ring"),
    ),
    Protection(
        "a wait looks by itself, too",
        WATCHER,
        "            pause = min(self._pause, most)\n",
        "            pause = 60.0\n",
        (WAITING, "-k", "outlive"),
    ),
    Protection(
        "a wait in the transaction that has enqueued its job is refused",
        "src/pgjobs/job_results/source.py",
        "    if visible:\n        raise UsageError(",
        "    if visible and not visible:\n        raise UsageError(",
        (WAITING, "-k", "is_refused"),
    ),
    # -- Progress and steps -------------------------------------------------------------------------------------------
    Protection(
        "an attempt that was taken back does not overwrite progress",
        f"{SQL}/jobs/write_progress.sql",
        " AND live.claims <> u.claim_number",
        " AND false",
        (PROGRESS, "-k", "taken_back"),
    ),
    Protection(
        "what a report does not say stays",
        f"{SQL}/jobs/write_progress.sql",
        "message = coalesce(excluded.message, p.message)",
        "message = excluded.message",
        (PROGRESS, "-k", "not_said"),
    ),
    Protection(
        "progress of what may run again stays",
        f"{SQL}/maintenance/purge_progress.sql",
        "      AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = p.job_id)\n",
        "",
        (PROGRESS, "-k", "old_progress"),
    ),
    Protection(
        "progress that is refused stops no others",
        "src/pgjobs/effects/progress.py",
        "                self._flush({job: report})\n",
        "                pass\n",
        (PROGRESS, "-k", "refused"),
    ),
    Protection(
        "progress is kept while there is no database",
        "src/pgjobs/effects/progress.py",
        "        except (OperationalError, InterfaceError, ConnectError) as error:",
        "        except (OperationalError, InterfaceError) as error:",
        (PROGRESS, "-k", "cannot_be_reached"),
    ),
    Protection(
        "the first value of a step stays",
        f"{SQL}/jobs/write_step.sql",
        "ON CONFLICT (job_id, key) DO NOTHING",
        "ON CONFLICT (job_id, key) DO UPDATE SET value = excluded.value",
        (STEPS, "-k", "first_value"),
    ),
    Protection(
        "steps of what may run again stay",
        f"{SQL}/maintenance/purge_steps.sql",
        "      AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = s.job_id)\n",
        "",
        (STEPS, "-k", "old_steps"),
    ),
    Protection(
        "a step is looked up before it is done",
        "src/pgjobs/jobs/context.py",
        "        found = reporter.read_step(job, key)\n        if found is None:",
        "        found = None\n        if found is None:",
        (STEPS, "-k", "done_once_over_all"),
    ),
    # -- Following ----------------------------------------------------------------------------------------------------
    Protection(
        "who follows is told once more when the job has ended",
        WATCHER,
        "            self._follow_at = 0.0  # those who follow it are told once more\n",
        "",
        (FOLLOWING, "-k", "bell"),
    ),
    Protection(
        "the end of a job that is followed waits for its last word",
        "src/pgjobs/job_results/following.py",
        "self._end, self._until = event, time.monotonic() + (LAST_WORD if self._has_looked else FIRST_LOOK)",
        "self._end, self._until = event, 0.0",
        (FOLLOWING, "-k", "last_word_of_a_job"),
    ),
    Protection(
        "who stops following is forgotten",
        WATCHER,
        "            self._followers.pop(sink, None)",
        "            pass",
        (FOLLOWING, "-k", "leaves_nothing"),
    ),
    Protection(
        "a wait of an earlier attempt is not named",
        f"{SQL}/diagnose/why.sql",
        "JOIN pgjobs.progress AS p ON p.job_id = l.id AND p.waits_claim = l.claims",
        "JOIN pgjobs.progress AS p ON p.job_id = l.id",
        ("tests/diagnose/test_why.py", "-k", "attempt_that_waits"),
    ),
    Protection(
        "a wait that is over is taken back",
        "src/pgjobs/job_results/in_job.py",
        "            report_wait(self._job, ())",
        "            pass",
        ("tests/job_results/test_in_job.py", "-k", "taken_back"),
    ),
)
