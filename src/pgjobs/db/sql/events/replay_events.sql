-- Make jobs of kept events for one subscription: of those, out of the next ones, that it has no job for.
SELECT r.seen, r.made, r.last_at, r.last_id
FROM pgjobs.replay_events(%(receiver)s::integer, %(since)s::timestamptz, %(until)s::timestamptz,
                          %(after_at)s::timestamptz, %(after_id)s::bigint, %(batch)s::integer) AS r
