"""When an account is polled again after polls that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.clocks import Monotonic
from support.methods import STATUS
from support.polling import Polled, connected, count_requests, error, pass_time

from exporter.account.asset_mode import AssetMode
from exporter.binance.errors import Reason
from exporter.binance.signing import Credentials, Secret

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_wrong_secret_is_refused_and_left_alone(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A wrong secret is logged once with advice, is retried less and less often, and does not affect other accounts."""
    monotonic = Monotonic()
    api_key = Secret(exchange.accounts["alice"].api_key)
    wrong = Credentials.hmac(api_key, Secret("not-the-secret"))
    async with connected(exchange.url, monotonic=monotonic) as connection:
        alice = Polled(exchange, connection, credentials=wrong)
        requests = []
        for _ in range(8):
            before = count_requests(exchange, STATUS)
            await alice.poll()
            requests.append(count_requests(exchange, STATUS) - before)
            pass_time(exchange, connection, monotonic, 15)
        bob = await Polled(exchange, connection, "bob").poll()

    assert bob.last_poll_succeeded
    assert [1, 1, 0, 1, 0, 0, 0, 1] == requests
    assert {Reason.REFUSED: 8} == alice.state.failures
    assert not alice.state.last_poll_succeeded
    (event,) = [event for event in logged if event["event"] == "poll failed"]
    assert event["advice"].startswith("check that the secret or private key belongs to this API key")
    assert ("alice", "refused", "warning") == (event["account"], event["reason"], event["log_level"])
    assert 15.0 == event["retry_in_seconds"]


async def test_restored_key_is_taken_up(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A key that is repaired without a restart is polled again at the next interval."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        alice = Polled(exchange, connection)
        exchange.revoke("alice")
        await alice.poll()
        exchange.restore("alice")
        monotonic.ahead += 15
        state = await alice.poll()

    assert state.last_poll_succeeded
    assert ["poll failed", "poll succeeded again"] == [one["event"] for one in logged if "poll" in one["event"]]


async def test_ban_counts_every_due_poll(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """While the IP is banned scheduled polls fail unsent, which is logged once, and polling resumes by itself."""
    monotonic = Monotonic()
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection, asset_mode=AssetMode.SINGLE)
        with exchange.ban(600):
            for _ in range(4):
                await polled.poll()
        banned = polled.state.failures[Reason.BANNED]
        pass_time(exchange, connection, monotonic, 700)
        state = await polled.poll()

    assert (4, 2) == (banned, count_requests(exchange, STATUS))
    assert state.last_poll_succeeded
    assert 1 == len([event for event in logged if event["event"] == "poll failed"])


async def test_retries_back_off(exchange: SimulatedExchange) -> None:
    """After failures of the exchange polls are sent after 1, 2 and 4 intervals; unsent ones count as failed."""
    monotonic = Monotonic()
    sent = []
    async with connected(exchange.url, monotonic=monotonic) as connection:
        polled = Polled(exchange, connection)
        with exchange.replace_answer(STATUS, "alice", error(500, -1000)):
            for _ in range(12):
                before = count_requests(exchange, STATUS)
                await polled.poll()
                sent.append(count_requests(exchange, STATUS) - before)
                pass_time(exchange, connection, monotonic, 15)
        state = await polled.poll()

    assert [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] == sent
    assert {Reason.EXCHANGE: 12 + 1} == state.failures
    assert 13 == state.polls
