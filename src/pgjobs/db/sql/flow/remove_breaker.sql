-- Delete a breaker: a missing one lets all jobs through, and the next worker that meets it writes it anew.
DELETE FROM pgjobs.breakers WHERE name = %(breaker)s RETURNING state
