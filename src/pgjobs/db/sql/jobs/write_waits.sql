-- Write for which jobs these running jobs wait; NULL: they wait no longer. A job that another attempt has by now keeps
-- what that has written.
INSERT INTO pgjobs.progress AS p (job_id, waits_for, waits_claim)
SELECT u.job_id, u.waits_for::bigint[], u.claim_number
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(waits)s::text[]) AS u (job_id, claim_number, waits_for)
WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = u.job_id AND live.claims <> u.claim_number)
ORDER BY u.job_id
ON CONFLICT (job_id) DO UPDATE SET waits_for = excluded.waits_for, waits_claim = excluded.waits_claim
