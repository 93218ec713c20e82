-- Delete a pipeline that no code declares, with its stages. What waits in them stays.
WITH gone AS (
    DELETE FROM pgjobs.pipelines WHERE name = %(pipeline)s AND retired_at IS NOT NULL RETURNING name
), stages AS (
    DELETE FROM pgjobs.pipeline_stages AS s WHERE s.pipeline IN (SELECT name FROM gone)
)
SELECT name FROM gone
