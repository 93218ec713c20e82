-- Enqueue what the workflow calls now; what it can no longer call goes.
WITH called AS MATERIALIZED (
    SELECT pgjobs.call_back(%(workflow)s::bigint, %(kind)s::text) AS job
)
SELECT job FROM called
