-- A workflow that has completed, or was cancelled, calls nothing more.
DELETE FROM pgjobs.workflow_callbacks WHERE workflow_id = %(workflow)s
