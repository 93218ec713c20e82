"""Which version of pgjobs this is; a file of its own, so that all rooms may ask."""

VERSION = "0.1.0"


MIN_SERVER_VERSION = 14  # major version of PostgreSQL
