-- The newest results of these jobs that have not expired.
SELECT DISTINCT ON (r.job_id) r.job_id, r.value, r.is_json, r.signature
FROM pgjobs.results AS r
WHERE r.job_id = ANY (%(ids)s::bigint[]) AND r.kept_until > now()
ORDER BY r.job_id, r.stored_at DESC
