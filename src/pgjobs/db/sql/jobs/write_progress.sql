-- Write how far these jobs have come. A job that another attempt has by now keeps what that has written.
INSERT INTO pgjobs.progress AS p (job_id, done, total, message, state, updated_at)
SELECT u.job_id, u.done, u.total, u.message, u.state, now()
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(dones)s::float8[], %(totals)s::float8[],
            %(messages)s::text[], %(states)s::jsonb[])
     AS u (job_id, claim_number, done, total, message, state)
WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = u.job_id AND live.claims <> u.claim_number)
ORDER BY u.job_id
ON CONFLICT (job_id) DO UPDATE
SET done = coalesce(excluded.done, p.done), total = coalesce(excluded.total, p.total),
    message = coalesce(excluded.message, p.message), state = coalesce(excluded.state, p.state),
    updated_at = excluded.updated_at
