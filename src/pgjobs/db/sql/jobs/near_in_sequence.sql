-- The jobs of a sequence around one of them, by id: those that have not ended, and dead letters.
SELECT near.id, near.status
FROM ((SELECT l.id, l.status FROM pgjobs.jobs_live AS l
       WHERE l.sequence = %(sequence)s::text AND l.id < %(id)s ORDER BY l.id DESC LIMIT %(most)s)
      UNION ALL
      (SELECT w.id, w.status FROM pgjobs.jobs_waiting AS w
       WHERE w.sequence = %(sequence)s::text AND w.id < %(id)s ORDER BY w.id DESC LIMIT %(most)s)
      UNION ALL
      (SELECT d.id, 'dead' FROM pgjobs.dead_jobs AS d
       WHERE d.sequence = %(sequence)s::text AND d.id < %(id)s ORDER BY d.id DESC LIMIT %(most)s)
      UNION ALL
      (SELECT l.id, l.status FROM pgjobs.jobs_live AS l
       WHERE l.sequence = %(sequence)s::text AND l.id > %(id)s ORDER BY l.id LIMIT %(most)s)
      UNION ALL
      (SELECT w.id, w.status FROM pgjobs.jobs_waiting AS w
       WHERE w.sequence = %(sequence)s::text AND w.id > %(id)s ORDER BY w.id LIMIT %(most)s)
      UNION ALL
      (SELECT d.id, 'dead' FROM pgjobs.dead_jobs AS d
       WHERE d.sequence = %(sequence)s::text AND d.id > %(id)s ORDER BY d.id LIMIT %(most)s)) AS near
ORDER BY near.id
