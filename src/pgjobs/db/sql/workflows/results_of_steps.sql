-- What the jobs of these nodes have returned, in their order, and how they have ended.
SELECT s.node, s.n, s.job_id, s.name, s.status, r.value, r.is_json, r.signature
FROM pgjobs.workflow_steps AS s
LEFT JOIN LATERAL (
    SELECT k.value, k.is_json, k.signature
    FROM pgjobs.results AS k
    WHERE k.job_id = s.job_id AND k.kept_until > now()
    ORDER BY k.stored_at DESC
    LIMIT 1
) AS r ON s.status = 'completed'
WHERE s.workflow_id = %(workflow)s AND s.node = ANY (%(nodes)s::bigint[]) AND s.kind IS NULL
ORDER BY s.node, s.n
