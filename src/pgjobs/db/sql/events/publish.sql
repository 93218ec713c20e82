-- Publish an event, in the caller's transaction: one job for each subscription that wants it. Subscriptions, and topics
-- that keep their events, are looked up by the function: see migrations/sql/0013_events/functions.sql.
SELECT pgjobs.publish_event(CAST(%(topic)s AS text), CAST(%(body)s AS bytea), CAST(%(signature)s AS bytea),
                            CAST(%(sequence)s AS text)) AS id
