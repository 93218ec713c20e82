INSERT INTO pgjobs.retention DEFAULT VALUES;

INSERT INTO pgjobs.switch DEFAULT VALUES;

-- Today and three days ahead.
SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 3) AS n;
