"""An embedded PostgreSQL: a server of one's own in a folder, shared by all who ask for it, gone with the last of them.

    user processes ── shared lock on users.lock ──┐
                                                  ▼
    keeper (python -m pgjobs.embedded.daemon)  gets that lock exclusively once nobody holds it: stops, exits
       └─ postgres                                dies with the keeper (PR_SET_PDEATHSIG)

Locks are all that anybody relies on, because the kernel takes them back from whoever is killed:

| file | held by | means |
| --- | --- | --- |
| start.lock | a user, until the server is ready | one at a time looks whether there is a server, and starts one |
| users.lock | users (shared), the stopping keeper (exclusively) | the server is needed; it is being stopped |
| keeper.lock | the keeper | somebody looks after a server |
| server.lock | postgres and all its children | somebody has the data directory open |

Beside them lie `data` (the data directory, or a link to it), `url`, `password` and `server.log`.
"""

from pgjobs.embedded.binaries import find_binaries
from pgjobs.embedded.server import EmbeddedServer, delete_server, embedded_server

__all__ = ["EmbeddedServer", "delete_server", "embedded_server", "find_binaries"]
