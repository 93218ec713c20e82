-- What runs or can be claimed. It stays small and is vacuumed early, because it is all that claims ever read. VACUUM
-- runs at the pace of the server: without pauses it took one of two cores, and half of the runs are in vain while
-- a session holds a snapshot. At 20,000 jobs/s the p99 of the pick-up latency was 15 to 38 ms without pauses, and 12 to
-- 13 with.
-- A claimed row is as long as a queued one, plus worker and time: each page has room for such versions (fillfactor).
CREATE TABLE pgjobs.jobs_live PARTITION OF pgjobs.jobs (
    CONSTRAINT jobs_live_worker_id_check CHECK (status <> 'running' OR worker_id IS NOT NULL)
) FOR VALUES IN ('queued', 'running')
    WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
          autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000, fillfactor = 45);

-- What waits gets a partition of its own, with indexes of its own: claims of plain jobs never meet it, and no index of
-- the live partition has the status in it (claims would then make new entries in all of them). A role that may only
-- enqueue inserts into this partition, and cannot choose the status: hence the default.
CREATE TABLE pgjobs.jobs_waiting PARTITION OF pgjobs.jobs (
    status DEFAULT 'waiting',
    CONSTRAINT jobs_waiting_lane_check CHECK (lane <> '' AND length(lane) <= 420),
    CONSTRAINT jobs_waiting_cost_check CHECK (cost > 0 AND cost <= 1000000),
    CONSTRAINT jobs_waiting_on_failure_check CHECK (on_failure IN ('block', 'skip', 'end')),
    CONSTRAINT jobs_waiting_needs_check CHECK (needs >= 0),
    CONSTRAINT jobs_waiting_held_check CHECK (held IN ('later', 'needs', 'task'))
) FOR VALUES IN ('waiting')
    WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
          autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000);

-- The finished, by day. Workers make the days ahead; the default partition is the net.
CREATE TABLE pgjobs.jobs_history PARTITION OF pgjobs.jobs
    FOR VALUES IN ('completed', 'failed', 'cancelled') PARTITION BY RANGE (finished_at);

CREATE TABLE pgjobs.jobs_history_default PARTITION OF pgjobs.jobs_history DEFAULT;
