-- Which timeline this server writes: a failover begins a new one (the first eight digits).
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)
