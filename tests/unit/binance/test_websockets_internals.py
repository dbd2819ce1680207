"""What is used of websockets beyond its documentation is still there, and only in two modules."""

from __future__ import annotations

import ast
import asyncio
from typing import TYPE_CHECKING

import pytest
from support.dials import at, exchange
from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from exporter.binance.dialing import open_socket
from exporter.binance.websockets_internals import ConnectWithoutRedirects, abort
from exporter.simulator.connection import Connection

if TYPE_CHECKING:
    from pathlib import Path

MODULES = {"binance/websockets_internals.py", "simulator/connection.py"}


@pytest.mark.parametrize(
    ("subclass", "base", "method"),
    [
        (ConnectWithoutRedirects, connect, "process_redirect"),
        (Connection, ServerConnection, "connection_made"),
        (Connection, ServerConnection, "connection_lost"),
        (Connection, ServerConnection, "data_received"),
        (Connection, ServerConnection, "send_data"),
    ],
)
def test_overridden_method_is_one_of_websockets(subclass: type, base: type, method: str) -> None:
    """A method that is overridden exists in websockets: under another name it would no longer be called."""
    assert method in vars(subclass)
    assert any(method in vars(each) for each in base.__mro__ if each.__module__.startswith("websockets."))


async def test_abort_does_not_wait_for_a_peer_that_does_not_read() -> None:
    """An aborted socket ends without a close frame, whatever is still buffered for a peer that does not read."""

    async def ignore(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async with exchange(ignore, ping_interval=None) as port:
        socket = await open_socket(at(port))
        sending = asyncio.create_task(socket.send(b"x" * 2**24))
        await asyncio.sleep(0)
        abort(socket)
        with pytest.raises(ConnectionClosed) as caught:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await socket.recv()
        await asyncio.gather(sending, return_exceptions=True)

    assert (None, None) == (caught.value.sent, caught.value.rcvd)


def _uses_transport(path: Path) -> bool:
    """Whether a module uses the `transport` of anything."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.Attribute) and node.attr == "transport" for node in ast.walk(tree))


def test_only_two_modules_use_transports() -> None:
    """In the client and the simulator only the modules for it use a connection's transport, which is undocumented."""
    package = ROOT / "exporter"
    modules = [path for folder in ("binance", "simulator") for path in (package / folder).rglob("*.py")]

    assert MODULES == {path.relative_to(package).as_posix() for path in modules if _uses_transport(path)}
