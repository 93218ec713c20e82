-- Delete subscriptions that were retired long ago; until then it is remembered which events they have had.
DELETE FROM pgjobs.subscriptions WHERE retired_at < now() - interval '30 days'
