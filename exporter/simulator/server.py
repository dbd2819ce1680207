"""The simulated exchange: a server that speaks Binance's USDⓈ-M futures WebSocket API, and some of REST."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import ExitStack, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from exporter.simulator.auth import Authenticator, Session
from exporter.simulator.connection import Connection
from exporter.simulator.faults import Faults
from exporter.simulator.handlers import Received, RequestHandler
from exporter.simulator.rest import RestServer
from exporter.simulator.state import ExchangeState
from exporter.simulator.weight import RequestWeight

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterable

    from websockets.http11 import Request, Response

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.market import Market
    from exporter.simulator.scenario import Scenario

PATH = "/ws-fapi/v1"
REST_PATHS = ("/fapi/", "/sapi/")
_HANDSHAKE_WEIGHT = 5
_STOP_SECONDS = 0.5


class SimulatedExchange(Faults):
    """A simulated exchange: `async with SimulatedExchange(accounts) as exchange`.

    Args:
        accounts: its accounts.
        seed: of the market.
        clock: returns seconds since the epoch.
        speed: seconds of scenario time per second of the clock.
        scenario: its events; without one prices only swing.
        weight_limit: request-weight limit of a minute.
        tolerated_requests: how many requests over the limit are answered with 429 before the IP is banned.
        ban_seconds: duration of such a ban.
        ban_data: whether errors for weight have `data` with serverTime and retryAfter.
        ban_text: whether the text of a ban contains its end.
        extra_symbols: how many more symbols `account.status` lists, in hedge mode with two rows each.
        funding_hour_seconds: duration of an hour of the funding intervals in scenario time, from its beginning; without
            it the hours are those of UTC.
    """

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount],
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        speed: float = 1.0,
        scenario: Scenario | None = None,
        weight_limit: int = 2400,
        tolerated_requests: int = 10,
        ban_seconds: float = 120.0,
        ban_data: bool = True,
        ban_text: bool = True,
        extra_symbols: int = 0,
        funding_hour_seconds: float | None = None,
    ) -> None:
        weight = RequestWeight(weight_limit, tolerated_requests=tolerated_requests, ban_seconds=ban_seconds)
        super().__init__(clock, weight, ban_data=ban_data, ban_text=ban_text)
        self._state = ExchangeState(
            accounts, seed=seed, clock=clock, speed=speed, scenario=scenario, funding_hour_seconds=funding_hour_seconds
        )
        self._server: Server | None = None
        self.received = deque[Received](maxlen=10_000)
        """The latest requests of both APIs."""
        authenticator = Authenticator(self._state.accounts.values())
        self._handler = RequestHandler(self._state, self, authenticator, self.received, extra_symbols)
        self._rest = RestServer(self._state, self, authenticator, self.received)
        self.url = ""
        self.rest_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Start listening; then `url` and `rest_url` are set: both APIs have one port."""
        exchange = self

        class FaultyConnection(Connection):
            """A connection with the faults of this exchange."""

            faults = exchange

        self._server = await serve(
            self._serve,
            host,
            port,
            create_connection=FaultyConnection,
            process_request=self._open,
            process_response=self._date,
            open_timeout=None,  # a stalled handshake must stay unanswered
            ping_interval=180,
            ping_timeout=600,
            close_timeout=_STOP_SECONDS,
            compression=None,
        )
        bound_port = self._server.sockets[0].getsockname()[1]
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to connect, not to listen
        netloc = f"[{address}]:{bound_port}" if ":" in address else f"{address}:{bound_port}"
        self.url, self.rest_url = f"ws://{netloc}{PATH}", f"http://{netloc}"

    async def stop(self) -> None:
        """Close every connection and stop listening, without waiting for clients or delayed answers."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in [connection for connection in self.connections if connection.rest]:
            connection.drop()  # it would be kept alive
        server.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _STOP_SECONDS)
        self.drop_connections()
        await server.wait_closed()

    @property
    def market(self) -> Market:
        """The market, to pin prices in."""
        return self._state.market

    @property
    def accounts(self) -> dict[str, SimulatedAccount]:
        """The accounts by name, as of the last request."""
        return self._state.accounts

    def account(self, name: str) -> SimulatedAccount:
        """Return an account by its name, moved to now, to inspect or to trade with."""
        self._state.advance()
        return self._state.accounts[name]

    def revoke(self, name: str) -> ExitStack:
        """Make an account's key invalid."""
        self._state.accounts[name].active = False
        undo = ExitStack()
        undo.callback(self.restore, name)
        return undo

    def restore(self, name: str) -> None:
        """Make an account's key valid again."""
        self._state.accounts[name].active = True

    async def _open(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Connection)
        if urlsplit(request.path).path.startswith(REST_PATHS):
            return await self._rest.serve(connection, request)
        status = self.charge(_HANDSHAKE_WEIGHT)
        if (rejection := self.handshake_rejection()) is not None:
            # Any number is allowed, also one that http.HTTPStatus does not define.
            response = connection.respond(400, "rejected\n")
            response.status_code, headers = rejection
            response.reason_phrase = "Refused"
            response.headers.update(headers)
            return response
        if status != 200:
            response = connection.respond(status, "too much request weight used\n")
            if any(self.ban_details()):
                now = self.server_time()
                response.headers["Retry-After"] = str(max(1, round(self.weight.retry_at(now) - now)))
            return response
        return None if urlsplit(request.path).path == PATH else connection.respond(404, "not found\n")

    def _date(self, connection: ServerConnection, request: Request, response: Response) -> None:  # noqa: ARG002
        # By the exchange's clock, not by this machine's.
        del response.headers["Date"]
        response.headers["Date"] = formatdate(self.server_time(), usegmt=True)

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        session = Session(self._handler.now_ms(), return_rate_limits=query.get("returnRateLimits") != ["false"])
        ip = connection.remote_address[0]
        with suppress(ConnectionClosed):
            await self.close_if_due(connection)
            async for message in connection:
                answer, method, account = self._handler.answer(message, session, ip)
                frames = self.frames_of(method, account, answer)
                cut = self.is_cut(method, account)
                if delay_seconds := self.delay_of(method, account):
                    self._start(_send(connection, frames, cut=cut, delay_seconds=delay_seconds))
                else:
                    await _send(connection, frames, cut=cut)
                connection.requests += 1
                await self.close_if_due(connection)


async def _send(connection: Connection, frames: list[str | bytes], *, cut: bool, delay_seconds: float = 0.0) -> None:
    if delay_seconds:
        await asyncio.sleep(delay_seconds)
    with suppress(ConnectionClosed):
        for frame in frames:
            if cut:
                connection.cut(frame)
            else:
                await connection.send(frame)
