"""The simulated exchange's authentication and checks of requests, with Binance's codes and texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.methods import STATUS
from support.simulator_client import Client, exchange_of, sign

from exporter.simulator import KeyType, SimulatedAccount, SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.clocks import Clock

AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."
OUTSIDE = "Timestamp for this request is outside of the recvWindow."
WRONG_ID = "Invalid 'id' in JSON request; expected an integer, a string matching '^[a-zA-Z0-9-_]{1,36}$', or null."
WRONG_IDS: list[Any] = [True, 1.5, "a" * 37, "", {}]
NO_KEY = "Invalid API-key, IP, or permissions for action."


@pytest.fixture
def account() -> SimulatedAccount:
    """Return an account whose key signs fast."""
    return SimulatedAccount("main", "Ed25519")


@pytest.fixture
async def served(account: SimulatedAccount, clock: Clock) -> AsyncIterator[tuple[SimulatedExchange, Client]]:
    """Start an exchange with the account, and connect to it."""
    async with exchange_of(account, clock=clock) as pair:
        yield pair


@pytest.fixture
def client(served: tuple[SimulatedExchange, Client]) -> Client:
    """Connect to the exchange."""
    return served[1]


def missing(name: str) -> str:
    """Return Binance's text for a missing mandatory parameter."""
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


@pytest.mark.parametrize("key_type", ["HMAC", "RSA", "Ed25519"])
async def test_signatures_of_all_key_types_are_verified(key_type: KeyType, clock: Clock) -> None:
    """A valid signature is accepted and an invalid one rejected, for every key type."""
    account = SimulatedAccount("main", key_type)
    async with exchange_of(account, clock=clock) as (_, client):
        granted = await client.signed(account, STATUS, recvWindow="5000")
        params = sign(account, clock)
        rejected = await client.ask(STATUS, params | {"timestamp": clock.now_ms - 1})

    assert granted["status"] == 200
    assert (rejected["status"], rejected["error"]) == (
        400,
        {"code": -1022, "msg": "Signature for this request is not valid."},
    )


@pytest.mark.parametrize("value", [1.5, True, None, "half \ud800", "币"])
async def test_every_parameter_is_signed(value: Any, clock: Clock) -> None:
    """A parameter of any type that was added after signing makes the signature invalid."""
    account = SimulatedAccount("main")
    async with exchange_of(account, clock=clock) as (_, client):
        answer = await client.ask(STATUS, sign(account, clock) | {"extra": value})

    assert answer["error"]["code"] == -1022


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"apiKey": None}, 400, -1102, missing("apiKey")),
        ({"signature": ""}, 400, -1102, missing("signature")),
        ({"timestamp": ""}, 400, -1102, missing("timestamp")),
        ({"timestamp": "now"}, 400, -1102, missing("timestamp")),
        ({"apiKey": "short"}, 401, -2014, "API-key format invalid."),
        ({"apiKey": "a" * 64}, 401, -2015, NO_KEY),
        ({"recvWindow": 60001}, 400, -1131, "recvWindow must be less than 60000"),
        (
            {"recvWindow": "wide"},
            400,
            -1100,
            "Illegal characters found in parameter 'recvWindow'; legal range is '^\\d{1,20}$'.",
        ),
    ],
)
async def test_invalid_parameters_are_rejected(
    client: Client,
    account: SimulatedAccount,
    clock: Clock,
    change: dict[str, Any],
    status: int,
    code: int,
    words: str,
) -> None:
    """A missing or invalid parameter is rejected with Binance's text."""
    answer = await client.ask(STATUS, sign(account, clock) | change)

    assert (answer["status"], answer["error"]) == (status, {"code": code, "msg": words})


@pytest.mark.parametrize(
    ("method", "params", "read"),
    [
        (STATUS, {"extra": 1}, 3),
        (STATUS, {"symbol": "BTCUSDT", "recvWindow": 5000}, 4),
        ("v2/account.balance", {"symbol": "BTCUSDT", "returnRateLimits": True}, 4),
        ("account.status", {"extra": "币"}, 3),
        ("account.position", {"symbol": "BTCUSDT", "pair": "BTCUSDT"}, 4),
        ("session.logon", {"extra": ""}, 3),
        ("session.status", {"extra": ""}, 3),
    ],
)
async def test_unread_parameters_are_rejected(
    client: Client, account: SimulatedAccount, method: str, params: dict[str, Any], read: int
) -> None:
    """A signed parameter that the method does not read is rejected, with the count in Binance's text."""
    answer = await client.signed(account, method, **params)
    words = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{read + 1}'."

    assert (answer["status"], answer["error"]) == (400, {"code": -1104, "msg": words})


@pytest.mark.parametrize(
    ("offset_ms", "window", "words"),
    [
        (999, {}, None),
        (1000, {"recvWindow": 60000}, AHEAD),
        (-5000, {}, None),
        (-5001, {}, OUTSIDE),
        (-60000, {"recvWindow": "60000"}, None),
        (-101, {"recvWindow": 100}, OUTSIDE),
    ],
)
async def test_timestamp_has_to_fit_the_window(
    client: Client, account: SimulatedAccount, clock: Clock, offset_ms: int, window: dict[str, Any], words: str | None
) -> None:
    """A request is accepted from recvWindow in the past to just below a second in the future."""
    answer = await client.signed(account, STATUS, timestamp=clock.now_ms + offset_ms, **window)

    if words is None:
        assert answer["status"] == 200
    else:
        assert (answer["status"], answer["error"]) == (400, {"code": -1021, "msg": words})


async def test_revoked_key_is_rejected_until_restored(
    served: tuple[SimulatedExchange, Client], account: SimulatedAccount
) -> None:
    """A revoked key is rejected as an unknown one is."""
    exchange, client = served
    exchange.revoke("main")
    rejected = await client.signed(account, STATUS)
    exchange.restore("main")
    granted = await client.signed(account, STATUS)

    assert (rejected["status"], rejected["error"]) == (401, {"code": -2015, "msg": NO_KEY})
    assert granted["status"] == 200


async def test_session_replaces_key_and_signature(client: Client, account: SimulatedAccount, clock: Clock) -> None:
    """After a logon requests need only a timestamp; session.status shows the session, and a logout ends it."""
    before = (await client.ask("session.status"))["result"]
    logged_on = await client.result(account, "session.logon")
    granted = await client.ask(STATUS, {"timestamp": clock.now_ms})
    late = await client.ask(STATUS, {"timestamp": clock.now_ms - 6000})
    logged_out = (await client.ask("session.logout"))["result"]
    rejected = await client.ask(STATUS, {"timestamp": clock.now_ms})

    assert before == {
        "apiKey": None,
        "authorizedSince": None,
        "connectedSince": clock.now_ms,
        "returnRateLimits": True,
        "serverTime": clock.now_ms,
    }
    assert logged_on == before | {"apiKey": account.api_key, "authorizedSince": clock.now_ms}
    assert granted["status"] == 200
    assert late["error"]["code"] == -1021
    assert logged_out == before
    assert rejected["error"] == {"code": -1102, "msg": missing("apiKey")}


@pytest.mark.parametrize(
    ("key_type", "words"), [("HMAC", "HMAC_SHA256 API key is not supported."), ("RSA", "Invalid api key type.")]
)
async def test_logon_is_for_ed25519_alone(key_type: KeyType, words: str, clock: Clock) -> None:
    """Keys of the other kinds cannot log on."""
    account = SimulatedAccount("main", key_type)
    async with exchange_of(account, clock=clock) as (_, client):
        answer = await client.signed(account, "session.logon")

    assert (answer["status"], answer["error"]) == (400, {"code": -4056, "msg": words})


async def test_revoked_session_is_reported_without_an_id(
    served: tuple[SimulatedExchange, Client], account: SimulatedAccount, clock: Clock
) -> None:
    """When the key of a session is revoked, the error has no request id, and the session is over."""
    exchange, client = served
    await client.result(account, "session.logon")
    exchange.revoke("main")
    answer = await client.ask(STATUS, {"timestamp": clock.now_ms})
    status = await client.ask("session.status")

    assert (answer["id"], answer["status"], answer["error"]) == (None, 401, {"code": -2015, "msg": NO_KEY})
    assert status["result"]["apiKey"] is None


@pytest.mark.parametrize(
    ("method", "name"),
    [("v1/login", "v1/login"), ("order.place", "v1/order.place"), ("v2/account.gone", "v2/account.gone")],
)
async def test_unknown_method_is_invalid(client: Client, method: str, name: str) -> None:
    """An unknown method is a 404 that names its version."""
    answer = await client.ask(method)

    assert (answer["status"], answer["error"]) == (404, {"code": -5000, "msg": f"Method {name} is invalid"})


@pytest.mark.parametrize(
    ("frame", "request_id", "words"),
    [
        ("not JSON", None, "Invalid JSON request."),
        (b"\xff\xfe", None, "Invalid JSON request."),
        ("[" * 100_000, None, "Invalid JSON request."),
        ("[1]", None, "Invalid JSON request; expected an object."),
        ('{"id": 1}', 1, "Invalid 'method' in JSON request; expected a string."),
        ('{"id": "a", "method": "m", "params": []}', "a", "Invalid 'params' in JSON request; expected an object."),
        *((json.dumps({"id": wrong, "method": "session.status"}), None, WRONG_ID) for wrong in WRONG_IDS),
    ],
)
async def test_invalid_envelopes_are_rejected(
    client: Client, frame: str | bytes, request_id: int | str | None, words: str
) -> None:
    """A frame that is not a request is rejected, and the connection stays open."""
    answer = await client.ask_raw(frame)
    after = await client.ask("session.status")

    assert (answer["id"], answer["status"]) == (request_id, 400)
    assert answer["error"] == {"code": -1135, "msg": words}
    assert after["status"] == 200
