"""An embedded PostgreSQL: a server in a folder, shared by the processes that use it.

It stops with the last of them, unless `pgjobs db start` has started it: then `pgjobs db stop` ends it.

    user processes ── shared lock on users.lock ──┐
                                                  ▼
    daemon (python -m pgjobs.embedded.daemon)  takes that lock exclusively once it is free, then stops and exits
       └─ postgres                                dies with the daemon (PR_SET_PDEATHSIG)

All state is in locks, because the kernel releases the locks of a process that is killed:

| file | held by | means |
| --- | --- | --- |
| start.lock | a user, until the server is ready | one process at a time checks for a server, and starts one |
| users.lock | users (shared), the stopping daemon (exclusively) | the server is in use; it is being stopped |
| daemon.lock | the daemon | a daemon runs |
| server.lock | postgres and all its children | the data directory is open |

Beside them are `data` (the data directory, or a link to it), `url` (while the server runs), `password`, `server.log`,
and `keep` (the server runs also without users).
"""

from pgjobs.embedded.binaries import find_binaries
from pgjobs.embedded.server import EmbeddedServer, delete_server, embedded_server, running_server, stop_server

__all__ = ["EmbeddedServer", "delete_server", "embedded_server", "find_binaries", "running_server", "stop_server"]
