-- Those of the breakers that let nothing through now.
SELECT name FROM pgjobs.breakers
WHERE name = ANY (%(names)s::text[]) AND state <> 'closed' AND until > clock_timestamp()
