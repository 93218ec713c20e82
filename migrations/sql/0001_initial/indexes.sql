ALTER TABLE pgjobs.jobs_live ADD PRIMARY KEY (id);

-- Of all live jobs, not of the queued alone: a claim then changes no indexed column, and its new version of the row
-- goes into the same page, with no new index entries (HOT). A quarter less work for a claim, half of its WAL. The
-- condition holds for every row (its type says so), but only statements that repeat it can use the index:
-- acknowledgements, which look for ids, would else read it from end to end when a plan was made for an empty table.
CREATE INDEX jobs_live_due ON pgjobs.jobs_live (queue, priority, run_at, id) WHERE queue <> '';

-- The slots that are taken are counted from the rows that run, so that nothing can leak. A plain job is in none of
-- these.
CREATE INDEX jobs_live_limit ON pgjobs.jobs_live (limit_key) WHERE limit_key IS NOT NULL;

CREATE INDEX jobs_live_sequence ON pgjobs.jobs_live (sequence) WHERE sequence IS NOT NULL;

CREATE INDEX jobs_live_counted_queue ON pgjobs.jobs_live (counted_queue) WHERE counted_queue IS NOT NULL;

CREATE INDEX jobs_live_breaker ON pgjobs.jobs_live (breaker) WHERE breaker IS NOT NULL;

-- By id: neither of the columns is changed by a claim or an acknowledgement, so theirs stay HOT.
CREATE INDEX jobs_live_cancel ON pgjobs.jobs_live (id) WHERE cancel_reason IS NOT NULL;

ALTER TABLE pgjobs.jobs_waiting ADD PRIMARY KEY (id);

-- Turns are taken lane by lane, so what is looked up is the next lane, and the first due job of a lane.
CREATE INDEX jobs_waiting_turns ON pgjobs.jobs_waiting (queue, priority, lane, run_at, id)
    WHERE held IS NULL AND lane IS NOT NULL;

CREATE INDEX jobs_waiting_later ON pgjobs.jobs_waiting (queue, run_at) WHERE held = 'later';

CREATE INDEX jobs_waiting_sequence ON pgjobs.jobs_waiting (sequence, id) WHERE sequence IS NOT NULL;

CREATE INDEX jobs_waiting_expires ON pgjobs.jobs_waiting (queue, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX jobs_waiting_task ON pgjobs.jobs_waiting (task) WHERE held = 'task';

CREATE INDEX jobs_history_id ON pgjobs.jobs_history (id);

-- BRIN: next to free to maintain, and finished_at grows with the table's own order.
CREATE INDEX jobs_history_finished_at ON pgjobs.jobs_history USING brin (finished_at) WITH (pages_per_range = 16);

CREATE INDEX dead_jobs_died_at ON pgjobs.dead_jobs (died_at, id);

CREATE INDEX dead_jobs_sequence ON pgjobs.dead_jobs (sequence) WHERE sequence IS NOT NULL;

CREATE INDEX dependencies_job ON pgjobs.dependencies (job_id);

CREATE INDEX dependencies_unsettled ON pgjobs.dependencies (needs_id) WHERE NOT settled;

CREATE UNIQUE INDEX retention_is_one_row ON pgjobs.retention ((true));
