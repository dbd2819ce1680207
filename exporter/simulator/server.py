"""The simulated exchange: a WebSocket server that speaks Binance's USDⓈ-M futures WebSocket API."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from contextlib import suppress
from decimal import Decimal
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from exporter.simulator.answers import account_balance, account_position, account_status, account_status_v1
from exporter.simulator.faults import Faults
from exporter.simulator.gate import (
    Gate,
    RequestError,
    Session,
    SessionRevokedError,
    method_and_params_of,
    request_id_of,
    weight_refusal,
)
from exporter.simulator.market import SYMBOLS
from exporter.simulator.venue import Venue
from exporter.simulator.weight import RequestWeight

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterable

    from websockets.http11 import Request, Response

    from exporter.simulator.books import SimulatedAccount
    from exporter.simulator.market import Market
    from exporter.simulator.story import Story

PATH = "/ws-fapi/v1"
WEIGHTS = {
    "v2/account.status": 5,
    "v2/account.balance": 5,
    "v2/account.position": 5,
    "account.status": 10,
    "session.logon": 2,
    "session.status": 2,
    "session.logout": 2,
}
_HANDSHAKE_WEIGHT = 5
_STOP_SECONDS = 0.5


class Received(NamedTuple):
    """A request as it arrived, without its signature."""

    method: str
    params: dict[str, Any]


class SimulatedExchange(Faults):
    """An exchange with accounts of its own: `async with SimulatedExchange(accounts) as exchange`.

    Args:
        accounts: who trades here.
        seed: decides the market.
        clock: tells seconds since the epoch.
        speed: how many times faster than the clock the story runs.
        story: what happens; without one the market just swings.
        weight_limit: request weight of a minute.
        patience: how many requests over the limit are answered 429 before the IP is banned.
        ban_seconds: how long such a ban lasts.
        ban_data: whether refusals for weight carry `data` with serverTime and retryAfter.
        ban_text: whether the text of a ban tells its end.
        padding_symbols: how many more symbols nobody trades `account.status` lists.
    """

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount],
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        speed: float = 1.0,
        story: Story | None = None,
        weight_limit: int = 2400,
        patience: int = 10,
        ban_seconds: float = 120.0,
        ban_data: bool = True,
        ban_text: bool = True,
        padding_symbols: int = 0,
    ) -> None:
        super().__init__(clock, RequestWeight(weight_limit, patience=patience, ban_seconds=ban_seconds))
        self._venue = Venue(accounts, seed=seed, clock=clock, speed=speed, story=story)
        self._gate = Gate(self._venue.accounts.values())
        self._ban_data = ban_data
        self._ban_text = ban_text
        self._padding_symbols = padding_symbols
        self._server: Server | None = None
        self._delayed: set[asyncio.Task[None]] = set()
        self.received: deque[Received] = deque(maxlen=10_000)
        self.url = ""

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
        """Listen; `url` is known from then on."""
        connections = self.connections

        class Connection(ServerConnection):
            """A connection that the exchange knows of before its handshake is over."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connections.add(self)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.discard(self)
                super().connection_lost(exc)

        self._server = await serve(
            self._serve,
            host,
            port,
            create_connection=Connection,
            process_request=self._open,
            process_response=self._date,
            ping_interval=180,
            ping_timeout=600,
            close_timeout=_STOP_SECONDS,
            compression=None,
        )
        bound = self._server.sockets[0].getsockname()[1]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to dial, not to listen
        self.url = f"ws://[{shown}]:{bound}{PATH}" if ":" in shown else f"ws://{shown}:{bound}{PATH}"

    async def stop(self) -> None:
        """Close every connection and stop listening, promptly, whatever clients do and answers are due."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for task in self._delayed:
            task.cancel()
        await asyncio.gather(*self._delayed, return_exceptions=True)
        server.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _STOP_SECONDS)
        self.drop_connections()
        await server.wait_closed()

    @property
    def market(self) -> Market:
        """The market, to pin prices in."""
        return self._venue.market

    @property
    def accounts(self) -> dict[str, SimulatedAccount]:
        """The accounts by name, as somebody last looked at them."""
        return self._venue.accounts

    def account(self, name: str) -> SimulatedAccount:
        """Tell an account by its name, moved to now, to look at or to trade with."""
        self._venue.advance()
        return self._venue.accounts[name]

    def revoke(self, name: str) -> None:
        """Make an account's key invalid."""
        self._venue.accounts[name].active = False

    def restore(self, name: str) -> None:
        """Make an account's key valid again."""
        self._venue.accounts[name].active = True

    def add_other_traffic(self, weight: int) -> None:
        """Spend request weight as another program behind the same IP."""
        self.weight.add(weight, self.server_time())

    def spent_weight(self) -> int:
        """Tell the request weight of the current minute, other programs' included."""
        return self.weight.count(self.server_time())

    def _open(self, connection: ServerConnection, request: Request) -> Response | None:
        now = self.server_time()
        status: int = self.weight.charge(_HANDSHAKE_WEIGHT, now)
        if self._handshake_status is not None:
            return connection.respond(self._handshake_status, "refused\n")
        if status != 200:
            response = connection.respond(status, "too much request weight used\n")
            response.headers["Retry-After"] = str(max(1, round(self.weight.retry_at(now) - now)))
            return response
        return None if urlsplit(request.path).path == PATH else connection.respond(404, "not found\n")

    def _date(self, connection: ServerConnection, request: Request, response: Response) -> None:  # noqa: ARG002
        # The exchange's clock, not this machine's.
        del response.headers["Date"]
        response.headers["Date"] = formatdate(self.server_time(), usegmt=True)

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        session = Session(self._now_ms(), return_rate_limits=query.get("returnRateLimits") != ["false"])
        ip = connection.remote_address[0]
        with suppress(ConnectionClosed):
            async for message in connection:
                frame = self._answer(message, session, ip)
                if self._answers_lost:
                    continue
                if self._delay_seconds:
                    task = asyncio.create_task(_send_later(connection, frame, self._delay_seconds))
                    self._delayed.add(task)
                    task.add_done_callback(self._delayed.discard)
                else:
                    await connection.send(frame)

    def _answer(self, message: str | bytes, session: Session, ip: str) -> str | bytes:
        request_id: int | str | None = None
        method = ""
        params: dict[str, Any] = {}
        try:
            request = _decode(message)
            request_id = request_id_of(request)
            method, params = method_and_params_of(request)
            signed = {name: value for name, value in params.items() if name != "signature"}
            self.received.append(Received(method, signed))
            self._charge(WEIGHTS.get(method, 1), ip)
            answer = {"id": request_id, "status": 200, "result": self._result(method, params, session)}
        except RequestError as refusal:
            if isinstance(refusal, SessionRevokedError):
                request_id = None
            if not method:
                # A frame that cannot be read costs its sender, too.
                self.weight.add(1, self.server_time())
            answer = {"id": request_id, "status": refusal.status, "error": refusal.error}
        shown = params.get("returnRateLimits", session.return_rate_limits)
        if shown not in (False, "false"):
            answer["rateLimits"] = [self.weight.rate_limit(self.server_time())]
        owner = self._gate.claimed(params, session)
        replaced = self._replace(method, owner.name if owner else None, answer)
        if isinstance(replaced, dict):
            return json.dumps(replaced, ensure_ascii=False, separators=(",", ":"))
        return replaced

    def _result(self, method: str, params: dict[str, Any], session: Session) -> object:
        if method not in WEIGHTS:
            name = method if re.match(r"v\d+/", method) else f"v1/{method}"
            raise RequestError(404, -5000, f"Method {name} is invalid")
        if method == "session.logout":
            session.log_out()
        elif method == "session.logon":
            session.log_on(self._gate.admit(params, session, self._now_ms()), self._now_ms())
        if method.startswith("session."):
            return {
                "apiKey": session.account.api_key if session.account else None,
                "authorizedSince": session.authorized_since_ms,
                "connectedSince": session.connected_since_ms,
                "returnRateLimits": session.return_rate_limits,
                "serverTime": self._now_ms(),
            }
        account = self._gate.admit(params, session, self._now_ms())
        self._venue.advance()
        if method == "v2/account.status":
            return account_status(account)
        if method == "v2/account.balance":
            return account_balance(account)
        if method == "account.status":
            return account_status_v1(account, self._padding_symbols)
        symbol = params.get("symbol")
        if symbol is not None and str(symbol) not in SYMBOLS:
            raise RequestError(400, -1121, "Invalid symbol.")
        return account_position(account, symbol)

    def _charge(self, weight: int, ip: str) -> None:
        now = self.server_time()
        status = self.weight.charge(weight, now)
        if status == 200:
            return
        raise weight_refusal(self.weight, now, ip, banned=status == 418, data=self._ban_data, text=self._ban_text)

    def _now_ms(self) -> int:
        return int(self.server_time() * 1000)


def _decode(message: str | bytes) -> Any:
    try:
        # Numbers keep their digits: they are signed as they were written.
        return json.loads(message, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, -1135, "Invalid JSON request.") from error


async def _send_later(connection: ServerConnection, frame: str | bytes, delay_seconds: float) -> None:
    await asyncio.sleep(delay_seconds)
    with suppress(ConnectionClosed):
        await connection.send(frame)
