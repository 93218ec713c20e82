-- The stage of a job, by its lane; NULL: it is of no pipeline. Its twin in Python: flow/stage.py.
CREATE FUNCTION pgjobs.stage_of_lane(lane text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif(split_part(lane, chr(31), 6), '');
END;

-- How many jobs of a stage may start: as many as the next one has room for, without those that run already and will
-- each lead to one. NULL: any number; no row: no code has declared the stage. What runs is counted by `counted_queue`,
-- unless its queue has a limit, which counts it there. Claims that look at once see the same room. Part of statements.
CREATE FUNCTION pgjobs.room_of_stage(stage text) RETURNS TABLE (room bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN p.paused_at IS NOT NULL AND s.place = 1 THEN 0
                WHEN s.next IS NOT NULL THEN
                    p.at_most - (SELECT count(*)
                                 FROM (SELECT FROM pgjobs.jobs_waiting AS w
                                       WHERE nullif(split_part(w.lane, chr(31), 6), '') = s.next
                                       LIMIT p.at_most) AS waiting)
                              - (SELECT count(*)
                                 FROM (SELECT FROM pgjobs.jobs_live AS v
                                       WHERE v.counted_queue = chr(31) || s.key AND v.status = 'running'
                                       LIMIT p.at_most) AS running) END AS room
    FROM pgjobs.pipeline_stages AS s
    JOIN pgjobs.pipelines AS p ON p.name = s.pipeline
    WHERE s.key = room_of_stage.stage;
END;
