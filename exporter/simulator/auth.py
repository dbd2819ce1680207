"""Authentication as Binance does it: key, mandatory parameters, timestamp and signature, with its error texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.weight import RequestWeight

_API_KEY = re.compile(r"[A-Za-z0-9]{64}")
_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
_KEY_ERROR = "Invalid API-key, IP, or permissions for action"
_DIGITS = re.compile(r"\d{1,20}")


class RequestError(Exception):
    """A rejected request: Binance's status, code, text and, for bans, data."""

    def __init__(self, status: int, code: int, msg: str, data: dict[str, int] | None = None) -> None:
        super().__init__(msg)
        self.status = status
        self.error: dict[str, Any] = {"code": code, "msg": msg}
        if data is not None:
            self.error["data"] = data


class SessionRevokedError(RequestError):
    """The session's key was revoked, which Binance reports with `"id": null`."""

    def __init__(self) -> None:
        super().__init__(401, -2015, f"{_KEY_ERROR}.")


@dataclass(slots=True)
class Session:
    """The state of one connection: since when it exists, and the account that is logged on, if any."""

    connected_since_ms: int
    return_rate_limits: bool
    account: SimulatedAccount | None = None
    authorized_since_ms: int | None = None

    def log_on(self, account: SimulatedAccount, now_ms: int) -> None:
        """Authenticate the connection, which Binance allows for Ed25519 keys only."""
        if account.key_type != "Ed25519":
            hmac = account.key_type == "HMAC"
            raise RequestError(400, -4056, "HMAC_SHA256 API key is not supported." if hmac else "Invalid api key type.")
        self.account, self.authorized_since_ms = account, now_ms

    def log_out(self) -> None:
        """Forget the key."""
        self.account = self.authorized_since_ms = None


class Authenticator:
    """Authenticates requests as one of the accounts."""

    def __init__(self, accounts: Iterable[SimulatedAccount]) -> None:
        self._accounts = {account.api_key: account for account in accounts}

    def authenticate(self, params: Mapping[str, Any], session: Session, now_ms: int) -> SimulatedAccount:
        """Return the account that signed a request, or raise RequestError."""
        if session.account is not None and "apiKey" not in params:
            account = session.account
            if not account.active:
                session.log_out()
                raise SessionRevokedError
            _check_time(params, now_ms)
            return account
        return self._signer(_mandatory(params, "apiKey"), params, signed_payload(params), now_ms)

    def authenticate_query(self, query: str, api_key: str, now_ms: int, ip: str) -> SimulatedAccount:
        """Return the account that signed a REST query, or raise RequestError.

        The signature is of the query as sent, percent-encoded, and is its last parameter.
        """
        payload, _, signature = query.rpartition("&signature=")
        if "&" in signature:
            payload = ""  # parameters after the signature are not covered by it
        caller = f", request ip: {ip}"
        account = self._signer(api_key, dict(parse_qsl(query)), payload, now_ms, caller)
        if not account.key_permissions["enableReading"]:
            raise RequestError(401, -2015, _KEY_ERROR + caller)
        return account

    def _signer(
        self, api_key: str, params: Mapping[str, Any], payload: str, now_ms: int, caller: str = "."
    ) -> SimulatedAccount:
        if not _API_KEY.fullmatch(api_key):
            raise RequestError(401, -2014, "API-key format invalid.")
        signature = _mandatory(params, "signature")
        _mandatory(params, "timestamp")
        owner = self._accounts.get(api_key)
        if owner is None or not owner.active:
            raise RequestError(401, -2015, _KEY_ERROR + caller)
        _check_time(params, now_ms)
        if not owner.key.verifies(payload, signature):
            raise RequestError(400, -1022, "Signature for this request is not valid.")
        return owner

    def owner_of(self, api_key: str) -> SimulatedAccount | None:
        """Return the account of an API key."""
        return self._accounts.get(api_key)

    def claimed_account(self, params: Mapping[str, Any], session: Session) -> SimulatedAccount | None:
        """Return the account that a request claims to be from, without checking it."""
        api_key = params.get("apiKey")
        return self.owner_of(api_key) if isinstance(api_key, str) else session.account


def signed_payload(params: Mapping[str, Any]) -> str:
    """Join all parameters except the signature, sorted by name, as Binance does before verifying."""
    return "&".join(f"{name}={_text(params[name])}" for name in sorted(params) if name != "signature")


def request_id_of(request: object) -> int | str | None:
    """Return a request's id, or raise RequestError if it is not one that Binance can echo."""
    if not isinstance(request, dict):
        raise RequestError(400, -1135, "Invalid JSON request; expected an object.")
    request_id = request.get("id")
    if request_id is None or (isinstance(request_id, int) and not isinstance(request_id, bool)):
        return request_id
    if isinstance(request_id, str) and _ID.fullmatch(request_id):
        return request_id
    expected = "expected an integer, a string matching '^[a-zA-Z0-9-_]{1,36}$', or null."
    raise RequestError(400, -1135, f"Invalid 'id' in JSON request; {expected}")


def method_and_params_of(request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a request's method and parameters, or raise RequestError if their types are wrong."""
    method, params = request.get("method"), request.get("params", {})
    if not isinstance(method, str):
        raise RequestError(400, -1135, "Invalid 'method' in JSON request; expected a string.")
    if not isinstance(params, dict):
        raise RequestError(400, -1135, "Invalid 'params' in JSON request; expected an object.")
    return method, params


def reject_unread(params: Mapping[str, Any], readable: Collection[str]) -> None:
    """Raise RequestError if a parameter was sent that the method does not read."""
    read = sum(name in readable for name in params)
    if read < len(params):
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(params)}'."
        raise RequestError(400, -1104, text)


def weight_refusal(weight: RequestWeight, now: float, ip: str, *, banned: bool, data: bool, text: bool) -> RequestError:
    """Return the error for a request over the weight limit, or from a banned IP.

    `data` and `text` select whether its data and its text contain the end; Binance guarantees neither.
    """
    retry_at_ms = int(weight.retry_at(now) * 1000)
    error_data = {"serverTime": int(now * 1000), "retryAfter": retry_at_ms} if data else None
    if not banned:
        limit = f"current limit of IP({ip}) is {weight.limit} requests per minute"
        advice = "Please use the websocket for live updates to avoid polling the API."
        return RequestError(429, -1003, f"Too many requests; {limit}. {advice}", error_data)
    end = f"until {retry_at_ms}" if text else "for now"
    advice = "Please use the websocket for live updates to avoid bans."
    return RequestError(418, -1003, f"Way too many requests; IP({ip}) banned {end}. {advice}", error_data)


def _check_time(params: Mapping[str, Any], now_ms: int) -> None:
    """Reject a request signed longer ago than recvWindow, or a second or more in the future."""
    text = _mandatory(params, "timestamp")
    if not _DIGITS.fullmatch(text):
        raise RequestError(400, -1102, _MISSING.format("timestamp"))
    window = _text(params.get("recvWindow", 5000))
    if not _DIGITS.fullmatch(window):
        legal = "legal range is '^\\d{1,20}$'."
        raise RequestError(400, -1100, f"Illegal characters found in parameter 'recvWindow'; {legal}")
    if int(window) > 60_000:
        raise RequestError(400, -1131, "recvWindow must be less than 60000")
    if int(text) >= now_ms + 1000:
        raise RequestError(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - int(text) > int(window):
        raise RequestError(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def _mandatory(params: Mapping[str, Any], name: str) -> str:
    text = _text(params.get(name))
    if not text:
        raise RequestError(400, -1102, _MISSING.format(name))
    return text


_MISSING = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."


def _text(value: object) -> str:
    """Return a JSON value as it is signed: text as it is, true and false in lower case, null empty."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
