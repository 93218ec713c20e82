-- Let the first stage of a pipeline start items again.
UPDATE pgjobs.pipelines SET paused_at = NULL WHERE name = %(pipeline)s AND paused_at IS NOT NULL RETURNING name
