-- Which history of the database this server writes: a failover begins another one (the first eight digits).
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)
