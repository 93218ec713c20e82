"""`pgjobs web`: where it listens, and whom it lets in."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pgjobs.core.errors import UsageError
from pgjobs.web.command import load
from tests.cli.conftest import cli as cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])  # noqa: S104 (it is refused)
def test_beyond_this_machine_it_takes_a_login(cli: Cli, host: str) -> None:
    refused = cli("web", "--host", host)
    assert refused.code == 2
    assert f"--host {host} would let in all who reach it" in refused.err
    assert "--authorize MODULE:FUNCTION" in refused.err


def test_a_port_in_use_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cli("web", "--port", str(port))
    assert refused.code == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in refused.err


def test_authorize_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_ops.py").write_text("def authorize(request): return None\nname = 'ada'\n")
    monkeypatch.chdir(tmp_path)
    assert load("shop_ops:authorize")(None) is None  # type: ignore[arg-type]  # it looks at nothing
    for wrong, said in (
        ("shop_ops", "give MODULE:FUNCTION"),
        ("shop_ops:name", "is not callable"),
        ("shop_ops:other", "cannot be imported: module 'shop_ops' has no attribute 'other'"),
        ("nowhere:authorize", "cannot be imported: No module named 'nowhere'"),
    ):
        with pytest.raises(UsageError, match=said):
            load(wrong)
