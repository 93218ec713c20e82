ALTER FUNCTION pgjobs.end_of_lanes() RENAME TO last_lane;

DROP FUNCTION pgjobs.room_of_breaker, pgjobs.room_of_limit;

DROP TABLE pgjobs.key_locks;
