-- PostgreSQL's clock as it is now: now() is the time at which the transaction began.
SELECT clock_timestamp() AS now
