-- Since when everything is paused (NULL: it is not).
SELECT paused_at FROM pgjobs.switch WHERE paused
