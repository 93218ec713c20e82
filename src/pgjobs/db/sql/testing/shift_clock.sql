-- Move the clock of a test ahead: what is to happen in the future comes nearer by some seconds. The rows are those
-- of the test's own transaction, which is rolled back, and of its own database. Schedules keep their times: their
-- firings are times of a calendar, see `testing/firing.py`. So do tables that are partitioned by day. Functions of the
-- database take the beginning of the transaction for now: the times that they read are brought there.
WITH live AS (
    UPDATE pgjobs.jobs_live
    SET run_at = run_at - %(seconds)s::float8 * interval '1 second',
        expires_at = expires_at - %(seconds)s::float8 * interval '1 second'
), waiting AS (
    UPDATE pgjobs.jobs_waiting
    SET run_at = run_at - %(seconds)s::float8 * interval '1 second',
        expires_at = expires_at - %(seconds)s::float8 * interval '1 second'
), tokens AS (
    UPDATE pgjobs.buckets SET at = least(at, now()) - %(seconds)s::float8 * interval '1 second'
), keys AS (
    UPDATE pgjobs.unique_keys SET held_until = held_until - %(seconds)s::float8 * interval '1 second'
    WHERE held_until IS NOT NULL
), waits AS (
    UPDATE pgjobs.waits
    SET until = until - %(seconds)s::float8 * interval '1 second',
        began_at = began_at - %(seconds)s::float8 * interval '1 second'
), breakers AS (
    UPDATE pgjobs.breakers AS b
    SET until = b.until - (statement_timestamp() - now()) - %(seconds)s::float8 * interval '1 second',
        changed_at = b.changed_at - %(seconds)s::float8 * interval '1 second',
        calls = (SELECT coalesce(jsonb_agg(jsonb_set(c, '{0}', to_jsonb((c ->> 0)::float8 - %(seconds)s::float8))),
                                 '[]')
                 FROM jsonb_array_elements(b.calls) AS c)
)
SELECT 1
