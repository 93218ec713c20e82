-- Write the stages of a pipeline, which this transaction has locked. Those that it has no longer go.
WITH given AS (
    SELECT *
    FROM unnest(%(keys)s::text[], %(places)s::int[], %(names)s::text[], %(tasks)s::text[], %(queues)s::text[],
                %(nexts)s::text[]) AS g (key, place, name, task, queue, next)
), gone AS (
    DELETE FROM pgjobs.pipeline_stages AS s
    WHERE s.pipeline = %(pipeline)s AND s.key NOT IN (SELECT g.key FROM given AS g)
)
INSERT INTO pgjobs.pipeline_stages AS s (key, pipeline, place, name, task, queue, next)
SELECT g.key, %(pipeline)s, g.place, g.name, g.task, g.queue, g.next
FROM given AS g
ON CONFLICT (key) DO UPDATE
SET place = excluded.place, task = excluded.task, queue = excluded.queue, next = excluded.next
