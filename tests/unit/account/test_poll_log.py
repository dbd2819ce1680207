"""The log of polls: causes that all accounts share, the end of a ban, what no operator can fix, and each request."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.clocks import Monotonic
from support.config_files import leaks
from support.methods import POSITION, STATUS
from support.polling import Polled, connected, error, pass_time
from support.waiting import until

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


@pytest.mark.parametrize("reason", [Reason.BANNED, Reason.CONNECTION])
async def test_cause_of_all_accounts_is_logged_once(
    exchange: SimulatedExchange, logged: list[Any], reason: Reason
) -> None:
    """A ban or a lost connection is logged for the endpoint every five minutes, and its end once, not by account."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        accounts = [Polled(exchange, connection, name) for name in ("alice", "bob", "alice", "bob")]
        fault = exchange.ban(900) if reason is Reason.BANNED else exchange.reject_handshake(503)
        with fault:
            if reason is Reason.CONNECTION:
                exchange.drop_connections()
                await until(lambda: not connection.connected)
            for _ in range(3):
                for polled in accounts:
                    await polled.poll()
                monotonic.ahead += 200
            failed = [event for event in logged if event["event"] == "poll failed"]
        pass_time(exchange, connection, monotonic, 1200)
        await until(lambda: connection.connected)
        for polled in accounts:
            await polled.poll()

    assert [("exchange", reason.value)] * 2 == [(event["endpoint"], event["reason"]) for event in failed]
    assert all(event["advice"] and "account" not in event for event in failed)
    (recovered,) = [event for event in logged if event["event"] == "poll succeeded again"]
    assert ("exchange", reason.value) == (recovered["endpoint"], recovered["after"])


async def test_end_of_a_ban_is_logged_as_a_time(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """The pause of the endpoint and the failed poll name the end of a ban in UTC, by the exchange's clock."""
    with exchange.skew_clock(-7200.0):
        async with connected(exchange.url) as connection:
            with exchange.ban(600):
                ends = exchange.server_time() + 600
                await Polled(exchange, connection).poll()
    times = [event["resumes_at"] for event in logged if event["event"] in {"requests paused", "poll failed"}]

    assert len(times) == 2
    for text in times:
        assert text.endswith("Z")
        assert ends - 1 <= datetime.fromisoformat(text).timestamp() <= ends + 5


async def test_every_poll_is_logged_at_debug(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """Each query of a poll is a debug event with its account, method, weight and duration, and nothing secret."""
    async with connected(exchange.url) as connection:
        await Polled(exchange, connection, asset_mode=AssetMode.SINGLE).poll()
        with exchange.replace_answer(STATUS, "bob", error(500, -1000)):
            await Polled(exchange, connection, "bob", asset_mode=AssetMode.SINGLE).poll()
    queries = [event for event in logged if event["log_level"] == "debug" and "method" in event]

    assert [
        ("request succeeded", "alice", STATUS, 5),
        ("request succeeded", "alice", POSITION, 5),
        ("request failed", "bob", STATUS, 5),
        ("request succeeded", "bob", POSITION, 5),
    ] == [(entry["event"], entry["account"], entry["method"], entry["weight"]) for entry in queries]
    assert all(entry["duration_seconds"] > 0 for entry in queries)
    secrets = [text for account in exchange.accounts.values() for text in (account.api_key, account.secret_key) if text]
    assert not leaks(str(logged), [*secrets, *(request.params.get("signature", "") for request in exchange.received)])


async def test_removed_method_is_logged_as_an_error(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """What an operator cannot fix is logged at error level, every five minutes and not at every poll."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(404, -5000)):
            for _ in range(3):
                await polled.poll()
                pass_time(exchange, connection, monotonic, 301)

    assert ["error"] * 3 == [event["log_level"] for event in logged if event["event"] == "poll failed"]
