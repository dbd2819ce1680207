"""The REST side of the simulated exchange: paths, weights, signatures, and HTTP with keep-alive."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from exporter.simulator.answer_edits import encode
from exporter.simulator.auth import RequestError, reject_unread, weight_refusal
from exporter.simulator.handlers import Received
from exporter.simulator.market import SYMBOLS
from exporter.simulator.rest_answers import (
    PRICED_ASSETS,
    api_restrictions,
    asset_index,
    funding_info,
    income,
    premium_index,
)

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping

    from websockets.http11 import Request, Response

    from exporter.simulator.answer_edits import Answer, Frame
    from exporter.simulator.auth import Authenticator
    from exporter.simulator.connection import Connection
    from exporter.simulator.faults import Faults
    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.state import ExchangeState
    from exporter.simulator.weight import RequestWeight

PREMIUM_INDEX: Final = "/fapi/v1/premiumIndex"
FUNDING_INFO: Final = "/fapi/v1/fundingInfo"
ASSET_INDEX: Final = "/fapi/v1/assetIndex"
INCOME: Final = "/fapi/v1/income"
API_RESTRICTIONS: Final = "/sapi/v1/account/apiRestrictions"

_MOST_ROWS: Final = 1000
_SIGNED: Final = frozenset({INCOME, API_RESTRICTIONS})
_SIGNATURE: Final = frozenset({"timestamp", "recvWindow", "signature"})
_PARAMETERS: Final[dict[str, frozenset[str]]] = {
    PREMIUM_INDEX: frozenset({"symbol"}),
    FUNDING_INFO: frozenset(),
    ASSET_INDEX: frozenset({"symbol"}),
    INCOME: _SIGNATURE | {"symbol", "incomeType", "startTime", "endTime", "limit"},
    API_RESTRICTIONS: _SIGNATURE,
}


class RestRequest(NamedTuple):
    """An HTTP request; the names of its headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    ip: str

    @property
    def path(self) -> str:
        """The path."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as sent."""
        return self.target.partition("?")[2]

    @property
    def api_key(self) -> str:
        """The API key that the request names, empty if it names none."""
        return self.headers.get("x-mbx-apikey", "")


class RestServer:
    """Answers REST requests for the accounts of a state.

    An answer is a dictionary of status, headers and body until it is sent, for the faults to edit.
    """

    def __init__(
        self, state: ExchangeState, faults: Faults, authenticator: Authenticator, received: deque[Received]
    ) -> None:
        self._state = state
        self._faults = faults
        self._authenticator = authenticator
        self._received = received

    async def serve(self, connection: Connection, request: Request) -> Response:
        """Answer a connection's requests until it ends; the returned response is not sent any more."""
        connection.rest = asyncio.StreamReader()
        ip = connection.remote_address[0]
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        following: RestRequest | None = RestRequest(request.method, request.path, headers, ip)
        while following is not None:
            keep_alive = following.method == "GET" and following.headers.get("connection", "").lower() != "close"
            await self._answer(connection, following)
            if not keep_alive:
                connection.hang_up()
            following = await _next_request(connection.rest, ip)
        connection.hang_up()
        await connection.wait_closed()
        return connection.respond(HTTPStatus.GONE, "")

    async def _answer(self, connection: Connection, request: RestRequest) -> None:
        owner = self._authenticator.owner_of(request.api_key)
        account = owner.name if owner else None
        answer = self._respond(request)
        frames = self._faults.replaced(request.path, account, answer)
        cut = self._faults.is_cut(request.path, account)
        if delay_seconds := self._faults.delay_of(request.path, account):
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), delay_seconds)
        for frame in frames:
            connection.write(self._serialize(frame, answer), cut=cut)

    def _respond(self, request: RestRequest) -> Answer:
        params = dict(parse_qsl(request.query, keep_blank_values=True))
        named = {"apiKey": request.api_key} if request.api_key else {}
        unsigned = {name: value for name, value in params.items() if name != "signature"}
        self._received.append(Received(request.path, named | unsigned))
        headers: dict[str, str] = {}
        try:
            self._charge(request, params, headers)
            return {"status": 200, "headers": headers, "body": self._result(request, params)}
        except RequestError as error:
            return {"status": error.status, "headers": headers, "body": error.error}

    def _charge(self, request: RestRequest, params: Mapping[str, str], headers: dict[str, str]) -> None:
        now = self._faults.server_time()
        charges: list[tuple[RequestWeight, int]] = []
        if request.path.startswith("/sapi/"):
            charges.append((self._faults.sapi_weight, 1))
        else:
            charges.append((self._faults.rest_weight, _weight_of(request.path, params)))
        if request.path == FUNDING_INFO:
            charges.append((self._faults.funding_info_requests, 1))
        statuses = [pool.charge(weight, now) for pool, weight in charges]
        name = "X-SAPI-USED-IP-WEIGHT-1M" if request.path.startswith("/sapi/") else "X-MBX-USED-WEIGHT-1M"
        headers[name] = str(charges[0][0].count(now))
        for (pool, _), status in zip(charges, statuses, strict=True):
            if status != 200:
                headers["Retry-After"] = str(math.ceil(pool.retry_at(now) - now))
                raise weight_refusal(pool, now, request.ip, banned=status == 418, data=False, text=True)

    def _result(self, request: RestRequest, params: Mapping[str, str]) -> object:
        if request.method != "GET" or request.path not in _PARAMETERS:
            raise RequestError(404, -5000, f"Path {request.path}, Method {request.method} is invalid")
        account: SimulatedAccount | None = None
        now_ms = int(self._faults.server_time() * 1000)
        if request.path in _SIGNED:
            account = self._authenticator.authenticate_query(request.query, request.api_key, now_ms, request.ip)
        reject_unread(params, _PARAMETERS[request.path])
        self._state.advance()
        if account is not None and request.path == INCOME:
            _check_income_parameters(params)
            return income(account, params, now_ms, int(self._faults.income_lag() * 1000))
        if account is not None:
            return api_restrictions(account)
        symbol = params.get("symbol")
        known = {f"{asset}USD" for asset in PRICED_ASSETS} if request.path == ASSET_INDEX else SYMBOLS
        if symbol is not None and symbol not in known:
            raise RequestError(400, -1121, "Invalid symbol.")
        if request.path == PREMIUM_INDEX:
            return premium_index(self._state, now_ms, symbol)
        return funding_info() if request.path == FUNDING_INFO else asset_index(self._state, now_ms, symbol)

    def _serialize(self, frame: Frame, answer: Answer) -> bytes:
        """Return the bytes to write; a raw frame is written as it is."""
        if isinstance(frame, str):
            return frame.encode()
        if isinstance(frame, bytes):
            return frame
        body = frame["body"]
        content = body if isinstance(body, str | bytes) else encode(body)
        content = content.encode() if isinstance(content, str) else content
        headers = {
            "Date": formatdate(self._faults.server_time(), usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            # Also if a fault replaced the answer.
            **answer["headers"],
            **frame["headers"],
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {frame['status']} Simulated\r\n{head}\r\n".encode() + content


def _weight_of(path: str, params: Mapping[str, str]) -> int:
    """Return a path's weight, by the REST reference of USDⓈ-M futures in Binance's developer documentation."""
    if path in {PREMIUM_INDEX, ASSET_INDEX}:
        return 1 if "symbol" in params else 10
    return {FUNDING_INFO: 0, INCOME: 30}.get(path, 1)


def _check_income_parameters(params: Mapping[str, str]) -> None:
    for name in ("startTime", "endTime", "limit"):
        if not re.fullmatch(r"\d{1,18}", params.get(name, "0")):
            raise RequestError(400, -1100, f"Illegal characters found in parameter '{name}'.")
    if not 1 <= int(params.get("limit", 1)) <= _MOST_ROWS:
        raise RequestError(400, -1130, "Data sent for parameter 'limit' is not valid.")
    if "startTime" in params and "endTime" in params and int(params["startTime"]) > int(params["endTime"]):
        raise RequestError(400, -1023, "Start time is greater than end time.")


async def _next_request(reader: asyncio.StreamReader, ip: str) -> RestRequest | None:
    """Return a connection's next request, None if it ended or sent something else."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = line.split(" ")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    pairs = (line.partition(":") for line in lines)
    return RestRequest(method, target, {name.lower(): value.strip() for name, _, value in pairs}, ip)
