"""Forms that another site cannot send: a token in the form that fits a cookie which only this site gets."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

COOKIE = "pgjobs_form"
FIELD = "token"
_LENGTH = 64  # of the cookie, in hexadecimal digits


def new_cookie() -> str:
    """Return a value for the cookie."""
    return secrets.token_hex(_LENGTH // 2)


def is_cookie(value: str | None) -> bool:
    """Return True for a value that `new_cookie` may have made."""
    return value is not None and len(value) == _LENGTH and all(each in "0123456789abcdef" for each in value)


def token(cookie: str, user: str) -> str:
    """Return the token of forms for the holder of a cookie, as long as they are this user."""
    return hmac.new(cookie.encode(), b"form\0" + user.encode(), "sha256").hexdigest()


def fits(cookie: str | None, user: str, given: str | None) -> bool:
    """Return True if the token of a form fits the cookie."""
    if cookie is None or given is None or not is_cookie(cookie):
        return False
    return hmac.compare_digest(token(cookie, user).encode(), given.encode())


def is_secure(scheme: str, headers: Mapping[str, str]) -> bool:
    """Return True if the browser asked by HTTPS, here or at a proxy before this.

    No other site can set these headers, and a client that does so harms no cookie but its own.

    >>> is_secure("https", {}), is_secure("http", {"x-forwarded-proto": "https, http"}), is_secure("http", {})
    (True, True, False)
    >>> is_secure("http", {"forwarded": 'for=192.0.2.1;proto="https"'}), is_secure("http", {"origin": "http://a"})
    (True, False)

    """
    if scheme == "https" or headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower() == "https":
        return True
    first = headers.get("forwarded", "").partition(",")[0].lower().replace('"', "")
    return "proto=https" in (part.strip() for part in first.split(";"))


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return True if a browser says that one of our own pages sent this, or says nothing about it.

    A site next door, which could plant a cookie, is refused by this.

    >>> is_same_origin({"sec-fetch-site": "same-origin"}), is_same_origin({"sec-fetch-site": "same-site"})
    (True, False)
    >>> is_same_origin({"origin": "https://a.example", "host": "a.example"})
    True
    >>> is_same_origin({"origin": "https://b.example", "host": "a.example"})
    False

    """
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return bool(origin != "null" and urlsplit(origin).netloc.lower() == headers.get("host", "").lower())
    except ValueError:
        return False
