"""The handling of a request: charge its weight, authenticate it, and answer it from the accounts' ledgers."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.simulator.answers import (
    account_balance,
    account_position,
    account_position_v1,
    account_status,
    account_status_v1,
)
from exporter.simulator.auth import (
    RequestError,
    Session,
    SessionRevokedError,
    method_and_params_of,
    reject_unread,
    request_id_of,
    weight_refusal,
)
from exporter.simulator.market import SYMBOLS

if TYPE_CHECKING:
    from collections import deque

    from exporter.simulator.auth import Authenticator
    from exporter.simulator.faults import Faults
    from exporter.simulator.state import ExchangeState

# By the WebSocket API reference of USDⓈ-M futures in Binance's developer documentation, as of August 2026.
WEIGHTS = {
    "v2/account.status": 5,
    "v2/account.balance": 5,
    "v2/account.position": 5,
    "account.status": 5,
    "account.balance": 5,
    "account.position": 5,
    "session.logon": 2,
    "session.status": 2,
    "session.logout": 2,
}
_PARAMETERS = frozenset({"apiKey", "signature", "timestamp", "recvWindow", "returnRateLimits"})


class Received(NamedTuple):
    """A request as received, without its signature; of REST with the path as its method."""

    method: str
    params: dict[str, Any]


class Answered(NamedTuple):
    """An answer, its request's method (empty if the frame was unreadable), and the account it claims to be from."""

    answer: dict[str, Any]
    method: str
    account: str | None


class RequestHandler:
    """Answers requests of the WebSocket API for the accounts of a state."""

    def __init__(
        self,
        state: ExchangeState,
        faults: Faults,
        authenticator: Authenticator,
        received: deque[Received],
        extra_symbols: int,
    ) -> None:
        self._state = state
        self._faults = faults
        self._authenticator = authenticator
        self._received = received
        self._extra_symbols = extra_symbols

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds since the epoch."""
        return int(self._faults.server_time() * 1000)

    def answer(self, message: str | bytes, session: Session, ip: str) -> Answered:
        """Return the answer to a frame."""
        request_id: int | str | None = None
        method = ""
        params: dict[str, Any] = {}
        try:
            request = _decode(message)
            request_id = request_id_of(request)
            method, params = method_and_params_of(request)
            signed = {name: value for name, value in params.items() if name != "signature"}
            self._received.append(Received(method, signed))
            self._charge(WEIGHTS.get(method, 1), ip)
            answer = {"id": request_id, "status": 200, "result": self._result(method, params, session)}
        except RequestError as error:
            if isinstance(error, SessionRevokedError):
                request_id = None
            if not method:
                # An unreadable frame has a weight, too.
                self._faults.add_other_traffic(1)
            answer = {"id": request_id, "status": error.status, "error": error.error}
        with_limits = params.get("returnRateLimits", session.return_rate_limits)
        if with_limits not in (False, "false"):
            answer["rateLimits"] = [self._faults.weight.rate_limit(self._faults.server_time())]
        owner = self._authenticator.claimed_account(params, session)
        return Answered(answer, method, owner.name if owner else None)

    def _result(self, method: str, params: dict[str, Any], session: Session) -> object:
        if method not in WEIGHTS:
            name = method if re.match(r"v\d+/", method) else f"v1/{method}"
            raise RequestError(404, -5000, f"Method {name} is invalid")
        if method.startswith("session."):
            return self._session_result(method, params, session)
        account = self._authenticator.authenticate(params, session, self.now_ms())
        takes_symbol = method.endswith("account.position")
        reject_unread(params, _PARAMETERS | {"symbol"} if takes_symbol else _PARAMETERS)
        self._state.advance()
        if method == "v2/account.status":
            return account_status(account)
        if method == "account.status":
            return account_status_v1(account, self._extra_symbols)
        if not takes_symbol:
            return account_balance(account)
        symbol = params.get("symbol")
        if symbol is not None and str(symbol) not in SYMBOLS:
            raise RequestError(400, -1121, "Invalid symbol.")
        return (account_position_v1 if method == "account.position" else account_position)(account, symbol)

    def _session_result(self, method: str, params: dict[str, Any], session: Session) -> dict[str, Any]:
        account = (
            self._authenticator.authenticate(params, session, self.now_ms()) if method == "session.logon" else None
        )
        reject_unread(params, _PARAMETERS)
        if account:
            session.log_on(account, self.now_ms())
        elif method == "session.logout":
            session.log_out()
        return {
            "apiKey": session.account.api_key if session.account else None,
            "authorizedSince": session.authorized_since_ms,
            "connectedSince": session.connected_since_ms,
            "returnRateLimits": session.return_rate_limits,
            "serverTime": self.now_ms(),
        }

    def _charge(self, weight: int, ip: str) -> None:
        status = self._faults.charge(weight)
        if status == 200:
            return
        data, text = self._faults.ban_details()
        now = self._faults.server_time()
        raise weight_refusal(self._faults.weight, now, ip, banned=status == 418, data=data, text=text)


def _decode(message: str | bytes) -> Any:
    try:
        # Numbers keep their digits, since they are signed as written.
        return json.loads(message, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, -1135, "Invalid JSON request.") from error
