-- Below 0: an unfinished workflow has the key, and nothing was inserted. See migrations/sql/0011_workflows.
SELECT pgjobs.add_workflow(CAST(%(name)s AS text), CAST(%(key)s AS text), CAST(%(steps)s AS bigint),
                           CAST(%(active)s AS bigint)) AS id
