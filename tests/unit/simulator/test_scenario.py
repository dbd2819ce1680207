"""The demo's scenario fires alerts without liquidations and repeats itself; its configuration can be used."""

from __future__ import annotations

import stat
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from support.golden import MIDNIGHT, polled
from support.simulator_client import client_of

from exporter.account.margin import cross_pools, isolated_pools
from exporter.simulator import SimulatedExchange, demo_accounts, demo_exchange, write_configuration
from exporter.simulator.answers import account_position, account_status, account_status_v1
from exporter.simulator.valuation import statement_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.clocks import Clock
    from support.polling import Polled

ACCOUNTS = ("main", "multi", "hedge", "isolated")


def ratios(exchange: SimulatedExchange) -> dict[tuple[str, ...], Decimal]:
    """Return the ratio of every margin pool with positions."""
    ratios: dict[tuple[str, ...], Decimal] = {}
    exchange.account("main")
    for name, account in exchange.accounts.items():
        statement = statement_of(account)
        ratios |= {(name, asset): pool.ratio for asset, pool in statement.pools.items() if pool.maintenance_margin}
        for row in statement.rows:
            if row.isolated:
                ratios[name, "isolated", row.symbol.name] = statement.pool_of(row).ratio
    return ratios


def without_times(rows: Any) -> Any:
    """Return the rows without update times."""
    if isinstance(rows, dict):
        return {name: without_times(value) for name, value in rows.items() if name != "updateTime"}
    return [without_times(row) for row in rows] if isinstance(rows, list) else rows


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_draw_down_fires_alerts_without_liquidations(seed: int, clock: Clock) -> None:
    """In the draw-down an isolated ratio exceeds 0.8 for long, the cross ones rise, and none reaches 1."""
    exchange = demo_exchange(seed, clock=clock)
    begin, calm = clock.now, ratios(exchange)
    worst, alarmed = dict(calm), 0
    for second in range(0, 600, 3):
        clock.now = begin + second
        for pool, ratio in ratios(exchange).items():
            worst[pool] = max(ratio, worst.get(pool, ratio))
            alarmed += 3 * (pool == ("isolated", "isolated", "SOLUSDT") and ratio > Decimal("0.8"))

    assert max(calm.values()) < Decimal("0.25")
    assert max(worst.values()) < Decimal("0.96")
    assert alarmed > 90
    for pool in (("main", "USDT"), ("main", "USDC"), ("multi", "USD"), ("hedge", "USDT")):
        assert worst[pool] > 2 * calm[pool]


@pytest.mark.no_cover
def test_scenario_repeats_itself(clock: Clock) -> None:
    """Rounds later the accounts are the same except for times, however few requests there were."""
    exchange = demo_exchange(5, clock=clock, speed=10)
    begin = clock.now

    def statuses(at: float) -> Any:
        clock.now = begin + at
        return {name: account_status(exchange.account(name)) for name in ACCOUNTS}

    once, again = ([statuses(offset + at) for at in (0, 33, 41, 59)] for offset in (0, 180))
    later = statuses(360 + 59)

    assert without_times(again) == without_times(once)
    assert without_times(later) == without_times(once[-1])
    assert not [pair for pair in zip(again, once, strict=True) if pair[0] == pair[1]]


def test_positions_come_and_go(clock: Clock) -> None:
    """Positions and orders appear and disappear during a round, and a hedge has both sides."""
    exchange = demo_exchange(5, clock=clock)
    begin, seen = clock.now, []
    for at in (0, 50, 120, 230, 300, 480, 500, 590):
        clock.now = begin + at
        rows = {
            (name, row["symbol"], row["positionSide"]): row["positionAmt"]
            for name in ACCOUNTS
            for row in account_position(exchange.account(name), None)
        }
        seen.append(rows)

    assert ("main", "ETHUSDT", "BOTH") not in seen[0].keys() | seen[2].keys()
    assert seen[1]["main", "ETHUSDT", "BOTH"] == "-2.000"
    assert [rows["hedge", "BTCUSDT", "LONG"] for rows in (seen[0], seen[3], seen[5])] == ["1.500", "1.200", "1.500"]
    assert seen[0]["hedge", "BTCUSDT", "SHORT"] == "-0.500"
    assert ("multi", "ETHUSDT", "BOTH") in seen[4]
    assert ("isolated", "DOGEUSDT", "BOTH") in seen[6]
    assert seen[-1] == seen[0]


def test_accounts_are_configured_differently(clock: Clock) -> None:
    """The accounts' fee tiers differ, one of them may not withdraw, and the leverage depends on the symbol."""
    exchange = demo_exchange(5, clock=clock)
    statuses = {name: account_status_v1(exchange.account(name), 0) for name in ACCOUNTS}

    assert {"main": 1, "multi": 2, "hedge": 0, "isolated": 0} == {
        name: status["feeTier"] for name, status in statuses.items()
    }
    assert ["isolated"] == [name for name, status in statuses.items() if not status["canWithdraw"]]
    for status in statuses.values():
        assert len({row["leverage"] for row in status["positions"]}) > 1
        assert status["canTrade"]
        assert status["canDeposit"]


def test_keys_have_different_permissions(clock: Clock) -> None:
    """One key of the demo may withdraw, another is not bound to an IP, and all of them read."""
    accounts = demo_exchange(5, clock=clock).accounts

    assert ["hedge"] == [name for name, account in accounts.items() if account.key_permissions["enableWithdrawals"]]
    assert ["isolated"] == [name for name, account in accounts.items() if not account.key_ip_restricted]
    assert all(account.key_permissions["enableReading"] for account in accounts.values())


async def test_configuration_works_for_every_account(clock: Clock, tmp_path: Path) -> None:
    """The configuration names an endpoint and, for every account, key files that only their owner can read."""
    async with demo_exchange(clock=clock) as exchange:
        accounts = [exchange.account(name) for name in ACCOUNTS]
        for _ in range(2):
            path = write_configuration(exchange.url, accounts, tmp_path / "demo")
        async with client_of(exchange, clock) as client:
            for account in accounts:
                assert (await client.signed(account, "v2/account.status"))["status"] == 200

    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "demo" / "exporter.yml"
    assert document["binance"] == {"endpoint": exchange.url, "proxy": "none"}
    assert [entry["name"] for entry in document["accounts"]] == list(ACCOUNTS)
    for entry, account in zip(document["accounts"], accounts, strict=True):
        files = {field: path.parent / name for field, name in entry.items() if field != "name"}
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files.values())
        assert files["api_key_file"].read_text(encoding="utf-8").strip() == account.api_key
        if account.key_type == "HMAC":
            assert files["secret_key_file"].read_text(encoding="utf-8").strip() == account.secret_key
        else:
            key = serialization.load_pem_private_key(files["private_key_file"].read_bytes(), password=None)
            assert isinstance(key, rsa.RSAPrivateKey if account.key_type == "RSA" else ed25519.Ed25519PrivateKey)


@pytest.mark.parametrize("existing", ["exporter.yml", "keys/main.secret"])
def test_configuration_of_a_user_is_not_overwritten(tmp_path: Path, existing: str) -> None:
    """A directory with a user's configuration or keys is rejected and left unchanged."""
    theirs = tmp_path / existing
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")
    with pytest.raises(FileExistsError, match="choose another directory"):
        write_configuration("ws://127.0.0.1:1/", demo_accounts(1), tmp_path)

    assert theirs.read_text() == "theirs"
    assert [theirs] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])  # noqa: S104
async def test_url_can_be_connected_to(host: str, shown: str) -> None:
    """The exchange's URLs have an address to connect to, whatever it listens on."""
    exchange = SimulatedExchange([])
    await exchange.start(host)
    url = exchange.url
    await exchange.stop()

    assert url.startswith(f"ws://{shown}:")
    assert exchange.rest_url == url.replace("ws://", "http://").removesuffix("/ws-fapi/v1")


def test_seed_determines_secrets() -> None:
    """With a seed API keys and HMAC secrets are always the same; without one they differ each time."""
    seeded = [[(account.api_key, account.secret_key) for account in demo_accounts(3)] for _ in range(2)]
    unseeded = [[(account.api_key, account.secret_key) for account in demo_accounts()] for _ in range(2)]

    assert seeded[0] == seeded[1]
    assert not set(unseeded[0]) & set(unseeded[1])
    assert len({api_key for api_key, _ in seeded[0]}) == 4


async def through_the_scenario(name: str, step: int) -> AsyncIterator[Polled]:
    """Poll an account every `step` seconds of the scenario's ten minutes."""
    async with polled(name) as (account, _, clock):
        for second in range(0, 600, step):
            clock.now = MIDNIGHT + second
            assert (await account.poll()).last_poll_succeeded, account.state.last_failure
            yield account


@pytest.mark.no_cover
async def test_isolated_scenario() -> None:
    """In ten minutes the highest isolated ratio goes above 0.8, and never to 1 where liquidation is."""
    highest = [
        max(pool.ratio for pool in isolated_pools(account.snapshots[-1]) if pool.ratio is not None)
        async for account in through_the_scenario("isolated", step=10)
    ]

    assert 60 == len(highest)
    assert 0.8 < max(highest) < 1


async def test_multi_scenario() -> None:
    """In ten minutes multi-assets mode has exactly one cross pool, in USD, whatever it holds."""
    pools = [
        [(pool.margin_asset, pool.ratio is not None) for pool in cross_pools(account.snapshots[-1])]
        async for account in through_the_scenario("multi", step=30)
    ]

    assert [[("USD", True)]] * 20 == pools
