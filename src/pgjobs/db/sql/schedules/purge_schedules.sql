-- Delete schedules that were retired long ago; until then a pause and the last firing are remembered.
DELETE FROM pgjobs.schedules WHERE retired_at < now() - interval '30 days'
