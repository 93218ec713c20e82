-- End the server's side of connections by their applications' names, and return their processes. A statement that was
-- under way when its client went away would otherwise commit after rescuers have looked for its effects. %(pids)s: only
-- these, to see which of them are left; NULL: all that there are.
WITH found AS MATERIALIZED (
    SELECT a.pid
    FROM pg_stat_activity AS a
    WHERE EXISTS (SELECT FROM unnest(%(prefixes)s::text[]) AS p (prefix)
                  WHERE starts_with(a.application_name, p.prefix))
      AND a.datname = current_database()
      AND a.usename = current_user
      AND a.pid <> pg_backend_pid()
      AND (%(pids)s::int[] IS NULL OR a.pid = ANY (%(pids)s::int[]))
)
SELECT f.pid, pg_terminate_backend(f.pid) FROM found AS f
