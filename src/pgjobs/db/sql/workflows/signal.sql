-- Say something to a job or to a workflow: 1, or 0 where that was said before.
SELECT CASE WHEN pgjobs.signal(CAST(%(kind)s AS text), CAST(%(target)s AS bigint), CAST(%(name)s AS text),
                               CAST(%(payload)s AS jsonb)) THEN 1 ELSE 0 END AS id
