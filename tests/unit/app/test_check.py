"""`check`: one poll of every account, and advice on what to do."""

from __future__ import annotations

import asyncio
import io
import json
import math
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
import yaml
from support.polling import FAST, count_requests
from support.rest import replace_rest

from exporter.app.check import AccountReport, check
from exporter.cli import main as cli
from exporter.cli.check_report import as_json, as_text
from exporter.config import exporter_yml
from exporter.rest.requests import RestPath
from exporter.simulator import SimulatedAccount, SimulatedExchange
from exporter.simulator.answer_edits import field, without
from exporter.simulator.demo import demo_exchange, write_configuration
from exporter.simulator.scenario import BOTTOM_FROM

if TYPE_CHECKING:
    from pathlib import Path


async def report_on(exchange: SimulatedExchange, directory: Path, **secrets: str) -> list[AccountReport]:
    """Check all accounts of an exchange, some with a wrong secret."""
    path = write_configuration(exchange.url, exchange.accounts.values(), directory / "sim")
    for name, secret in secrets.items():
        (path.parent / "keys" / f"{name}.secret").write_text(secret)
    return await check(exporter_yml.load(path, {}), FAST)


async def test_good_accounts(tmp_path: Path) -> None:
    """Good accounts are accepted and reported with all data of one answer, in the order of the file."""
    async with demo_exchange(seed=1) as exchange:
        reports = await report_on(exchange, tmp_path)

    assert ["main", "multi", "hedge", "isolated"] == [report.account for report in reports]
    assert ["hmac", "ed25519", "rsa", "hmac"] == [report.key_type for report in reports]
    assert ["single", "multi", "single", "single"] == [report.asset_mode for report in reports]
    assert all(report.good for report in reports)
    assert [None] * 4 == [report.problem for report in reports]
    assert all(len(report.totals) == 11 and report.assets and report.positions for report in reports)
    assert 2400 == reports[0].request_weight_limit


async def test_missing_risk(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A position without a mark and liquidation price makes the poll incomplete, and is named."""
    with exchange.replace_answer("v2/account.position", "alice", field("result", [])):
        reports = await report_on(exchange, tmp_path)
    report = reports[0]

    assert [False, True] == [report.good for report in reports]
    assert ["BTCUSDT long"] == report.risk_missing
    assert ("unknown", "unknown") == (report.risk_level, report.positions[0]["level"])
    assert "no mark or liquidation price: BTCUSDT long" in as_text([report], colour=False)


async def check_keys(exchange: SimulatedExchange, directory: Path) -> dict[str, AccountReport]:
    """Check all accounts of an exchange with `key_check` enabled; return the reports by account."""
    path = write_configuration(exchange.url, exchange.accounts.values(), directory / "sim", exchange.rest_url)
    return {report.account: report for report in await check(exporter_yml.load(path, {}), FAST)}


async def test_api_keys(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A key that can move money or be used from any IP is warned of, one that can trade is mentioned; both are good."""
    alice, bob = exchange.accounts["alice"], exchange.accounts["bob"]
    alice.key_permissions |= {"enableWithdrawals": True, "permitsUniversalTransfer": True, "enableMargin": True}
    bob.key_permissions |= {"ipRestrict": False, "enableFutures": False}
    reports = await check_keys(exchange, tmp_path)
    text = {name: " ".join(as_text([report], colour=False).split()) for name, report in reports.items()}

    assert all(report.good for report in reports.values())
    assert "can move money (withdrawals, universal_transfer)" in text["alice"]
    assert "can trade (futures, margin)" in text["alice"]
    assert "from any IP" not in text["alice"]
    assert "can be used from any IP" in text["bob"]
    assert not any(word in text["bob"] for word in ("can move money", "can trade"))
    assert 2 == count_requests(exchange, RestPath.API_RESTRICTIONS)


async def test_accounts_that_share_a_key(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A key that several accounts share is checked once, for all of them."""
    path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path / "sim", exchange.rest_url)
    document = yaml.safe_load(path.read_text())
    document["accounts"][1] = document["accounts"][0] | {"name": "copy"}
    path.write_text(yaml.safe_dump(document))
    reports = await check(exporter_yml.load(path, {}), FAST)

    assert all(report.key_permissions for report in reports)
    assert 1 == count_requests(exchange, RestPath.API_RESTRICTIONS)


async def test_api_keys_that_cannot_be_checked(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """If REST fails, the reason is shown, and neither the poll nor the exit code is affected."""
    replace_rest(exchange, 403, "<html>")
    report = (await check_keys(exchange, tmp_path))["alice"]

    assert report.good
    assert report.positions
    assert report.key_permissions is None
    assert "unknown: rejected with HTTP status 403" in " ".join(as_text([report], colour=False).split())


async def test_wrong_secret(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A wrong secret is reported for its account only, with what to check."""
    reports = await report_on(exchange, tmp_path, alice="not-alices-secret")

    assert [(False, "refused"), (True, None)] == [(report.accepted, report.reason) for report in reports]
    assert (reports[0].advice or "").startswith("check that the secret or private key belongs to this API key")
    assert ("unknown", "normal") == (reports[0].risk_level, reports[1].risk_level)
    assert not reports[0].good


async def test_key_of_the_other_environment(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """A key that the exchange does not know is reported with the three usual causes."""
    exchange.revoke("alice")
    reports = await report_on(exchange, tmp_path)

    assert "refused" == reports[0].reason
    assert "-2015" in (reports[0].problem or "")
    for cause in ("futures are enabled", "key's IP list", "mainnet and testnet have separate keys"):
        assert cause in (reports[0].advice or "")


@pytest.mark.parametrize(("skew", "words"), [(10.0, "10.0"), (-10.0, "10.0")])
async def test_wrong_clock(exchange: SimulatedExchange, tmp_path: Path, skew: float, words: str) -> None:
    """Accounts are accepted although the clock is seconds wrong, but the clock is reported as a problem."""
    with exchange.skew_clock(skew):
        reports = await report_on(exchange, tmp_path)
    text = as_text(reports, colour=False)

    assert skew == pytest.approx(reports[0].clock_offset_seconds, abs=0.5)
    assert all(report.accepted and report.clock_is_wrong and not report.good for report in reports)
    assert f"s {'behind' if skew > 0 else 'ahead of'} exchange" in text
    assert "synchronize this host's clock (NTP)" in text
    assert text.endswith("the clock of this host is wrong")
    assert words[:2] in {text.partition("host ")[2][:2], "10"}


async def test_no_network(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """An exchange that cannot be reached is reported with the reason and what to check."""
    with exchange.reject_handshake(503):
        reports = await report_on(exchange, tmp_path)

    assert ["connection", "connection"] == [report.reason for report in reports]
    assert "handshake rejected with HTTP status 503" in (reports[0].problem or "")
    assert "the exchange reports an internal error: try again later" == reports[0].advice
    assert None is reports[0].clock_offset_seconds is reports[0].request_weight_used


RISK = ("margin_type", "mark_price", "liquidation_price", "distance_to_liquidation", "margin_ratio", "level")


async def test_margin_and_liquidation(tmp_path: Path) -> None:
    """Polled accounts have the ratios of their pools, and held positions are sorted by risk, then by distance."""
    async with demo_exchange(seed=1) as exchange:
        main, multi, _, isolated = await report_on(exchange, tmp_path)
    held = [row for row in main.positions if row["amount"]]
    distances = [row["distance_to_liquidation"] or math.inf for row in held]

    assert held == main.positions[: len(held)]
    assert sorted(distances) == distances
    assert {"USDT", "USDC"} == {pool["margin_asset"] for pool in main.margin_pools if pool["ratio"]}
    assert ["USD"] == [pool["margin_asset"] for pool in multi.margin_pools]
    assert {"SOLUSDT", "币安人生USDT", "BTCUSDT"} == {
        pool["symbol"] for pool in isolated.margin_pools if pool["margin_type"] == "isolated"
    }
    assert {"isolated"} == {row["margin_type"] for row in isolated.positions}
    assert {None} == {row[name] for name in RISK for row in main.positions if not row["amount"]}


@pytest.mark.parametrize("flag", ["--output=text", "--verbose", "--output=json"])
@pytest.mark.parametrize("wrong", [False, True])
async def test_command(  # in a thread, since the command runs its own loop
    exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, flag: str, wrong: bool
) -> None:
    """The command exits with 0 only if all accounts are OK, prints its report, and shows no secret."""
    path = write_configuration(exchange.url, exchange.accounts.values(), tmp_path / "sim")
    secret = exchange.accounts["alice"].secret_key
    assert secret
    if wrong:
        (path.parent / "keys" / "alice.secret").write_text(secret[::-1])
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    code = await asyncio.to_thread(cli.run, ["check", "--config.file", str(path), flag, "--log.level=debug"])

    assert (1 if wrong else 0) == code
    assert ("refused" in out.getvalue()) is wrong
    for hidden in (secret, secret[::-1], exchange.accounts["alice"].api_key):
        assert hidden[:16] not in out.getvalue()
    assert ("  asset mode  " in out.getvalue()) is (flag == "--verbose")
    if flag == "--output=json":
        assert json.loads(out.getvalue())["ok"] is not wrong


async def test_risk_in_the_draw_down(tmp_path: Path) -> None:
    """At the bottom of the demo's draw-down the worst accounts are critical, which is not a failure of the check."""
    started = False

    def clock() -> float:
        return time.time() - (0.0 if started else BOTTOM_FROM + 30)

    exchange = demo_exchange(seed=1, clock=clock)
    started = True
    async with exchange:
        reports = await report_on(exchange, tmp_path)
    isolated = reports[3]

    assert "critical" == isolated.risk_level == isolated.margin_pools[0]["level"] == isolated.positions[0]["level"]
    assert isolated.margin_pools[0]["ratio"] == max(pool["ratio"] for pool in isolated.margin_pools)
    assert all(report.good for report in reports)
    assert "isolated" == min(reports, key=lambda report: report.sort_key).account


async def test_unknown_ratio(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """Why the margin ratio of a position is unknown is in the report, whose poll then was not complete."""
    with exchange.replace_answer("v2/account.status", "alice", without("result.positions.0.maintMargin")):
        reports = await report_on(exchange, tmp_path)

    assert [("unknown", False), ("normal", True)] == [(report.risk_level, report.good) for report in reports]
    assert [["BTCUSDT: maintenance margin missing"], []] == [report.unknown_ratios for report in reports]
    assert "margin ratio unknown: BTCUSDT: maintenance margin missing" in as_text(reports, colour=False)


async def test_end_of_a_ban(exchange: SimulatedExchange, tmp_path: Path) -> None:
    """The report of a banned IP names the end of the ban in UTC."""
    ends = exchange.server_time() + 600
    with exchange.ban(600):
        reports = await report_on(exchange, tmp_path)

    for report in reports:
        assert report.resumes_at
        assert 0 <= datetime.fromisoformat(report.resumes_at).timestamp() - ends <= 30
    assert 1 == as_text(reports, colour=False).count(f"  resumes at  {reports[0].resumes_at}: ")
    assert reports[0].resumes_at == json.loads(as_json(reports))["accounts"][0]["resumes_at"]


async def test_many_accounts_on_an_endpoint_that_is_down(tmp_path: Path) -> None:
    """Accounts are polled concurrently: all of them report the hanging endpoint, each by its own timeout."""
    accounts = [SimulatedAccount(f"account-{number}", "HMAC", seed=number) for number in range(30)]
    async with SimulatedExchange(accounts) as exchange:
        with exchange.lose_answers():
            rejection = exchange.reject_handshake(502)
            reports = await report_on(exchange, tmp_path)
            rejection.close()

    assert ["connection"] * 30 == [report.reason for report in reports]
