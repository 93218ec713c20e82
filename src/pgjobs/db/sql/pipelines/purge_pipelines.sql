-- Delete pipelines that were retired long ago, with their stages.
WITH gone AS (
    DELETE FROM pgjobs.pipelines WHERE retired_at < now() - interval '30 days' RETURNING name
)
DELETE FROM pgjobs.pipeline_stages AS s WHERE s.pipeline IN (SELECT name FROM gone)
