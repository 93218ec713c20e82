-- Whether everything is paused.
SELECT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false) AS paused
