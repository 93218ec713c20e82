-- What a workflow calls at its end, kept until then.
SELECT pgjobs.add_callback(
           CAST(ROW(d.run_at, {enqueue_values}) AS pgjobs.enqueue_columns), CAST(%(on_failure)s AS text),
           CAST(%(workflow)s AS bigint), CAST(%(kind)s AS text), CAST(%(lane)s AS text), CAST(%(cost)s AS real),
           CAST(%(summary)s AS text), CAST(%(signature)s AS bytea), CAST(%(payload)s AS bytea)) AS id
FROM (SELECT coalesce(CAST(%(run_at)s AS timestamptz),
                      statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second') AS run_at) AS d
