-- Workers that own running jobs but have no row (it was deleted by hand, or by a rescuer that then died).
SELECT DISTINCT live.worker_id
FROM pgjobs.jobs_live AS live
WHERE live.status = 'running'
  AND NOT EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = live.worker_id)
