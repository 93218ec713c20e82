-- Remove a limit. `declared`: by code, so that it comes back with the next worker that starts.
DELETE FROM pgjobs.limits WHERE name = %(key)s RETURNING declared IS NOT NULL AS declared
