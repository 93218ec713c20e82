"""Databases that are not in UTF-8: which characters they have, and texts in those.

All encodings of PostgreSQL have ASCII. What others have is known of those in `_CODECS`, where Python's codec of that
name and PostgreSQL's conversion have the same characters (a test compares them); `_NOT_CONVERTED` are the exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

_CODECS = {
    **{f"LATIN{n}": f"iso8859-{part}" for n, part in enumerate((1, 2, 3, 4, 9, 10, 13, 14, 15, 16), 1)},
    **{f"ISO_8859_{part}": f"iso8859-{part}" for part in range(5, 9)},
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, *range(1250, 1259))},
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "EUC_JP": "euc_jp",
    "EUC_CN": "gb2312",
}
_NOT_CONVERTED = {"EUC_JP": "\xa2\xa3\xa5\xac\u2016\u203e\u2212\u301c"}
_ASCII = "ascii"


class TextEncoding(NamedTuple):
    """The characters that a connection can carry to its database.

    `database`: PostgreSQL's name of its encoding, for messages. `codec`: Python's, of characters that all arrive.
    `lacks`: those of the codec that do not. `is_exact`: no others do; False where that is not known.
    """

    database: str
    codec: str
    lacks: str = ""
    is_exact: bool = True

    @property
    def has_all(self) -> bool:
        """Whether any text can be stored."""
        return self.codec == "utf-8"

    def stored(self, text: str) -> str:
        r"""Return the text in characters that arrive; others are escaped, and an ellipsis is three dots.

        >>> TextEncoding("LATIN1", "iso8859-1").stored("5 €, Grüße…")
        '5 \\u20ac, Grüße...'

        """
        if self.has_all or text.isascii():
            return text
        for character in self.lacks:
            text = text.replace(character, f"\\u{ord(character):04x}")
        try:
            text.encode(self.codec)
        except UnicodeEncodeError:
            text = text.replace("…", "...")
        return text.encode(self.codec, "backslashreplace").decode(self.codec)

    def missing(self, text: str) -> str | None:
        """Return the first character of the text that is known not to arrive, or None."""
        if text.isascii() or not self.is_exact:
            return None
        return next((each for each in text if each in self.lacks or not _encodes(each, self.codec)), None)


UTF_8 = TextEncoding("UTF8", "utf-8")


def encoding_between(client: str | None, server: str | None, client_codec: str | None = None) -> TextEncoding:
    """Return what arrives from a client in one of PostgreSQL's encodings, at a server in the same or another one.

    `client_codec`: the codec with which the driver writes text, if it is not that of `client`.
    """
    if server is None or client is None:
        return TextEncoding(server or "unknown", _ASCII, is_exact=False)
    if client == "UTF8":
        if server in ("UTF8", "SQL_ASCII"):  # the latter keeps any bytes
            return UTF_8._replace(database=server)
        if server in _CODECS:
            # PostgreSQL has some more characters in those of several bytes.
            is_exact = not server.startswith("EUC")
            return TextEncoding(server, _CODECS[server], _NOT_CONVERTED.get(server, ""), is_exact)
        return TextEncoding(server, _ASCII, is_exact=False)
    if server in ("UTF8", client):  # what the driver can write
        return TextEncoding(client, client_codec or _CODECS.get(client, _ASCII))
    return TextEncoding(server, _ASCII, is_exact=False)


def encoding_of(connection: Any) -> TextEncoding:
    """Return what arrives from a psycopg connection. Nothing is asked of the server."""
    info = connection.info
    if getattr(connection, "any_bytes", False):
        return UTF_8._replace(database="SQL_ASCII")
    client, server = info.parameter_status("client_encoding"), info.parameter_status("server_encoding")
    return encoding_between(client, server, str(info.encoding))


def can_store(connection: psycopg.Connection, text: str) -> bool:
    """Ask the server, if need be, whether the database has all characters of a text."""
    from psycopg import errors

    if text.isascii() or encoding_of(connection).has_all:
        return True
    try:
        with connection.transaction():
            connection.execute("SELECT %s::text", [text])
    except (UnicodeEncodeError, errors.UntranslatableCharacter, errors.CharacterNotInRepertoire):
        return False
    return True


def byte_order(encoding: TextEncoding) -> Callable[[str], str | bytes]:
    """Return the key that sorts texts as the database sorts their bytes."""
    if encoding.database == "UTF8":
        return str  # code points are in the same order
    errors = "surrogateescape" if encoding.has_all else "backslashreplace"
    return lambda text: text.encode(encoding.codec, errors)


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
