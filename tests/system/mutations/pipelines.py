"""Protections of pipelines: what is passed on, and how much room there is."""

from __future__ import annotations

from tests.system.mutations.protection import SQL, Protection

COMPLETING = "tests/pipelines/test_completing.py"
CLAIMS = "tests/pipelines/test_claims.py"
DECLARE = "tests/pipelines/test_declare.py"
RUNNING = "tests/pipelines/test_running.py"
FUNCTIONS = "migrations/sql/0016_pipelines/functions.sql"
COMPLETE = "src/pgjobs/worker/runtime/completing.py"

PIPELINES = (
    Protection(
        "what an earlier try has passed on is not passed on again",
        COMPLETE,
        "for claim, got in outcomes.items() if claim.job_id in done and got.items]",
        "for claim, got in outcomes.items() if got.items]",
        (COMPLETING, "-k", "second_try or stale"),
    ),
    Protection(
        "an item that is awaited is passed on, too",
        COMPLETE,
        "            done |= released\n        _write_results",
        "        _write_results",
        (COMPLETING, "-k", "released_by_its_end"),
    ),
    Protection(
        "an item is not completed if what it leads to is kept out",
        "src/pgjobs/worker/runtime/pass_on.py",
        '.rowcount != len(values["payloads"]):',
        '.rowcount > len(values["payloads"]):',
        (COMPLETING, "-k", "keep_out"),
    ),
    Protection(
        "what waits in the next stage takes up room",
        FUNCTIONS,
        "p.at_most - (SELECT count(*)",
        "p.at_most - (SELECT 0 * count(*)",
        (CLAIMS, "-k", "what_the_next_stage"),
    ),
    Protection(
        "what runs in a stage takes up room in the next one",
        f"{SQL}/claim/claim_waiting.sql",
        "coalesce(%(counted_queue)s::text, E'\\x1f' || nullif(split_part(lane, E'\\x1f', 6), ''))",
        "%(counted_queue)s::text",
        (CLAIMS, "-k", "what_the_next_stage"),
    ),
    Protection(
        "a claim takes no more than there is room for",
        "src/pgjobs/worker/claim/stage_rooms.py",
        "return wanted if room is None else min(wanted, room)",
        "return wanted",
        (CLAIMS, "-k", "what_the_next_stage"),
    ),
    Protection(
        "items of several priorities share the room",
        "src/pgjobs/worker/claim/stage_rooms.py",
        "self._rooms[stage] = room - items",
        "self._rooms[stage] = room",
        (CLAIMS, "-k", "all_priorities"),
    ),
    Protection(
        "lanes of a stage without room are not picked",
        f"{SQL}/claim/pick_lanes.sql",
        "split_part(l.lane, E'\\x1f', 6) <> ALL (%(full)s::text[])",
        "%(full)s::text[] IS NOT NULL",
        (CLAIMS, "-k", "many_lanes"),
    ),
    Protection(
        "lanes of a stage without room are left out of walks",
        f"{SQL}/claim/blocked_lanes.sql",
        "WHEN split_part(l.lane, E'\\x1f', 6) = ANY (%(full)s::text[])",
        "WHEN %(full)s::text[] IS NULL",
        (CLAIMS, "-k", "many_lanes"),
    ),
    Protection(
        "lanes that were left out are looked at when their stage has room again",
        "src/pgjobs/worker/claim/lane_claims.py",
        "if key.removeprefix(STAGE) not in rooms.full]",
        "if key in ()]",
        (CLAIMS, "-k", "many_lanes"),
    ),
    Protection(
        "a pause of a pipeline holds its first stage alone",
        FUNCTIONS,
        "p.paused_at IS NOT NULL AND s.place = 1",
        "p.paused_at IS NOT NULL",
        (CLAIMS, "-k", "paused"),
    ),
    Protection(
        "a limit of a queue counts the items that ran before",
        f"{SQL}/claim/count_earlier_jobs.sql",
        "(j.counted_queue IS NULL OR starts_with(j.counted_queue, E'\\x1f'))",
        "j.counted_queue IS NULL",
        (CLAIMS, "-k", "limit_of_their_queue"),
    ),
    Protection(
        "a sequence is one of its stage",
        "src/pgjobs/jobs/pipeline.py",
        'replace(sequence, key=f"{prefix}:{sequence.key}")',
        "sequence",
        (DECLARE, "-k", "stage_alone"),
    ),
    Protection(
        "the module that declares a pipeline has to be on the allow-list",
        "src/pgjobs/payload/stage.py",
        "if allow is not None and not allow.permits_module(module):",
        "if allow is None and module is None:",
        (DECLARE, "-k", "has_to_be_allowed"),
    ),
    Protection(
        "a stage whose result is to be passed on does not end itself",
        "src/pgjobs/effects/complete.py",
        'if getattr(job.function, "following", None) is not None:',
        "if job.function is None:",
        (RUNNING, "-k", "cannot_be_passed_on"),
    ),
    Protection(
        "what a generator yields is bounded",
        "src/pgjobs/payload/stage.py",
        "if len(self._payloads) > MAX_ITEMS or",
        "if len(self._payloads) > 2 * MAX_ITEMS or",
        (RUNNING, "-k", "cannot_be_passed_on"),
    ),
)
