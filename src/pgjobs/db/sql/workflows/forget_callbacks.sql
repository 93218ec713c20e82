-- Workflows that have completed, or were cancelled, call nothing more.
DELETE FROM pgjobs.workflow_callbacks WHERE workflow_id = ANY (%(workflows)s::bigint[])
