-- Let the first stage of a pipeline start no items.
UPDATE pgjobs.pipelines SET paused_at = now() WHERE name = %(pipeline)s AND paused_at IS NULL RETURNING name
