-- Steps of one callable, with what they wait for. The function is in migrations/sql/0011_workflows/functions.sql.
SELECT pgjobs.add_steps(
           CAST(ROW(d.run_at, {enqueue_values}) AS pgjobs.enqueue_columns), CAST(%(on_failure)s AS text),
           coalesce(CAST(%(expires_at)s AS timestamptz),
                    d.run_at + CAST(%(expires_after)s AS float8) * interval '1 second'),
           CAST(%(lanes)s AS text[]), CAST(%(costs)s AS real[]), CAST(%(summaries)s AS text[]),
           CAST(%(signatures)s AS bytea[]), CAST(%(payloads)s AS bytea[]), CAST(%(workflow)s AS bigint),
           CAST(%(job_ids)s AS bigint[]), CAST(%(nodes)s AS bigint[]), CAST(%(ns)s AS integer[]),
           CAST(%(kinds)s AS text[]), CAST(%(parents)s AS bigint[]), CAST(%(step_if_failed)s AS text[]),
           CAST(%(names)s AS text[]), CAST(%(node_needs)s AS text[]), CAST(%(needed)s AS integer[]),
           CAST(%(edge_needs)s AS bigint[]), CAST(%(edge_jobs)s AS bigint[]), CAST(%(edge_if_failed)s AS text[])) AS id
FROM (SELECT coalesce(CAST(%(run_at)s AS timestamptz),
                      statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second') AS run_at) AS d
