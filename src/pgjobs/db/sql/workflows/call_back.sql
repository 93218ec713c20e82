-- Enqueue what workflows call now; what they can no longer call goes.
WITH called AS MATERIALIZED (
    SELECT pgjobs.call_back(a.workflow, a.kind) AS job
    FROM unnest(%(workflows)s::bigint[], %(kinds)s::text[]) AS a (workflow, kind)
)
SELECT job FROM called
