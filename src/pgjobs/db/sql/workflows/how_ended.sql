-- How jobs that are not live have ended; one that left no row has completed. NULL: that cannot be said now.
SELECT h.id, h.completed FROM pgjobs.hold_ended(%(ids)s::bigint[]) AS h
