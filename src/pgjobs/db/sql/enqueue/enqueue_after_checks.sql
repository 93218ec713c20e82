-- Jobs of one callable that have a unique key, wait for others, or expire without taking turns. The ids come in their
-- order. Below 0: a job with that id has the key already. A 0 first: nothing was done, and the others are the ids of
-- needed jobs that do not exist. Else a 0 stands for a job that was not inserted, because another one has a conflict.
-- The function is in migrations/sql/0001_initial/functions.sql: it finds the holder of the key, and carries out
-- on_conflict.
SELECT id
FROM (SELECT coalesce(CAST(%(run_at)s AS timestamptz),
                      statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second') AS run_at) AS d,
     pgjobs.enqueue_after_checks(
         CAST(ROW(d.run_at, {enqueue_values}) AS pgjobs.enqueue_columns), CAST(%(on_failure)s AS text),
         coalesce(CAST(%(expires_at)s AS timestamptz),
                  d.run_at + CAST(%(expires_after)s AS float8) * interval '1 second'),
         CAST(%(lanes)s AS text[]), CAST(%(costs)s AS real[]), CAST(%(summaries)s AS text[]),
         CAST(%(signatures)s AS bytea[]), CAST(%(payloads)s AS bytea[]), CAST(%(keys)s AS text[]),
         CAST(%(until_started)s AS boolean), CAST(%(period)s AS float8), CAST(%(on_conflict)s AS text),
         CAST(%(needed)s AS bigint[]), CAST(%(if_failed)s AS text)) AS id
