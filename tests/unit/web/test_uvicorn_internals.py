"""The internals of uvicorn that the exporter relies on: a version that changes one fails here with its name."""

from __future__ import annotations

import asyncio
import contextlib
import dis
import inspect
import socket
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import until

from exporter.web.connections import ClientConnection, Limits, Listener
from exporter.web.uvicorn_internals import STATUS_LINE, Config, HttpToolsProtocol, RequestResponseCycle, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CHANGED = f"uvicorn {version('uvicorn')} changed what exporter.web relies on"
BASE = Server.__mro__[1]

# Methods that are called or overridden, with their parameters.
METHODS: dict[type, dict[str, str]] = {
    Config: {"load": "self"},
    HttpToolsProtocol: {
        "__init__": "self, config, server_state, app_state, _loop=None",
        "_unset_keepalive_if_required": "self",
        "connection_lost": "self, exc",
        "connection_made": "self, transport",
        "data_received": "self, data",
        "on_body": "self, body",
        "on_headers_complete": "self",
        "on_message_complete": "self",
        "on_response_complete": "self",
        "shutdown": "self",
    },
    RequestResponseCycle: {"send": "self, message"},
    BASE: {
        "__init__": "self, config",
        "capture_signals": "self",
        "serve": "self, sockets=None",
        "shutdown": "self, sockets=None",
        "startup": "self, sockets=None",
    },
}
# Attributes that are read or set, by the class of their owner.
ATTRIBUTES = {
    "ClientConnection": {"app", "cycle", "flow", "headers", "loop", "parser", "pipeline", "transport"},
    "Config": {"ssl"},
    "FlowControl": {"pause_reading", "resume_writing"},
    "RequestResponseCycle": {"disconnected", "keep_alive", "message_event", "response_complete", "scope"},
    "Server": {"config", "force_exit", "lifespan", "server_state", "servers", "should_exit", "started"},
    "ServerState": {"connections"},
}


async def wait_forever(_scope: Any, _receive: Any, _send: Any) -> None:
    """Be an application that does not finish its response."""
    await asyncio.Event().wait()


async def respond(_scope: Any, _receive: Any, send: Any) -> None:
    """Be an application that responds without reading the request's body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def config(app: Callable[[Any, Any, Any], Awaitable[None]] = wait_forever) -> Config:
    """Return a configuration like the exporter's."""
    return Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)


@contextlib.asynccontextmanager
async def serving(loaded: Config) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a server with one client."""
    server = Server(loaded, partial(Listener, limits=Limits()))
    listening = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        yield server, reader, writer
    finally:
        for task in tuple(server.server_state.tasks):
            task.cancel()
        writer.close()
        server.should_exit = True
        await running


@contextlib.asynccontextmanager
async def two_requests() -> AsyncIterator[tuple[Server, ClientConnection]]:
    """Run a server with one connection, whose first request is being answered while the second waits."""
    async with serving(config()) as (server, _, writer):
        writer.write(b"GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n")
        await until(lambda: server.server_state.connections)
        (connection,) = server.server_state.connections
        assert isinstance(connection, ClientConnection)
        await until(lambda: connection.pipeline)
        yield server, connection


def parameters(method: Callable[..., Any]) -> str:
    """Return the names of a method's parameters, with their defaults."""
    return ", ".join(
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default}"
        for parameter in inspect.signature(method).parameters.values()
    )


@pytest.mark.parametrize("owner", METHODS, ids=lambda owner: owner.__name__)
def test_methods_take_the_expected_parameters(owner: type) -> None:
    """Every method of uvicorn that is called or overridden exists and takes the expected parameters."""
    expected = METHODS[owner]
    actual = {name: parameters(getattr(owner, name)) for name in expected if hasattr(owner, name)}

    assert expected == actual, f"{CHANGED}: methods of {owner.__name__}"


async def test_objects_have_the_expected_attributes() -> None:
    """Every attribute of uvicorn that is read or set exists while a request is being answered."""
    async with two_requests() as (server, connection):
        objects = (server, server.config, server.server_state, connection, connection.flow, connection.cycle)
        by_class = {type(instance).__name__: instance for instance in objects}
        missing = {
            f"{owner}.{name}"
            for owner, names in ATTRIBUTES.items()
            for name in names
            if not hasattr(by_class.get(owner), name)
        }

    assert set() == missing, f"{CHANGED}: missing attributes"


async def test_second_request_waits_in_the_pipeline() -> None:
    """The pipeline holds a request with its application, and each request has a copy of the state."""
    async with two_requests() as (_, connection):
        ((waiting, app),) = connection.pipeline

        assert "/second" == waiting.scope["path"], f"{CHANGED}: what the pipeline holds"
        assert waiting is connection.cycle, f"{CHANGED}: cycle is not the last request"
        assert app is connection.app, f"{CHANGED}: what the pipeline holds"
        assert "connection" not in waiting.scope["state"], f"{CHANGED}: requests share their state"


@pytest.mark.parametrize("ours", [ClientConnection, Server])
async def test_nothing_is_overridden_by_accident(ours: type) -> None:
    """No attribute that the exporter adds to a class of uvicorn has a name that uvicorn uses."""
    base = ours.__mro__[1]
    server = BASE(config())
    plain = server if ours is Server else HttpToolsProtocol(server.config, server.server_state, {})
    methods = {name for name in vars(ours) if not name.startswith("__") and hasattr(plain, name)}
    assigned = {step.argval for step in dis.get_instructions(vars(ours)["__init__"]) if step.opname == "STORE_ATTR"}

    assert set() == methods - METHODS[base].keys(), f"{CHANGED}: new methods of {base.__name__}"
    assert set() == {name for name in assigned if hasattr(plain, name)}, f"{CHANGED}: new attributes of {base.__name__}"


@pytest.mark.parametrize("status", [400, 431])
def test_status_lines_begin_a_response(status: int) -> None:
    """A status line is complete, from the HTTP version to the end of the line."""
    line = STATUS_LINE[status]

    assert line.startswith(b"HTTP/1.1 %d " % status), CHANGED
    assert line.endswith(b"\r\n"), CHANGED


async def test_response_without_keep_alive_says_so() -> None:
    """A connection that ends with its response, as after a body that is not read, is announced to the client."""
    async with serving(config(respond)) as (_, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
        response = await reader.read()

    assert b"\r\nconnection: close\r\n" in response, f"{CHANGED}: keep_alive"
