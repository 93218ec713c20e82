-- Delete keys that nothing holds. A transaction may have taken one since the look: then it has another job, or is
-- locked, and stays.
DELETE FROM pgjobs.unique_keys
WHERE ctid = ANY (ARRAY (
    SELECT k.ctid
    FROM unnest(%(keys)s::text[], %(job_ids)s::bigint[]) AS a (key, job_id)
    JOIN pgjobs.unique_keys AS k ON k.key = a.key AND k.job_id IS NOT DISTINCT FROM a.job_id
    FOR UPDATE OF k SKIP LOCKED))
