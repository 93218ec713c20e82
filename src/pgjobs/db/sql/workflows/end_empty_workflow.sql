-- End a workflow whose maps were all empty: no step will.
SELECT pgjobs.end_empty_workflow(CAST(%(workflow)s AS bigint)) AS id
