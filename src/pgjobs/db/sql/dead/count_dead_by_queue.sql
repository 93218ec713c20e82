-- Dead letters by queue; the count ends at the cap (one more than it means: there are more).
SELECT queue, count(*) AS letters
FROM (SELECT queue FROM pgjobs.dead_jobs LIMIT %(cap)s + 1) AS capped
GROUP BY queue
