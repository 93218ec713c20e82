"""Settings: what is refused when they are set, and not when the first job needs them."""

from __future__ import annotations

from typing import Any

import pytest

from pgjobs import UsageError, configure, settings
from pgjobs.core.text import shorten_repr

KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("database_url", b"postgresql://bob:hunter2@db/shop", "database_url is a bytes: give a URL as a string"),
        ("database_url", 5432, "database_url is a int"),
        ("schema", None, "schema None cannot be used"),
        ("schema", b"jobs", "schema b'jobs' cannot be used"),
        ("schema", "Jobs", "schema 'Jobs' cannot be used"),
        ("signing_keys", KEY, r"signing_keys is a str: give a tuple of keys, also when there is but one: \(key,\)"),
        ("signing_keys", KEY.encode(), "signing_keys is a bytes: give a tuple of keys"),
        ("signing_keys", None, "signing_keys is a NoneType"),
        ("signing_keys", {KEY.encode()}, "signing_keys is a set"),
        ("signing_keys", (KEY,), r"has a str in it: keys are bytes, so give key\.encode\(\)"),
        ("signing_keys", [KEY.encode(), bytearray(b"x")], "has a bytearray in it"),
        ("signing_keys", (KEY.encode(), b""), "an empty key"),
        ("max_payload", 0, "max_payload is 0: give a number of bytes above 0"),
        ("max_payload", "1048576", "max_payload is '1048576'"),
        ("max_payload", 1e6, "max_payload is 1000000.0"),
        ("max_payload", True, "max_payload is True"),
        ("max_payload", None, "max_payload is None"),
        ("max_payload", -(10**5000), "max_payload is <int that cannot be printed>"),
        ("summaries", "off", "summaries is 'off': give True or False"),
        ("summaries", 0, "summaries is 0"),
        ("summaries", None, "summaries is None"),
        ("payload", "pickle", "payload is 'pickle': give 'any' or 'json'"),
        ("payload", None, "payload is None"),
        ("sumaries", False, "the settings are database_url, schema"),
    ],
    ids=shorten_repr,
)
def test_a_value_that_cannot_be_used_is_refused_at_once_and_changes_nothing(name: str, value: Any, said: str) -> None:
    before = settings()
    with pytest.raises(UsageError, match=said) as caught:
        configure(**{name: value})
    assert KEY not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert settings() is before


def test_keys_may_be_a_list_which_cannot_be_changed_behind_our_back() -> None:
    keys = [b"new", b"old"]
    configure(signing_keys=keys)
    keys.clear()
    assert settings().signing_keys == (b"new", b"old")


def test_no_url_and_no_keys_can_be_set_too() -> None:
    configure(database_url="postgresql://db/shop", signing_keys=(b"x",), summaries=False)
    configure(database_url=None, signing_keys=(), summaries=True)
    assert (settings().database_url, settings().signing_keys, settings().summaries) == (None, (), True)
