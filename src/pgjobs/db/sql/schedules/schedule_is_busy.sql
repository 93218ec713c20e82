-- Whether the last job of a schedule waits or runs. Asked when the schedule is locked, so no firing is overlooked.
SELECT EXISTS (SELECT FROM pgjobs.jobs WHERE id = %(job_id)s AND status IN ('waiting', 'queued', 'running'))
