"""Whether the standard library has been replaced by one of greenlets, which a worker cannot run on.

A web application does that at the top of its package (`gevent.monkey.patch_all()`), and a worker that imports the
package is patched with it: its threads become greenlets, and its main thread never gives way to them.
"""

from __future__ import annotations

import _thread
import select
import socket
import sys
import time
from types import BuiltinFunctionType

TOOLS = ("gevent", "eventlet")


def monkey_patches() -> str | None:
    """Return what is wrong, in a sentence; None if the standard library is itself."""
    tool = next((tool for tool in TOOLS if tool in sys.modules), None)
    if tool is None:  # others replace single functions, such as a proxy's library the class of sockets
        return None
    own = (_thread.start_new_thread, _thread.allocate_lock, time.sleep, select.select)
    if socket.socket.__module__ == "socket" and all(type(function) in (BuiltinFunctionType, type) for function in own):
        return None
    return (
        f"{tool} has patched the standard library (threads, sockets, sleep), and workers need real threads: patch it "
        "where requests are served, not in a module that jobs import"
    )
