-- Forget a breaker: what is not there lets all jobs through, and the next worker that meets it writes it down anew.
DELETE FROM pgjobs.breakers WHERE name = %(breaker)s RETURNING state
