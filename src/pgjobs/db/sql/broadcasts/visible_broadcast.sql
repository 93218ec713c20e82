-- Whether this transaction sees a broadcast: then it has made it, if others do not see it.
SELECT b.id FROM pgjobs.broadcasts AS b WHERE b.id = CAST(%(id)s AS bigint)
