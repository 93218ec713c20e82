-- The turn to look at all queues at the end of a minute: `minute` is that minute for the first supervisor that asks,
-- and NULL for the others. `seconds`: since its end. What is written in it begins with how many ids jobs have got.
WITH turn AS (
    INSERT INTO pgjobs.queue_minutes AS m (minute, queue, task, sampled, enqueued)
    VALUES (date_trunc('minute', now()) - interval '1 minute', '', '', true,
            (SELECT CASE WHEN has_sequence_privilege('pgjobs.jobs_id_seq', 'SELECT, USAGE')
                         THEN coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0) END))
    ON CONFLICT (queue, task, minute) DO UPDATE SET sampled = true, enqueued = excluded.enqueued
    WHERE NOT m.sampled
    RETURNING m.minute
)
SELECT extract(epoch FROM now() - date_trunc('minute', now()))::float8 AS seconds, (SELECT minute FROM turn) AS minute
