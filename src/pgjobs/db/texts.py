"""Texts and JSON of connections on which psycopg reads them in another way, or not at all.

- In a database in SQL_ASCII, which keeps any bytes: those of each client, in whatever encoding that one has. Here they
  are read and written as UTF-8. What is not UTF-8 must not fail a claim, nor a list of jobs.
- On a connection that is not in UTF-8 psycopg reads JSON as UTF-8 all the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumper

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.abc import Buffer
    from psycopg.adapt import AdaptersMap

_TEXTS = ("text", "varchar", "bpchar", "name")


def read_any_bytes(adapters: AdaptersMap) -> None:
    """For SQL_ASCII: what is not UTF-8 becomes lone surrogates, which are written as the same bytes again."""
    _read(adapters, "utf-8", "surrogateescape")
    adapters.register_dumper(str, _Bytes)


def read_to_show(cursor: Cursor[Any]) -> None:
    """Make a cursor of any connection read texts to be shown: what cannot be read is escaped."""
    info = cursor.connection.info
    if info.parameter_status("server_encoding") == "SQL_ASCII":
        _read(cursor.adapters, "utf-8", "backslashreplace")
    elif info.encoding != "utf-8":
        _read(cursor.adapters, info.encoding, "backslashreplace")


def _read(adapters: AdaptersMap, codec: str, errors: str) -> None:
    in_json = "replace" if errors == "backslashreplace" else errors  # where a backslash has a meaning

    class Text(Loader):
        def load(self, data: Buffer) -> str:
            return bytes(data).decode(codec, errors)

    class BinaryText(Text):
        format = Format.BINARY

    class Json(Loader):
        def load(self, data: Buffer) -> Any:
            return json.loads(bytes(data).decode(codec, in_json))

    class BinaryJson(Json):
        format = Format.BINARY

    class BinaryJsonb(BinaryJson):
        def load(self, data: Buffer) -> Any:
            return super().load(bytes(data)[1:])  # behind a version

    for name in _TEXTS:
        adapters.register_loader(name, Text)
        adapters.register_loader(name, BinaryText)
    for name, binary in (("json", BinaryJson), ("jsonb", BinaryJsonb)):
        adapters.register_loader(name, Json)
        adapters.register_loader(name, binary)


class _Bytes(StrDumper):
    def dump(self, obj: str) -> bytes:
        return obj.encode("utf-8", "surrogateescape")
