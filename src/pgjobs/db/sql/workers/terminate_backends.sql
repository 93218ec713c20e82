-- End the server's side of connections by their application's name, and return how many are left. A statement that was
-- under way when its client went away would otherwise commit after rescuers have looked for its effects.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE starts_with(application_name, %(prefix)s)
  AND datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
