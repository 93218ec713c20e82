-- Whether an application declares subscriptions or topics.
SELECT EXISTS (SELECT FROM pgjobs.subscriptions WHERE retired_at IS NULL)
       OR EXISTS (SELECT FROM pgjobs.topics WHERE retired_at IS NULL)
