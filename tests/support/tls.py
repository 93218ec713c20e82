"""A door with TLS before a PostgreSQL that may have been built without it, and certificates for both sides.

It speaks the beginning of the protocol itself: clients that ask for TLS get it, others are refused. What is inside is
handed to the server as it is.
"""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENSSL = shutil.which("openssl")
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@dataclass
class Door:
    """Where it listens, and who came: the names in the certificates of those let in, and how many were turned away."""

    port: int
    let_in: list[str | None] = field(default_factory=list)
    turned_away: int = 0


@contextmanager
def door(host: str, port: int, certificate: Path, key: Path, clients: Path | None = None) -> Iterator[Door]:
    """Open a door to the server; `clients`: the authority of the certificates that all clients must have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = Door(listener.getsockname()[1])
        threads: list[Thread] = []

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # closed
                    return
                threads.append(Thread(target=_serve, args=(opened, context, client, (host, port))))
                threads[-1].start()

        accepting = Thread(target=accept)
        accepting.start()
        try:
            yield opened
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(10)


def _serve(opened: Door, context: ssl.SSLContext, client: socket.socket, server: tuple[str, int]) -> None:
    with client:
        asked = _asked(client)
        if asked == _GSS_REQUEST:
            client.sendall(b"N")
            asked = _asked(client)
        if asked != _SSL_REQUEST:
            opened.turned_away += 1
            return
        client.sendall(b"S")
        try:
            inside = context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, OSError):
            opened.turned_away += 1
            return
        subject: Any = dict(part[0] for part in (inside.getpeercert() or {}).get("subject", ()))  # type: ignore[misc]
        opened.let_in.append(subject.get("commonName"))
        with inside, socket.create_connection(server) as behind:
            try:
                _hand_over(inside, behind)
            except OSError:  # one side is gone
                pass


def _asked(client: socket.socket) -> int:
    head = client.recv(8, socket.MSG_WAITALL)
    return int(struct.unpack("!I", head[4:])[0]) if len(head) == 8 else 0


def _hand_over(inside: ssl.SSLSocket, behind: socket.socket) -> None:
    """Hand over what either side sends, until one of them ends. One thread: a TLS connection is not for two."""
    while True:
        ready = [inside] if inside.pending() else select.select([inside, behind], [], [])[0]
        for source in ready:
            inside.setblocking(False)
            try:
                data = source.recv(65536)
            except ssl.SSLWantReadError:  # that was a part of a record, or none of the data
                continue
            finally:
                inside.setblocking(True)
            if not data:
                return
            (behind if source is inside else inside).sendall(data)


# -- Certificates ----------------------------------------------------------------------------------------------------


def make_authority(folder: Path, name: str) -> Path:
    """Make an authority, and give its certificate; its key lies beside it."""
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    _openssl(*new, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt")
    return folder / f"{name}.crt"


def sign(authority: Path, name: str, *, extension: str) -> tuple[Path, Path]:
    """Make a certificate of the authority, and its key."""
    key, request, extensions, certificate = (authority.parent / f"{name}.{end}" for end in ("key", "csr", "ext", "crt"))
    extensions.write_text(f"{extension}\n")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key")),
        *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate),
    )
    key.chmod(0o600)  # libpq refuses keys that others can read
    return certificate, key


def _openssl(*arguments: object) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True)
