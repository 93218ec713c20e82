-- How many pages the default partition of history has: 0, as a rule.
SELECT pg_relation_size('pgjobs.jobs_history_default') / current_setting('block_size')::int
