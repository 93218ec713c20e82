-- Rings for those who wait, once for each statement. Like the doorbell it is never a reason to fail: see pgjobs.ring.
-- The channel is spelled out as in doorbell_channel.
CREATE FUNCTION pgjobs.ring_results() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pgjobs.ring(
        CASE WHEN pg_catalog.length('pgjobs'::pg_catalog.text) OPERATOR(pg_catalog.<=) 20 THEN 'pgjobs'
             ELSE pg_catalog.left('pgjobs', 11) OPERATOR(pg_catalog.||) '_'
                  OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.md5('pgjobs'::pg_catalog.text), 8) END
        OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) 'results'::pg_catalog.text);
    RETURN NULL;
END $$;

-- NOTIFY takes a database-wide lock at commit, so nothing rings while nothing waits: the condition is read without a
-- snapshot or a query. What completes with a result rings, and what dies. What is cancelled is found by polling.
CREATE TRIGGER results_ring AFTER INSERT ON pgjobs.results
    FOR EACH STATEMENT
    WHEN (to_timestamp(pg_sequence_last_value('pgjobs.result_bell')::float8) > clock_timestamp())
    EXECUTE FUNCTION pgjobs.ring_results();

CREATE TRIGGER dead_jobs_ring_results AFTER INSERT ON pgjobs.dead_jobs
    FOR EACH STATEMENT
    WHEN (to_timestamp(pg_sequence_last_value('pgjobs.result_bell')::float8) > clock_timestamp())
    EXECUTE FUNCTION pgjobs.ring_results();
