"""Rows of the fault table: network, handshakes, connections and clocks; all affect every account."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import ExitStack, asynccontextmanager
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

from exporter.binance.dialing import Timing
from exporter.simulator.fault_catalog_rest import REST_FAULTS
from support.fault_runner import switched
from support.fault_table import FaultRow
from support.tls_front import TlsFront

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from exporter.simulator import SimulatedExchange
    from support.fault_runner import FaultRun
    from support.fault_table import Switch

# A poll may find no connection during a reconnect.
_RECONNECTING: Final = frozenset({"poll connection"})
_EVERY_SECONDS: Final = 10.0


def fault(name: str, switch: Switch, *counted: str, possible: frozenset[str] = frozenset(), **options: Any) -> FaultRow:
    """Return a row; one without failed polls needs less time."""
    lasts = {} if any(reason.startswith("poll") for reason in counted) else {"duration_seconds": 50.0}
    return FaultRow(
        **{"name": name, "switch": switch, "counted": frozenset(counted), "possible": possible, **lasts, **options}
    )


def on_reconnect(switch: Callable[[SimulatedExchange], ExitStack]) -> Switch:
    """Return a switch of a fault of new connections that drops the present ones."""

    def switch_and_drop(exchange: SimulatedExchange) -> ExitStack:
        undo = switch(exchange)
        exchange.drop_connections()
        return undo

    return switched(switch_and_drop)


def dials(name: str, switch: Callable[[SimulatedExchange], ExitStack], *counted: str, **options: Any) -> FaultRow:
    """Return a row in which reconnecting fails after the connection was dropped."""
    return fault(name, on_reconnect(switch), *counted, "connection reset", possible=_RECONNECTING, **options)


def handshake(status: int, poll: str = "poll connection", retry_after: str | None = None, **options: Any) -> FaultRow:
    """Return a row in which handshakes are rejected with an HTTP status."""
    headers = None if retry_after is None else {"Retry-After": retry_after}
    suffix = "" if retry_after is None else f", Retry-After {retry_after}"
    name = f"HTTP {status} at the handshake{suffix}"
    return dials(
        name, lambda exchange: exchange.reject_handshake(status, headers), "connection rejected", poll, **options
    )


def written(data: bytes) -> Switch:
    """Return a switch that writes bytes to every socket once, bypassing the WebSocket protocol."""

    def write(exchange: SimulatedExchange) -> ExitStack:
        for connection in exchange.connections:
            connection.transport.write(data)
        return ExitStack()

    return switched(write)


def close_frame(code: int) -> bytes:
    """Return a close frame; any code is allowed, also one that must not be sent."""
    return Frame(Opcode.CLOSE, struct.pack("!H", code)).serialize(mask=False)


def repeated(action: Callable[[SimulatedExchange], object], seconds: float = _EVERY_SECONDS) -> Switch:
    """Return a switch that repeats an action."""

    def act(exchange: SimulatedExchange) -> ExitStack:
        async def once() -> None:
            if asyncio.iscoroutine(running := action(exchange)):
                await running

        return exchange.repeat(seconds, once)

    return switched(act)


@asynccontextmanager
async def not_listening(run: FaultRun) -> AsyncIterator[None]:
    """Stop listening at the exchange's address."""
    port = urlsplit(run.exchange.url).port
    assert port is not None
    run.exchange.drop_connections()
    await run.exchange.stop()
    with socket.socket() as placeholder:  # bound, so that no other process gets the port
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        placeholder.bind(("127.0.0.1", port))
        yield
    await run.exchange.start(port=port)


@asynccontextmanager
async def unresolvable(run: FaultRun) -> AsyncIterator[None]:
    """Make the exchange's name unresolvable."""
    run.loop.resolves = False
    run.exchange.drop_connections()
    yield
    run.loop.resolves = True


@asynccontextmanager
async def named(url: str) -> AsyncIterator[str]:
    """Yield the exchange's URL with a host name."""
    yield url.replace("127.0.0.1", "exchange.test")


@asynccontextmanager
async def host_clock(run: FaultRun) -> AsyncIterator[None]:
    """Step the host's wall clock by half a minute, permanently."""
    run.loop.host_ahead_seconds = 30.0
    yield


def tls(name: str, chosen: str) -> FaultRow:
    """Return a row with an invalid certificate, after the connection was dropped."""
    fronts: list[TlsFront] = []

    def front(url: str) -> contextlib.AbstractAsyncContextManager[str]:
        fronts[:] = [TlsFront(url)]
        return fronts[0].listening()

    @asynccontextmanager
    async def switch(run: FaultRun) -> AsyncIterator[None]:
        fronts[0].choose(chosen)
        run.exchange.drop_connections()
        yield
        fronts[0].choose("good")

    return fault(name, switch, "connection tls", "poll connection", possible=_ENDS, front=front)


_ENDS: Final = frozenset({"connection reset", "connection closed"})
_FORBIDDEN: Final[dict[str, Any]] = {"recovers_within_seconds": 220.0}


def _handshakes() -> Iterator[FaultRow]:
    yield fault("connections refused", not_listening, "connection unreachable", "poll connection", possible=_ENDS)
    yield fault("name not resolved", unresolvable, "connection dns", "poll connection", possible=_ENDS, front=named)
    for name, chosen in (("of another host", "other"), ("expired", "expired"), ("of an unknown issuer", "unknown")):
        yield tls(f"TLS certificate {name}", chosen)
    yield dials("closed at accept", lambda exchange: exchange.close_at_accept(), "poll connection")
    yield dials("handshake answered with garbage", lambda exchange: exchange.garble_handshake(), "poll connection")
    yield dials(
        "handshake never answered", lambda exchange: exchange.stall_handshakes(), "connection silent", "poll connection"
    )
    for status in (200, 302, 401, 404, 500, 502, 503, 504):
        yield handshake(status)
    for status in (403, 451):
        yield handshake(status, **_FORBIDDEN)
    yield handshake(418, "poll banned")
    # Rejected again after the first pause, the exporter doubles it.
    yield handshake(418, "poll banned", "60", recovers_within_seconds=260.0)
    yield handshake(429, "poll rate_limited", recovers_within_seconds=130.0)
    yield handshake(429, "poll rate_limited", "30")
    yield handshake(429, "poll rate_limited", "-1", recovers_within_seconds=130.0)
    yield handshake(429, "poll rate_limited", "soon", recovers_within_seconds=130.0)
    yield handshake(503, retry_after="soon")


def _open_connections() -> Iterator[FaultRow]:
    yield dials(
        "opened, then closed at once",
        lambda exchange: exchange.close_after(0, 1001),
        "connection closed",
        "poll connection",
    )
    yield dials("opened, then reset at once", lambda exchange: exchange.close_after(0, None), "poll connection")
    yield dials(
        "closed after one answer", lambda exchange: exchange.close_after(1), "connection closed", "poll connection"
    )
    yield dials("closed after ten answers", lambda exchange: exchange.close_after(10), "connection closed")
    yield fault(
        "reset every 10 s",
        repeated(lambda exchange: exchange.drop_connections()),
        "connection reset",
        possible=_RECONNECTING,
    )
    yield fault(
        "reset in mid-frame", switched(lambda exchange: exchange.cut_answers()), "connection reset", "poll connection"
    )
    for code in range(1000, 1016):
        switch = written(close_frame(code))
        yield fault(f"closed with code {code}", switch, "connection closed", possible=_RECONNECTING)
    empty = Frame(Opcode.CLOSE, b"").serialize(mask=False)
    yield fault("closed without a code", written(empty), "connection closed", possible=_RECONNECTING)
    yield fault("bytes that are not a frame", written(b"\xff" * 64), "connection closed", possible=_RECONNECTING)
    not_utf8 = Frame(Opcode.TEXT, b"\xff\xfe{").serialize(mask=False)
    yield fault("text that is not UTF-8", written(not_utf8), "connection closed", possible=_RECONNECTING)
    yield fault(
        "half-open",
        switched(lambda exchange: exchange.stall_connections()),
        "connection silent",
        "poll timeout",
        possible=_RECONNECTING,
    )
    yield fault(
        "half-open, and all later connections",
        switched(lambda exchange: exchange.stall_after(1)),
        "connection silent",
        "poll timeout",
        "poll connection",
        possible=frozenset({"frame unknown_id"}),
    )


def _lifetimes_and_clocks() -> Iterator[FaultRow]:
    yield fault(
        "serverShutdown every 20 s",
        repeated(lambda exchange: exchange.announce_shutdown(5.0), 20.0),
        "connection shutdown",
        "frame event",
        duration_seconds=100.0,
    )
    yield fault(
        "connections replaced by rotation",
        switched(lambda _: ExitStack()),
        "connection rotation",
        timing=Timing(rotate_between=(20.0, 30.0)),
        duration_seconds=100.0,
    )
    for seconds in (30.0, -30.0):
        where = "ahead" if seconds > 0 else "behind"
        yield fault(f"exchange's clock steps 30 s {where}", switched(methodcaller("skew_clock", seconds)))
        yield fault(
            f"exchange's clock 30 s {where} from the start",
            switched(methodcaller("skew_clock", seconds)),
            from_start=True,
        )
    yield fault("host's clock steps 30 s", host_clock)
    yield fault("host's clock 30 s wrong from the start", host_clock, from_start=True)
    down = switched(lambda exchange: exchange.reject_handshake(503))
    yield fault("handshake refused from the start", down, "connection rejected", "poll connection", from_start=True)


def _rest() -> Iterator[FaultRow]:
    """Yield the rows in which REST is used: whatever it does, no poll fails."""
    for name in ("rest-hanging", "rest-banned", "rest-wrong-types"):
        fault_of_rest = REST_FAULTS[name]
        yield fault(fault_of_rest.help, switched(fault_of_rest.switch), rest=True)
    yield fault("REST hanging from the start", switched(REST_FAULTS["rest-hanging"].switch), rest=True, from_start=True)


CONNECTIONS: Final = (*_handshakes(), *_open_connections(), *_lifetimes_and_clocks(), *_rest())
